"""Softmax and normalisation, rewritten as affine ops, log softmax, exponentials, powers and products."""

from __future__ import annotations

from math import prod
from typing import Any

from absdomain import ops
from absdomain.lowering.aten.arguments import constants, expression, reduced_axes, shaped
from absdomain.lowering.aten.layout import cast
from absdomain.lowering.rewritings import standardised
from absdomain.lowering.table import Activation, Call, Value, lowers


@lowers("aten.softmax.int", "aten._softmax.default")
def _softmax(call: Call, x: Value, axis: int, *dtype: Any) -> Activation:
    """exp(log softmax), which is at most 0, whatever its bounds say."""
    cast(call, x)
    return softmax(call, x, axis)


def softmax(call: Call, x: Activation, axis: int) -> Activation:
    """exp(log softmax) along an axis."""
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
    if shape[axis - 1] == 1:
        call.unsupported("is over an axis of one entry", "it is constant; leave it out")
    order = [i for i in range(len(shape) + 1) if i != axis] + [axis]
    last = x if axis == len(shape) else call.apply(ops.Permute(tuple(order)), x)
    return call.apply(ops.LogSoftmax(), last, last)


def _moved_back(call: Call, x: Activation, axis: int) -> Activation:
    """The last axis in its own place again."""
    rank = len(call.shape_of(x)) + 1
    order = list(range(rank - 1))
    order.insert(axis % rank, rank - 1)
    return x if axis % rank == rank - 1 else call.apply(ops.Permute(tuple(order)), x)
