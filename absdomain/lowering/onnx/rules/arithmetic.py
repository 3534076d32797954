"""Sums, products, quotients, powers, maxima and minima."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce

import numpy
import torch

from absdomain import ops
from absdomain.kinds import Shape
from absdomain.lowering.activations import affine
from absdomain.lowering.onnx.table import Activation, Array, Call, Value, lowers


@lowers("Add")
def _add(call: Call, x: Value, y: Value) -> Activation:
    return summed(call, x, y, call.shape)


@lowers("Sub")
def _sub(call: Call, x: Value, y: Value) -> Activation:
    return summed(call, x, negated(call, y), call.shape)


@lowers("Neg")
def _neg(call: Call, x: Activation) -> Value:
    return negated(call, x)


@lowers("Sum")
def _sum(call: Call, *xs: Value) -> Value:
    return reduce(lambda x, y: summed(call, x, y, _both(x, y)), xs)


@lowers("Mean")
def _mean(call: Call, *xs: Value) -> Activation:
    return affine(call, call.active(_sum(call, *xs)), 1 / len(xs))


@lowers("Mul")
def _mul(call: Call, x: Value, y: Value) -> Activation:
    return product(call, x, y, call.shape)


@lowers("Div")
def _div(call: Call, x: Value, y: Value) -> Activation:
    if isinstance(y, Activation):
        return product(call, x, call.apply(ops.Reciprocal(), y), call.shape)
    with numpy.errstate(divide="ignore"):
        return product(call, x, 1 / call.constant(y, "a divisor"), call.shape)


_POWERS: dict[float, Callable[[], ops.Pow]] = {2: ops.Square, 0.5: ops.Sqrt, -1: ops.Reciprocal}


@lowers("Pow")
def _pow(call: Call, x: Value, exponent: Value) -> Activation:
    """One exponent for all entries; a constant to the power of x is exp(x log constant)."""
    if not isinstance(x, Activation):
        base = call.constant(x, "a base")
        if not (base > 0).all():
            call.unsupported("has a base that is not positive", "take a positive one")
        return call.apply(ops.Exp(), product(call, call.active(exponent), numpy.log(base), call.shape))
    powers = numpy.unique(call.constant(exponent, "an exponent"))
    if len(powers) != 1 or powers[0] == 0:
        call.unsupported(f"has the exponents {powers.tolist()}", "take one, other than 0, for all entries")
    power = float(powers[0])
    wide = call.broadcast(x, call.shape)
    return wide if power == 1 else call.apply(_POWERS.get(power, partial(ops.Pow, power))(), wide)


@lowers("Max")
def _max(call: Call, *xs: Value) -> Value:
    return reduce(lambda x, y: maximum(call, x, y, _both(x, y)), xs)


@lowers("Min")
def _min(call: Call, *xs: Value) -> Value:
    return negated(call, _max(call, *(negated(call, x) for x in xs)))


def _both(x: Value, y: Value) -> Shape:
    """The shape to which two values broadcast."""
    assert x is not None and y is not None
    return numpy.broadcast_shapes(x.shape, y.shape)


def negated(call: Call, x: Value) -> Value:
    """-x, of an activation or a constant."""
    if isinstance(x, Activation):
        return affine(call, x, -1.0)
    return -call.constant(x, "an argument")


def summed(call: Call, x: Value, y: Value, shape: Shape) -> Activation:
    """x + y; a constant becomes an offset, and two constants one."""
    if isinstance(x, Activation) and isinstance(y, Activation):
        return call.apply(ops.Add(), call.broadcast(x, shape), call.broadcast(y, shape))
    if not isinstance(x, Activation) and not isinstance(y, Activation):
        return call.constant(x, "an argument") + call.constant(y, "an argument")  # type: ignore[return-value]
    x, offset = (x, y) if isinstance(x, Activation) else (y, x)
    wide = call.broadcast(call.active(x), shape)
    return call.apply(ops.Scale(None, call.against(call.constant(offset, "an argument"), shape)), wide)


def product(call: Call, x: Value, y: Value, shape: Shape) -> Activation:
    """x y; x x is a square, which is tighter."""
    if isinstance(x, Activation) and isinstance(y, Activation):
        if x == y:
            return call.apply(ops.Square(), x)
        return call.apply(ops.Product(), call.broadcast(x, shape), call.broadcast(y, shape))
    x, factor = (x, y) if isinstance(x, Activation) else (y, x)
    wide = call.broadcast(call.active(x), shape)
    return call.apply(ops.Scale(call.against(call.constant(factor, "a factor"), shape), None), wide)


def maximum(call: Call, x: Value, y: Value, shape: Shape) -> Value:
    """max over a new axis, which interval bounds keep exact; with a constant c, relu(x - c) + c."""
    if isinstance(x, Activation) and isinstance(y, Activation):
        if x == y:
            return x
        wide = [call.broadcast(v, shape) for v in (x, y)]
        held = call.shape_of(wide[0])
        pair = [call.viewed(v, (*held, 1)) for v in wide]
        return call.known(call.raw(ops.Max(-1), call.raw(ops.Concat(len(held) + 1), *pair)), shape)
    if not isinstance(x, Activation) and not isinstance(y, Activation):
        return numpy.maximum(call.constant(x, "an argument"), call.constant(y, "an argument"))
    x, level = (x, y) if isinstance(x, Activation) else (y, x)
    return _above(call, call.active(x), call.constant(level, "an argument"), shape)


def _above(call: Call, x: Activation, level: Array, shape: Shape) -> Activation:
    wide = call.broadcast(x, shape)
    if level.size == 1:
        low = float(level.reshape(()))
        return call.apply(ops.ReLU() if low == 0 else ops.Clamp(low, torch.inf), wide)
    shifted = call.apply(ops.ReLU(), summed(call, wide, -level, shape))
    return summed(call, shifted, level, shape)
