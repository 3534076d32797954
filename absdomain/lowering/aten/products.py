"""Products of matrices of which both are activations, and attention."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from absdomain import ops
from absdomain.kinds import Shape
from absdomain.kinds.live import Live
from absdomain.lowering.aten.arguments import constant, expression, shaped
from absdomain.lowering.aten.arithmetic import scaled
from absdomain.lowering.aten.composites import softmax
from absdomain.lowering.aten.masking import finite, low, without
from absdomain.lowering.aten.weights import linear
from absdomain.lowering.table import Activation, Call, Value, lowers


@lowers("aten.mm.default", "aten.matmul.default", "aten.bmm.default")
def _matmul(call: Call, x: Value, y: Value) -> Activation:
    if isinstance(x, Activation) and isinstance(y, Activation):
        return matmul(call, x, y)
    if isinstance(x, Activation):
        if not call.shape_of(x):
            call.unsupported("is a product over the batch", "keep axis 0 for the batch")
        weight = expression(call, lambda w: w.mT if w.dim() > 1 else w[None], y)
        return shaped(call, linear(call, x, weight), call.shape)
    lead = x.read().shape[:-2] if isinstance(x, Live) else None
    if lead is None or prod(lead) != 1 or len(call.shape_of(y)) < max(2, x.read().dim() - 1):
        call.unsupported("has a constant on its left that is not a matrix", "write x @ W.mT for W @ x.mT")
    weight = expression(call, lambda w: w.reshape(-1, w.shape[-1]), x)
    return shaped(call, call.apply(ops.Along(weight, -2), y), call.shape)


@lowers("aten.baddbmm.default")
def _baddbmm(call: Call, bias: Value, x: Value, y: Value, *, beta: float = 1, alpha: float = 1) -> Activation:
    product = scaled(call, _matmul(call, x, y), alpha)
    bias = scaled(call, bias, beta)
    if isinstance(bias, Activation):
        return call.apply(ops.Add(), product, _broadcast(call, bias, call.shape))
    return call.apply(ops.Scale(None, constant(call, bias)), product)


@lowers("aten.scaled_dot_product_attention.default")
def _attention(
    call: Call, query: Value, key: Value, value: Value, mask: Value = None, dropout: float = 0.0, causal: bool = False,
    *, scale: float | None = None, enable_gqa: bool = False,
) -> Activation:  # fmt: skip
    """softmax(scale q k^T + mask) v."""
    if dropout:
        call.unsupported("is random in evaluation mode, too", "give it dropout_p=0.0")
    if enable_gqa:
        key, value = (_repeated(call, x, call.shape_of(query)[-3]) for x in (key, value))
    last = call.shape_of(query)[-1]
    scores = matmul(call, query, _transposed(call, key))
    scores = scaled(call, scores, last**-0.5 if scale is None else scale)
    if mask is not None:
        scores = _with_mask(call, scores, mask)
    if causal:
        scores = without(call, scores, ~torch.ones(call.shape_of(scores)[-2:], dtype=torch.bool).tril())
    return matmul(call, softmax(call, scores, -1), value)


def _with_mask(call: Call, scores: Activation, mask: Value) -> Activation:
    """Numbers are added; where a truth value is False, or a number minus infinity, the score is taken out."""
    shape = call.shape_of(scores)
    if isinstance(mask, Activation):
        return call.apply(ops.Add(), scores, _broadcast(call, mask, shape))
    if not isinstance(mask, Live):
        call.unsupported("has a mask that depends on the input", "compute it from parameters and buffers")
    present = mask.read()
    if present.dim() > len(shape) and len(present) > 1:
        call.unsupported("has a mask per sample", "give it a batch axis of size 1")
    if present.dtype == torch.bool:
        return scores if bool(present.all()) else without(call, scores, ~present)
    taken, numbers = low(mask), finite(call, mask)
    added: Any = Live(lambda: numbers.read()[0]) if present.dim() > len(shape) else numbers
    scores = call.apply(ops.Scale(None, added), scores)
    return scores if taken is None else without(call, scores, taken)


def _repeated(call: Call, x: Activation, heads: int) -> Activation:
    """Each head of grouped queries as often as it is asked."""
    shape = call.shape_of(x)
    places = torch.arange(prod(shape)).view(shape).repeat_interleave(heads // shape[-3], -3)
    return call.apply(ops.Gather(places.contiguous()), x)


@lowers("aten.einsum.default")
def _einsum(call: Call, equation: str, xs: Any, **rest: Any) -> Activation:
    """A product of two: letters of both are summed if the output lacks them; the batch's is the first of all."""
    left, _, out = equation.replace(" ", "").partition("->")
    names = left.split(",")
    if len(xs) == 1 and sorted(left) == sorted(out) and left[0] == out[0]:
        return call.apply(ops.Permute(tuple(left.index(c) for c in out)), xs[0])
    if len(xs) != 2 or "." in equation or not out or any(len(set(n)) < len(n) for n in (*names, out)):
        call.unsupported(f"is {equation!r}", "write it as products of two, with every letter of the output")
    active = [isinstance(x, Activation) for x in xs]
    if not active[0]:
        names, xs, active = names[::-1], xs[::-1], active[::-1]
    (one, two), (x, y) = names, xs
    summed = [c for c in one if c in two and c not in out]
    if any(c not in out and c not in summed for c in one + two) or out[0] != one[0] or summed[:1] == [out[0]]:
        call.unsupported(f"is {equation!r}", "sum over letters of both, and keep the batch first")
    if not active[1]:
        return _einsum_constant(call, equation, one, two, out, summed, x, y)
    if two[0] != out[0]:
        call.unsupported(f"is {equation!r}", "keep the batch's letter first in both")
    shared = [c for c in one[1:] if c in two and c in out]
    rows, columns = ([c for c in name if c in out and c not in (out[0], *shared)] for name in (one, two))
    sizes = dict(zip(one[1:] + two[1:], (*call.shape_of(x), *call.shape_of(y)), strict=True))
    a = _laid(call, x, one, [shared, rows, summed], sizes)
    b = _laid(call, y, two, [shared, summed, columns], sizes)
    order = [*shared, *rows, *columns]
    product = shaped(call, call.apply(ops.MatMul(), a, b), tuple(sizes[c] for c in order))
    return _ordered(call, product, order, out[1:])


def _einsum_constant(
    call: Call, equation: str, one: str, two: str, out: str, summed: list[str], x: Activation, y: Value
) -> Activation:
    """A product with a constant: a matrix on the letters that are summed."""
    rows, columns = [c for c in one[1:] if c not in summed], [c for c in two if c not in summed]
    if any(c in two for c in (one[0], *rows)):
        call.unsupported(f"is {equation!r}", "give the constant letters that are summed, and new ones")
    sizes = dict(zip(one[1:], call.shape_of(x), strict=True)) | dict(zip(two, y.read().shape, strict=True))
    flat = _laid(call, x, one, [rows, summed], sizes)
    order = [two.index(c) for c in (*columns, *summed)]
    width = prod(sizes[c] for c in summed)
    weight = expression(call, lambda w: w.permute(order).reshape(-1, width), y)
    made = shaped(call, call.apply(ops.Dense(weight), flat), tuple(sizes[c] for c in (*rows, *columns)))
    return _ordered(call, made, [*rows, *columns], out[1:])


def _laid(call: Call, x: Activation, name: str, groups: list[list[str]], sizes: dict[str, int]) -> Activation:
    """x with its axes in the order of these groups, each group one axis."""
    ordered = _ordered(call, x, list(name[1:]), "".join(c for group in groups for c in group))
    return shaped(call, ordered, tuple(prod(sizes[c] for c in group) for group in groups))


def _ordered(call: Call, x: Activation, given: list[str], wanted: str) -> Activation:
    if list(wanted) == given:
        return x
    return call.apply(ops.Permute((0, *(1 + given.index(c) for c in wanted))), x)


def matmul(call: Call, x: Activation, y: Activation) -> Activation:
    """x y on the last two axes, of activations that are broadcast in the others."""
    one, two = call.shape_of(x), call.shape_of(y)
    if min(len(one), len(two)) < 2:
        call.unsupported("is a product of activations of which one has no matrix per sample", "use (x * y).sum(-1)")
    lead = torch.broadcast_shapes(one[:-2], two[:-2])
    if len(one) != len(two):
        call.unsupported(f"is a product of shapes {one} and {two} a sample", "give both as many axes")
    return call.apply(ops.MatMul(), _broadcast(call, x, (*lead, *one[-2:])), _broadcast(call, y, (*lead, *two[-2:])))


def _broadcast(call: Call, x: Activation, shape: Shape) -> Activation:
    given = call.shape_of(x)
    if given == shape:
        return x
    index = torch.arange(prod(given)).view(given).expand(shape)
    return call.apply(ops.Gather(index.contiguous()), x)


def _transposed(call: Call, x: Activation) -> Activation:
    rank = len(call.shape_of(x)) + 1
    return call.apply(ops.Permute((*range(rank - 2), rank - 1, rank - 2)), x)
