"""Truth values, 0 and 1, and what chooses by them."""

from __future__ import annotations

import numpy

from absdomain import ops
from absdomain.lowering.activations import affine
from absdomain.lowering.onnx.rules.arithmetic import negated, product, summed
from absdomain.lowering.onnx.rules.layout import rearranged
from absdomain.lowering.onnx.table import Activation, Call, Value, lowers


@lowers("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def _compared(call: Call, x: Value, y: Value) -> Activation:
    """A step at 0 of the difference."""
    low, high = (y, x) if call.operator.startswith("Greater") else (x, y)
    difference = summed(call, high, negated(call, low), call.shape)
    return call.apply(ops.Heaviside(1.0 if call.operator.endswith("OrEqual") else 0.0), difference)


@lowers("Not")
def _not(call: Call, x: Value) -> Activation:
    return affine(call, call.active(x), -1.0, 1.0)


@lowers("And")
def _and(call: Call, x: Value, y: Value) -> Activation:
    return product(call, _counted(x), _counted(y), call.shape)


@lowers("Or")
def _or(call: Call, x: Value, y: Value) -> Activation:
    """Not (not x and not y)."""
    first, other = (
        affine(call, v, -1.0, 1.0) if isinstance(v, Activation) else 1.0 - call.constant(v, "a value") for v in (x, y)
    )
    return affine(call, product(call, first, other, call.shape), -1.0, 1.0)


@lowers("Where")
def _where(call: Call, condition: Value, x: Value, y: Value) -> object:
    """Entries chosen by a constant; or y + c (x - y) for a c of 0 and 1."""
    if not isinstance(condition, Activation):
        return rearranged(call, 1, 2, inputs=(condition, x, y))
    if not isinstance(x, Activation) and not isinstance(y, Activation):
        first, other = call.constant(x, "x"), call.constant(y, "y")
        if not (numpy.isfinite(first).all() and numpy.isfinite(other).all()):
            call.unsupported("chooses an infinite number", "choose finite ones")
        return summed(call, product(call, condition, first - other, call.shape), other, call.shape)
    apart = summed(call, x, negated(call, y), call.shape)
    return summed(call, product(call, condition, apart, call.shape), y, call.shape)


def _counted(x: Value) -> Value:
    """A truth value as a number."""
    return x.astype(numpy.float64) if isinstance(x, numpy.ndarray) else x
