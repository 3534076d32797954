"""Norms, distances and products over axes, and normalisation by them."""

from __future__ import annotations

from functools import partial
from math import inf, prod
from typing import Any

import torch
from torch import Tensor

from absdomain import ops
from absdomain.kinds import Shape
from absdomain.kinds.live import Live
from absdomain.lowering.aten.arguments import active, constants, expression, reduced_axes, shaped
from absdomain.lowering.aten.arithmetic import power, scaled
from absdomain.lowering.aten.layout import cast
from absdomain.lowering.rewritings import standardised
from absdomain.lowering.table import Activation, Call, Value, lowers


@lowers("aten.linalg_vector_norm.default", "aten.norm.ScalarOpt_dim", "aten.norm.ScalarOpt_dim_dtype")
def _vector_norm(
    call: Call, x: Value, order: float | None = 2, axes: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Activation:
    x = cast(call, active(call, x))
    return shaped(call, _norm(call, x, 2.0 if order is None else float(order), axes), call.shape)


def _norm(call: Call, x: Activation, order: float, axes: Any) -> Activation:
    """(sum |x|^p)^(1/p) over the axes, which stay with one entry each; at p = inf the largest |x|."""
    rank = len(call.shape_of(x)) + 1
    places = reduced_axes(call, axes if isinstance(axes, int) or axes else None, rank)
    if order == 0:
        call.unsupported("counts entries that are not 0", "compare each with a level: (x.abs() > eps).to(x.dtype)")
    if order < 0 and order > -inf:
        call.unsupported(f"is of the order {order}", "take a positive one, or inf")
    if order in (inf, -inf):
        size = scaled(call, call.apply(ops.Abs(), x), 1 if order > 0 else -1)
        return scaled(call, _largest(call, size, places), 1 if order > 0 else -1)
    terms = power(call, x if order % 2 == 0 else call.apply(ops.Abs(), x), order)
    return power(call, call.apply(ops.Sum(places, True), terms), 1 / order)


def _largest(call: Call, x: Activation, places: tuple[int, ...]) -> Activation:
    """The maximum over these axes, which stay with one entry each."""
    shape = call.shape_of(x)
    rank = len(shape) + 1
    for place in sorted(places, reverse=True):
        x, rank = call.apply(ops.Max(place - rank), x), rank - 1
    return shaped(call, x, tuple(1 if i + 1 in places else n for i, n in enumerate(shape)))


@lowers("aten.cosine_similarity.default")
def _cosine(call: Call, x: Value, y: Value, axis: int = 1, eps: float = 1e-8) -> Activation:
    """<x / max(|x|, eps), y / max(|y|, eps)>."""
    rank = max(len(call.shape_of(v)) for v in (x, y) if isinstance(v, Activation)) + 1
    given = [v if isinstance(v, Activation) else expression(call, partial(_one_sample, rank), v) for v in (x, y)]
    shapes = [call.shape_of(v) if isinstance(v, Activation) else tuple(v.read().shape) for v in given]
    wide = tuple(torch.broadcast_shapes(*shapes))
    one, two = (_directed(call, v, axis % rank - rank, eps, wide) for v in given)
    if isinstance(one, Activation) and isinstance(two, Activation):
        both = call.apply(ops.Product(), one, two)
    else:
        moving, fixed = (one, two) if isinstance(one, Activation) else (two, one)
        both = call.apply(ops.Scale(fixed, None), moving)
    return call.apply(ops.Sum((axis % rank,)), both)


def _one_sample(rank: int, constant: Tensor) -> Tensor:
    """A constant of this rank, whose batch is 1, or of less."""
    return constant[0] if constant.dim() == rank else constant


def _directed(call: Call, x: Value, axis: int, eps: float, wide: Shape) -> Any:
    """x over its norm, which is taken to be at least eps, in this shape."""
    if not isinstance(x, Activation):
        return expression(call, lambda c: c / c.norm(dim=axis, keepdim=True).clamp(min=eps), x)
    length = call.apply(ops.Clamp(low=float(eps)), _norm(call, x, 2.0, axis))
    inverse = power(call, length, -1)
    return call.apply(ops.Product(), _broadcast(call, x, wide), _broadcast(call, inverse, wide))


def _broadcast(call: Call, x: Activation, shape: Shape) -> Activation:
    size = call.shape_of(x)
    if size == shape:
        return x
    index = torch.arange(prod(size)).view(size).expand(shape)
    return call.apply(ops.Gather(index.contiguous()), x)


@lowers("aten.cdist.default", "aten._cdist_forward.default")
def _distances(call: Call, x: Value, y: Value, order: float = 2.0, mode: Any = None) -> Activation:
    """|x_i - y_j| for all pairs of rows."""
    target = (*call.shape, (call.shape_of(x) if isinstance(x, Activation) else call.shape_of(y))[-1])
    gaps, level = [], None
    for rows, axis, sign in ((x, -2, 1), (y, -3, -1)):  # (..., P, M) and (..., R, M) as (..., P, R, M)
        if isinstance(rows, Activation):
            size = call.shape_of(rows)
            index = torch.arange(prod(size)).view(size).unsqueeze(axis).expand(target)
            gaps.append(scaled(call, call.apply(ops.Gather(index.contiguous()), rows), sign))
        else:
            level = _offset(rows, axis, sign, len(target))
    gap = gaps[0] if len(gaps) == 1 else call.apply(ops.Add(), *gaps)
    gap = gap if level is None else call.apply(ops.Scale(None, level), gap)
    return shaped(call, _norm(call, gap, float(order), (len(target),)), call.shape)


def _offset(rows: Live, axis: int, sign: int, rank: int) -> Any:
    """Constant rows, perhaps with a batch axis of size 1, with a new axis at this place."""

    def read() -> Tensor:
        return sign * _one_sample(rank, rows.read()).unsqueeze(axis)

    return Live(read)


@lowers("aten.prod.dim_int")
def _prod(call: Call, x: Value, axis: int, keepdim: bool = False, *, dtype: Any = None) -> Activation:
    """The product along an axis, halves by halves."""
    x = cast(call, active(call, x))
    (place,) = reduced_axes(call, axis, len(call.shape_of(x)) + 1)
    while (count := call.shape_of(x)[place - 1]) > 1:
        half = count // 2
        parts = [_cut(call, x, place, start, end) for start, end in ((0, half), (half, 2 * half))]
        joined = call.apply(ops.Product(), *parts)
        rest = [_cut(call, x, place, 2 * half, count)] if count % 2 else []
        x = call.apply(ops.Concat(place), joined, *rest) if rest else joined
    return shaped(call, x, call.shape)


@lowers("aten.cumprod.default")
def _cumprod(call: Call, x: Value, axis: int, *, dtype: Any = None) -> Activation:
    """The products of the first entries along an axis, one after another."""
    x = cast(call, active(call, x))
    (place,) = reduced_axes(call, axis, len(call.shape_of(x)) + 1)
    parts = [_cut(call, x, place, i, i + 1) for i in range(call.shape_of(x)[place - 1])]
    found = parts[:1]
    for part in parts[1:]:
        found.append(call.apply(ops.Product(), found[-1], part))
    return found[0] if len(found) == 1 else call.apply(ops.Concat(place), *found)


def _cut(call: Call, x: Activation, place: int, start: int, end: int) -> Activation:
    size = call.shape_of(x)
    if (start, end) == (0, size[place - 1]):
        return x
    index = torch.arange(prod(size)).view(size).narrow(place - 1, start, end - start)
    return call.apply(ops.Gather(index.contiguous()), x)


@lowers("aten.instance_norm.default")
def _instance_norm(
    call: Call, x: Value, gain: Value, shift: Value, mean: Value, variance: Value, of_input: bool, momentum: float,
    eps: float, cudnn: bool,
) -> Activation:  # fmt: skip
    """(x - mean) / sqrt(variance + eps) of each channel of a sample, or by running statistics."""
    size = call.shape_of(x)
    after = (1,) * (len(size) - 1)
    gain, shift, mean, variance = constants(call, gain, shift, mean, variance)
    if not of_input:
        return call.apply(ops.BatchNorm(mean, variance, gain, shift, eps, len(size) - 1), x)
    rows = shaped(call, x, (size[0], prod(size[1:])))
    normed = shaped(call, standardised(call, rows, (2,), eps), size)
    if gain is None and shift is None:
        return normed
    scale = [None if v is None else expression(call, lambda w: w.view(-1, *after), v) for v in (gain, shift)]
    return call.apply(ops.Scale(*scale), normed)


@lowers(
    "aten._native_batch_norm_legit.default", "aten._native_batch_norm_legit.no_stats",
    "aten._native_batch_norm_legit_functional.default", "aten.native_batch_norm.default",
)  # fmt: skip
def _by_the_batch(call: Call, *args: Any, **kwargs: Any) -> Activation:
    call.unsupported(
        "takes statistics of the batch, which mix its samples",
        "give the batch norm track_running_stats=True, and evaluate the module",
    )
