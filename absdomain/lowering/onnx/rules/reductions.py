"""Reductions over axes."""

from __future__ import annotations

from math import prod

import torch

from absdomain import ops
from absdomain.lowering.activations import affine
from absdomain.lowering.onnx.table import Activation, Call, Value, lowers


def _axes(call: Call, x: Activation, given: Value) -> tuple[int, ...]:
    """The axes that are reduced, of the file, in order: of an attribute, an input, or all."""
    listed = call.attribute("axes") if given is None else call.constant(given, "axes").reshape(-1).tolist()
    if not listed:
        return () if call.attribute("noop_with_empty_axes", 0) else tuple(range(len(x.shape)))
    return tuple(sorted(axis % len(x.shape) for axis in listed))


@lowers("ReduceMean", "ReduceSum")
def _linear(call: Call, x: Value, axes: Value = None) -> Activation:
    x = call.active(x)
    kind = ops.Mean if call.operator == "ReduceMean" else ops.Sum
    return _summed(call, x, _axes(call, x, axes), kind)


def _summed(call: Call, x: Activation, axes: tuple[int, ...], kind: type[ops.Mean] | type[ops.Sum]) -> Activation:
    """The sum or mean over axes, those of one entry left out: they may be the batch."""
    wide = tuple(call.axis(x, axis) for axis in axes if x.shape[axis] > 1)
    return call.known(call.raw(kind(wide, True), x.name) if wide else x.name, call.shape)


@lowers("ReduceMax")
def _max(call: Call, x: Value, axes: Value = None) -> Activation:
    x = call.active(x)
    return _greatest(call, x, _axes(call, x, axes))


@lowers("ReduceMin")
def _min(call: Call, x: Value, axes: Value = None) -> Activation:
    x = call.active(x)
    return affine(call, _greatest(call, affine(call, x, -1.0), _axes(call, x, axes)), -1.0)


def _greatest(call: Call, x: Activation, axes: tuple[int, ...]) -> Activation:
    """One maximum over all the axes."""
    return call.known(call.raw(ops.Max(-1), _last(call, x, axes)[0]), call.shape)


def _last(call: Call, x: Activation, axes: tuple[int, ...]) -> tuple[str, int]:
    """x with these axes as one at the end, and how many entries that has."""
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    order = (0, *(axis + 1 for axis in (*kept, *axes)))
    held = call.viewed(x, x.shape)
    moved = held if order == tuple(range(len(order))) else call.raw(ops.Permute(order), held)
    sizes = tuple(x.shape[axis] for axis in kept)
    count = prod(x.shape) // prod(sizes)
    return call.raw(ops.Reshape((*sizes, count)), moved), count


@lowers("ReduceSumSquare")
def _sum_square(call: Call, x: Value, axes: Value = None) -> Activation:
    x = call.active(x)
    return _summed(call, call.apply(ops.Square(), x), _axes(call, x, axes), ops.Sum)


@lowers("ReduceL2")
def _l2(call: Call, x: Value, axes: Value = None) -> Activation:
    return call.apply(ops.Pow(0.5, 0.0), _sum_square(call, x, axes))


@lowers("ReduceL1")
def _l1(call: Call, x: Value, axes: Value = None) -> Activation:
    x = call.active(x)
    return _summed(call, call.apply(ops.Abs(), x), _axes(call, x, axes), ops.Sum)


@lowers("ReduceLogSumExp")
def _log_sum_exp(call: Call, x: Value, axes: Value = None) -> Activation:
    """x_1 - log softmax(x)_1, of the first of the entries."""
    x = call.active(x)
    held, count = _last(call, x, _axes(call, x, axes))
    if count == 1:
        return call.known(held, call.shape)
    rows = prod(call.builder.shape(held)) // count
    first = torch.arange(rows) * count
    logits, logs = (call.raw(ops.Gather(first), v) for v in (held, call.raw(ops.LogSoftmax(), held, held)))
    minus = call.raw(ops.Scale(torch.tensor(-1.0, dtype=torch.float64), None), logs)
    return call.known(call.raw(ops.Add(), logits, minus), call.shape)


@lowers("ReduceLogSum")
def _log_sum(call: Call, x: Value, axes: Value = None) -> Activation:
    x = call.active(x)
    return call.apply(ops.Log(), _summed(call, x, _axes(call, x, axes), ops.Sum))
