"""Softmax and normalisation, rewritten as affine ops, log softmax, exponentials, powers and products."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from absdomain import ops
from absdomain.lowering.aten.arguments import constants, expression, reduced_axes, shaped
from absdomain.lowering.aten.arithmetic import scaled
from absdomain.lowering.aten.layout import cast
from absdomain.lowering.aten.masking import softmax_of_kept
from absdomain.lowering.following import bound
from absdomain.lowering.rewritings import centred, divided_by_root, standardised
from absdomain.lowering.table import Activation, Call, Value, lowers


@lowers("aten.softmax.int", "aten._softmax.default")
def _softmax(call: Call, x: Value, axis: int, *dtype: Any) -> Activation:
    """exp(log softmax), which is at most 0, whatever its bounds say."""
    cast(call, x)
    return softmax(call, x, axis)


def softmax(call: Call, x: Activation, axis: int) -> Activation:
    """exp(log softmax) along an axis, of the scores that no mask has taken out."""
    kept = call.builder.masked.get(x.name)
    if kept is not None:
        return softmax_of_kept(call, x, axis, kept)
    return _moved_back(call, call.apply(ops.Exp(ceiling=0.0), _logarithm(call, x, axis)), axis)


@lowers("aten.log_softmax.int", "aten._log_softmax.default")
def _log_softmax(call: Call, x: Value, axis: int, *dtype: Any) -> Activation:
    cast(call, x)
    return _moved_back(call, _logarithm(call, x, axis), axis)


@lowers("aten.layer_norm.default")
def _layer_norm(
    call: Call, x: Value, shape: Any, gain: Value = None, shift: Value = None, eps: float = 1e-5, cudnn: bool = True
) -> Activation:
    """(x - mean) / sqrt(variance + eps) gain + shift over the last axes."""
    rank = len(call.shape_of(x)) + 1
    normed = standardised(call, x, tuple(range(rank - len(shape), rank)), eps)
    gain, shift = constants(call, gain, shift)
    return normed if gain is None and shift is None else call.apply(ops.Scale(gain, shift), normed)


@lowers("aten.rms_norm.default")
def _rms_norm(call: Call, x: Value, shape: Any, gain: Value = None, eps: float | None = None) -> Activation:
    """x / sqrt(mean of x^2 + eps) gain over the last axes."""
    rank = len(call.shape_of(x)) + 1
    eps = float(torch.finfo(call.node.meta["val"].dtype).eps) if eps is None else eps
    normed = divided_by_root(call, x, tuple(range(rank - len(shape), rank)), eps)
    (gain,) = constants(call, gain)
    return normed if gain is None else call.apply(ops.Scale(gain, None), normed)


@lowers(
    "aten.var.correction", "aten.var.dim", "aten.std.correction", "aten.std.dim", "aten.var.default", "aten.std.default"
)
def _variance(call: Call, x: Value, axes: Any = None, *rest: Any, **named: Any) -> Activation:
    """The sum of (x - mean)^2 / (n - correction), which is at least 0, and its root."""
    keepdim, correction = _of_variance(call, rest, named)
    variance = _variance_of(call, x, axes, keepdim, correction)
    return call.apply(ops.Sqrt(), variance) if "std" in call.target else variance


@lowers("aten.var_mean.correction", "aten.var_mean.dim")
def _variance_and_mean(call: Call, x: Value, axes: Any = None, *rest: Any, **named: Any) -> list[Activation]:
    keepdim, correction = _of_variance(call, rest, named)
    over = reduced_axes(call, axes, len(call.shape_of(x)) + 1)
    return [_variance_of(call, x, axes, keepdim, correction), call.apply(ops.Mean(over, keepdim), x)]


def _of_variance(call: Call, rest: Any, named: Any) -> tuple[bool, float]:
    """Whether axes are kept, and what is subtracted from their number: by the schema, of which there are two forms."""
    given = bound(call.node)
    unbiased = given.get("unbiased", True)
    correction = given.get("correction", 1.0 if unbiased else 0.0)
    return bool(given.get("keepdim", False)), 1.0 if correction is None else float(correction)


def _variance_of(call: Call, x: Value, axes: Any, keepdim: bool, correction: float) -> Activation:
    shape = call.shape_of(x)
    over = reduced_axes(call, axes, len(shape) + 1)
    count = prod(shape[axis - 1] for axis in over)
    if count <= correction:
        call.unsupported(f"is of {count} numbers, less {correction}", "give it more, or correction=0")
    variance = call.apply(ops.Mean(over, keepdim), call.apply(ops.Square(), centred(call, x, over)))
    return variance if correction == 0 else scaled(call, variance, count / (count - correction))


@lowers("aten.logsumexp.default")
def _logsumexp(call: Call, x: Value, axes: Any, keepdim: bool = False) -> Activation:
    """x_1 - log softmax(x)_1, of the first entry."""
    shape = call.shape_of(x)
    over = reduced_axes(call, axes, len(shape) + 1)
    around = [axis for axis in range(1, len(shape) + 1) if axis not in over]
    size = prod(shape[axis - 1] for axis in over)
    laid = call.apply(ops.Permute((0, *around, *over)), x)
    laid = shaped(call, laid, (*(shape[axis - 1] for axis in around), size))
    if size > 1:
        logs = call.apply(ops.LogSoftmax(), laid, laid)
        heads = (_narrowed(call, v) for v in (laid, logs))
        first, log = heads
        laid = call.apply(ops.Add(), first, call.apply(ops.Scale(torch.tensor(-1.0, dtype=torch.float64), None), log))
    return shaped(call, laid, call.shape)


def _narrowed(call: Call, x: Activation) -> Activation:
    """The first entry of the last axis."""
    shape = call.shape_of(x)
    return call.apply(ops.Gather(torch.arange(prod(shape)).view(shape)[..., 0].contiguous()), x)


@lowers("aten.group_norm.default")
def _group_norm(
    call: Call, x: Value, groups: int, gain: Value = None, shift: Value = None, eps: float = 1e-5, cudnn: bool = True
) -> Activation:
    """The same over groups of channels and the axes after them."""
    size = call.shape_of(x)
    normed = shaped(call, standardised(call, shaped(call, x, (groups, prod(size) // groups)), (2,), eps), size)
    after = [1] * (len(size) - 1)
    gain, shift = (
        None if v is None else expression(call, lambda w: w.view(-1, *after), v) for v in constants(call, gain, shift)
    )
    return normed if gain is None and shift is None else call.apply(ops.Scale(gain, shift), normed)


def _logarithm(call: Call, x: Value, axis: int) -> Activation:
    """log softmax, its axis last."""
    shape = call.shape_of(x)
    (axis,) = reduced_axes(call, axis, len(shape) + 1)
    order = [i for i in range(len(shape) + 1) if i != axis] + [axis]
    last = x if axis == len(shape) else call.apply(ops.Permute(tuple(order)), x)
    if shape[axis - 1] == 1:
        return call.apply(ops.Scale(torch.zeros((), dtype=torch.float64), None), last)  # log 1
    return call.apply(ops.LogSoftmax(), last, last)


def _moved_back(call: Call, x: Activation, axis: int) -> Activation:
    """The last axis in its own place again."""
    rank = len(call.shape_of(x)) + 1
    order = list(range(rank - 1))
    order.insert(axis % rank, rank - 1)
    return x if axis % rank == rank - 1 else call.apply(ops.Permute(tuple(order)), x)
