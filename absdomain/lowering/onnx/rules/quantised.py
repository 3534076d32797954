"""Whole numbers of few bits for real ones."""

from __future__ import annotations

import numpy

from absdomain import ops
from absdomain.kinds import Shape
from absdomain.lowering.onnx.rules.activations import clamped
from absdomain.lowering.onnx.rules.arithmetic import product, summed
from absdomain.lowering.onnx.table import Activation, Array, Call, Value, lowers

_RANGES = {2: (0, 255), 3: (-128, 127), 4: (0, 65535), 5: (-32768, 32767)}  # of ONNX's types: 8 and 16 bits


@lowers("QuantizeLinear")
def _quantise(call: Call, x: Value, scale: Value, zero: Value = None) -> Activation:
    """min(max(round(x / scale) + zero, least), most)."""
    x = call.active(x)
    if call.made not in _RANGES:
        call.unsupported(f"makes numbers of ONNX's type {call.made}", "use 8 or 16 bits")
    step, level = _along(call, scale, x.shape), _along(call, zero, x.shape)
    rounded = call.apply(ops.Round(), product(call, x, 1 / step, x.shape))
    least, most = _RANGES[call.made]
    return clamped(call, summed(call, rounded, level, x.shape), least, most)


@lowers("DequantizeLinear")
def _dequantise(call: Call, x: Value, scale: Value, zero: Value = None) -> Activation:
    """(x - zero) scale."""
    x = call.active(x)
    shifted = summed(call, x, -_along(call, zero, x.shape), x.shape)
    return product(call, shifted, _along(call, scale, x.shape), x.shape)


def _along(call: Call, given: Value, shape: Shape) -> Array:
    """One number, or one for each entry of an axis; none is 0."""
    if given is None:
        return numpy.zeros(())
    numbers = call.constant(given, "a scale or zero point").astype(numpy.float64)
    if call.attribute("block_size", 0):
        call.unsupported("is quantised in blocks", "use one scale for each axis")
    if numbers.size == 1:
        return numbers.reshape(())
    axis = call.attribute("axis", 1) % len(shape)
    return numbers.reshape([-1 if i == axis else 1 for i in range(len(shape))])
