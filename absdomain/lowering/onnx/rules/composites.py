"""Softmax and normalisation, rewritten as affine ops, log softmax, exponentials, powers and products."""

from __future__ import annotations

from math import prod

import numpy

from absdomain import ops
from absdomain.kinds import Op, Shape
from absdomain.lowering.activations import affine
from absdomain.lowering.onnx.rules.arithmetic import product, summed
from absdomain.lowering.onnx.table import Activation, Call, Value, lowers
from absdomain.lowering.rewritings import standardised


@lowers("Softmax", "LogSoftmax")
def _softmax(call: Call, x: Value) -> Activation:
    """Over one axis; before opset 13 over that axis and all after it. Softmax is exp(log softmax), at most 0."""
    x = call.active(x)
    rank = len(x.shape)
    axis = call.attribute("axis", -1 if call.opset >= 13 else 1) % rank
    last = (*(a for a in range(rank) if a != axis), axis)
    if call.opset < 13:
        held = call.viewed(x, (prod(x.shape[:axis]), prod(x.shape[axis:])))
    else:
        held = (
            call.raw(ops.Permute((0, *(a + 1 for a in last))), call.viewed(x, x.shape)) if axis < rank - 1 else x.name
        )
    if call.builder.shape(held)[-1] == 1:
        call.unsupported("is over an axis of one entry", "it is constant; leave it out")
    value = call.raw(ops.LogSoftmax(), held, held)
    if call.operator == "Softmax":
        value = call.raw(ops.Exp(ceiling=0.0), value)
    if call.opset >= 13 and axis < rank - 1:
        value = call.raw(ops.Permute((0, *(last.index(a) + 1 for a in range(rank)))), value)
    return call.known(value, call.shape)


@lowers("LayerNormalization")
def _layer_norm(call: Call, x: Value, gain: Value, shift: Value = None) -> list[Activation]:
    """(x - mean) / sqrt(variance + eps) gain + shift over the axes from `axis` on."""
    _only_one(call)
    x = call.active(x)
    axis = call.attribute("axis", -1) % len(x.shape)
    normed = _standard(call, x, tuple(range(axis, len(x.shape))))
    return [_affinely(call, normed, gain, shift)]


@lowers("InstanceNormalization")
def _instance_norm(call: Call, x: Value, gain: Value, shift: Value) -> Activation:
    """The same over the axes after the channels, with a gain and a shift for each channel."""
    x = call.active(x)
    normed = _standard(call, x, tuple(range(2, len(x.shape))))
    return _affinely(call, normed, *(_per_channel(call, v, len(x.shape)) for v in (gain, shift)))


@lowers("GroupNormalization")
def _group_norm(call: Call, x: Value, gain: Value, shift: Value) -> Activation:
    """The same over groups of channels; before opset 21 with a gain and a shift for each group."""
    x = call.active(x)
    groups, channels = call.attribute("num_groups"), x.shape[1]
    grouped: Shape = (x.shape[0], groups, prod(x.shape[1:]) // groups)
    normed = call.reshaped(_standard(call, call.reshaped(x, grouped), (2,)), x.shape)
    repeat = 1 if call.opset >= 21 else channels // groups
    both = (numpy.repeat(call.constant(v, "a gain or shift"), repeat) for v in (gain, shift))
    return _affinely(call, normed, *(_per_channel(call, v, len(x.shape)) for v in both))


@lowers("MeanVarianceNormalization")
def _mean_variance(call: Call, x: Value) -> Activation:
    x = call.active(x)
    axes = tuple(sorted(a % len(x.shape) for a in call.attribute("axes", (0, 2, 3))))
    if any(x.shape[axis] > 1 for axis in axes):
        call.unsupported("divides by the deviation plus 1e-9", "use LayerNormalization or InstanceNormalization")
    return x


@lowers("LpNormalization")
def _lp_norm(call: Call, x: Value) -> Activation:
    """x / |x|_p along one axis, p 1 or 2, and 0 at 0, where it jumps: |x| + 1 - sign |x| is 1 there, |x| elsewhere.

    Over boxes that hold 0 the quotient has no bounds.
    """
    x = call.active(x)
    axis, order = call.attribute("axis", -1) % len(x.shape), call.attribute("p", 2)
    if x.shape[axis] == 1:
        call.unsupported("is over an axis of one entry", "it is the sign; use Sign")
    each: Op = ops.Abs() if order == 1 else ops.Square()
    inverse: Op = ops.Reciprocal() if order == 1 else ops.Pow(-0.5)
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    total = call.known(call.raw(ops.Sum((call.axis(x, axis),), True), call.apply(each, x).name), shape)
    beside = affine(call, call.apply(ops.Sign(), total), -1.0, 1.0)
    return product(call, x, call.apply(inverse, summed(call, total, beside, shape)), x.shape)


def _standard(call: Call, x: Activation, axes: tuple[int, ...]) -> Activation:
    eps = call.attribute("epsilon", 1e-5)
    wide = tuple(call.axis(x, axis) for axis in axes if x.shape[axis] > 1)
    if not wide:
        call.unsupported("is over one entry", "it is constant; leave it out")
    return standardised(call, x, wide, eps)


def _affinely(call: Call, x: Activation, gain: Value, shift: Value) -> Activation:
    scaled = x if gain is None else product(call, x, gain, x.shape)
    return scaled if shift is None else summed(call, scaled, shift, x.shape)


def _per_channel(call: Call, v: Value, rank: int) -> Value:
    return call.constant(v, "a gain or shift").reshape(1, -1, *(1,) * (rank - 2))


def _only_one(call: Call) -> None:
    if any(call.node.output[1:]):
        call.unsupported("gives the mean and the deviation, too", "use its first output only")
