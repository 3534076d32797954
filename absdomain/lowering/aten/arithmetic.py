"""Sums, products, quotients and powers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import log

import torch
from torch import Tensor

from absdomain import ops
from absdomain.kinds.live import Live
from absdomain.lowering.aten.arguments import constant, expanded, expression
from absdomain.lowering.aten.masking import finite, low, without
from absdomain.lowering.levels import floor
from absdomain.lowering.table import Activation, Call, Mask, Value, lowers


@lowers("aten.add.Tensor", "aten.add.Scalar")
def _add(call: Call, x: Value, y: Value, *, alpha: float = 1) -> Activation:
    for one, other in ((x, y), (y, x)):
        taken = low(other) if alpha == 1 and isinstance(one, Activation) else None
        if taken is not None:
            return without(call, total(call, one, finite(call, other)), taken)
    return total(call, x, scaled(call, y, alpha))


@lowers("aten.sub.Tensor", "aten.sub.Scalar")
def _sub(call: Call, x: Value, y: Value, *, alpha: float = 1) -> Activation:
    return total(call, x, scaled(call, y, -alpha))


@lowers("aten.rsub.Tensor", "aten.rsub.Scalar")
def _rsub(call: Call, x: Value, y: Value, alpha: float = 1) -> Activation:
    return total(call, y, scaled(call, x, -alpha))


@lowers("aten.lerp.Scalar", "aten.lerp.Tensor")
def _lerp(call: Call, x: Value, y: Value, weight: Value) -> Activation:
    """(1 - w) x + w y, which for constant w no relaxation loses anything of."""
    if isinstance(weight, Activation):
        return total(call, x, times(call, weight, difference(call, y, x)))
    rest = 1.0 - weight if isinstance(weight, float | int) else expression(call, lambda w: 1 - w, weight)
    return total(call, times(call, x, rest), times(call, y, weight))


def difference(call: Call, x: Value, y: Value) -> Value:
    """x - y, of activations or constants."""
    if isinstance(x, Activation) or isinstance(y, Activation):
        return total(call, x, scaled(call, y, -1))
    one, two = constant(call, x), constant(call, y)
    return Live(lambda: _present(one) - _present(two))


def _present(value: Live | Tensor) -> Tensor:
    return value.read() if isinstance(value, Live) else value


@lowers("aten.addcmul.default")
def _addcmul(call: Call, x: Value, y: Value, z: Value, *, value: float = 1) -> Activation:
    """x + value y z."""
    return total(call, x, scaled(call, times(call, y, z), value))


@lowers("aten.addcdiv.default")
def _addcdiv(call: Call, x: Value, y: Value, z: Value, *, value: float = 1) -> Activation:
    """x + value y / z."""
    fixed = not (isinstance(y, Activation) or isinstance(z, Activation))
    quotient = Live(lambda: _present(y) / _present(z)) if fixed else _div(call, y, z)
    return total(call, x, scaled(call, quotient, value))


def times(call: Call, x: Value, y: Value) -> Value:
    """x y, of activations or constants."""
    if isinstance(x, Activation) or isinstance(y, Activation):
        return _mul(call, x, y)
    one, two = constant(call, x), constant(call, y)
    return Live(lambda: _present(one) * _present(two))


@lowers("aten.neg.default")
def _neg(call: Call, x: Value) -> Value:
    return scaled(call, x, -1)


@lowers("aten.mul.Tensor", "aten.mul.Scalar")
def _mul(call: Call, x: Value, y: Value) -> Activation:
    x, y = (v.made(call) if isinstance(v, Mask) else v for v in (x, y))
    if isinstance(x, Activation) and isinstance(y, Activation):
        return product(call, x, y)
    x, factor = (x, y) if isinstance(x, Activation) else (y, x)
    return call.apply(ops.Scale(constant(call, factor), None), expanded(call, x))


@lowers("aten.div.Tensor", "aten.div.Scalar", "aten.true_divide.Tensor")
def _div(call: Call, x: Value, y: Value) -> Activation:
    if isinstance(y, Activation):
        return _mul(call, x, power(call, y, -1))
    dtype = call.node.meta["val"].dtype  # an integer or a less precise divisor is inverted as precisely as it divides
    inverse = expression(call, lambda c: c.to(torch.promote_types(c.dtype, dtype)).reciprocal(), constant(call, y))
    return call.apply(ops.Scale(inverse, None), expanded(call, x))


@lowers("aten.pow.Tensor_Scalar")
def _pow(call: Call, x: Value, exponent: float) -> Value:
    if exponent == 0:
        call.unsupported("has the exponent 0", "write the constant 1")
    return power(call, x, exponent)


def power(call: Call, x: Activation, exponent: float) -> Activation:
    """x to this power, which is told what x is known to keep."""
    if exponent == 1:
        return x
    whole = float(exponent).is_integer() and exponent > 0
    known = None if whole else floor(call.builder.digraph, x.name, positive=exponent < 0)
    if known is not None:
        return call.apply(ops.Pow(exponent, known), x)
    return call.apply(_POWERS.get(exponent, partial(ops.Pow, exponent))(), x)


_POWERS: dict[float, Callable[[], ops.Pow]] = {2: ops.Square, 0.5: ops.Sqrt, -1: ops.Reciprocal}


def logarithm(call: Call, x: Activation) -> Activation:
    """log x, which is told what x is known to keep."""
    return call.apply(ops.Log(floor(call.builder.digraph, x.name, positive=True)), x)


@lowers("aten.log.default")
def _log(call: Call, x: Value) -> Activation:
    return logarithm(call, x)


@lowers("aten.pow.Scalar")
def _exponential(call: Call, base: float, x: Value) -> Activation:
    """exp(x log b)."""
    if not base > 0:
        call.unsupported(f"has the base {base}", "take a positive one")
    return call.apply(ops.Exp(), scaled(call, x, log(base)))


@lowers("aten.pow.Tensor_Tensor")
def _to_a_power(call: Call, x: Value, y: Value) -> Activation:
    """exp(y log x), for x > 0."""
    if isinstance(x, Activation):
        fractions = isinstance(y, Live) and bool((y.read() != y.read().round()).all())
        if not fractions and floor(call.builder.digraph, x.name, positive=True) is None:
            call.unsupported(
                "has a base that may be 0 or negative, of which y log x has no value",
                "make the base positive, as x.clamp(min=1e-3) or x.exp() + 1e-3, or write a whole power as x ** 2",
            )
        return call.apply(ops.Exp(), times(call, y, logarithm(call, x)))
    if bool((_present(constant(call, x)) <= 0).any()):
        call.unsupported("has a base that is not positive", "take positive ones")
    return call.apply(ops.Exp(), times(call, expression(call, torch.log, constant(call, x)), y))


@lowers("aten.hypot.default")
def _hypot(call: Call, x: Value, y: Value) -> Activation:
    """sqrt(x^2 + y^2)."""
    one, two = (power(call, v, 2) if isinstance(v, Activation) else expression(call, torch.square, v) for v in (x, y))
    summed = total(call, one, two)
    fixed = not (isinstance(x, Activation) and isinstance(y, Activation))  # a constant's square may be a parameter's
    return call.apply(ops.Pow(0.5, 0.0), summed) if fixed else power(call, summed, 0.5)


@lowers("aten.logaddexp.default")
def _logaddexp(call: Call, x: Value, y: Value) -> Activation:
    """y + log(1 + exp(x - y)); at the threshold 40 the drop is 4e-18."""
    return total(call, y, call.apply(ops.Softplus(threshold=40.0), total(call, x, scaled(call, y, -1))))


@lowers("aten.clamp.Tensor", "aten.clamp_min.Tensor")
def _clamp_by(call: Call, x: Value, low: Value = None, high: Value = None) -> Value:
    """min(max(x, low), high), of constants or activations."""
    above = x if low is None else _maximum(call, x, low)
    return above if high is None else _minimum(call, above, high)


@lowers("aten.clamp_max.Tensor")
def _clamp_max_by(call: Call, x: Value, high: Value) -> Value:
    return _clamp_by(call, x, None, high)


@lowers("aten.square.default")
def _square(call: Call, x: Value) -> Value:
    return _pow(call, x, 2)


@lowers("aten.sqrt.default")
def _sqrt(call: Call, x: Value) -> Value:
    return _pow(call, x, 0.5)


@lowers("aten.rsqrt.default")
def _rsqrt(call: Call, x: Value) -> Value:
    return _pow(call, x, -0.5)


@lowers("aten.reciprocal.default")
def _reciprocal(call: Call, x: Value) -> Value:
    return _pow(call, x, -1)


@lowers("aten.maximum.default", "aten.max.other", "aten.fmax.default")
def _maximum(call: Call, x: Value, y: Value) -> Activation:
    """max over a new axis, which interval bounds keep exact; with a constant c, relu(x - c) + c."""
    if isinstance(x, Activation) and isinstance(y, Activation):
        target = (*call.shape, 1)
        pair = (call.apply(ops.Reshape(target), expanded(call, v)) for v in (x, y))
        return call.apply(ops.Max(-1), call.apply(ops.Concat(len(target)), *pair))
    x, level = (x, y) if isinstance(x, Activation) else (y, x)
    return total(call, call.apply(ops.ReLU(), total(call, x, scaled(call, level, -1))), level)


@lowers("aten.minimum.default", "aten.min.other", "aten.fmin.default")
def _minimum(call: Call, x: Value, y: Value) -> Value:
    return scaled(call, _maximum(call, scaled(call, x, -1), scaled(call, y, -1)), -1)


def product(call: Call, x: Activation, y: Activation) -> Activation:
    """x y, both broadcast to the output's shape; x x is a square, which is tighter."""
    if x == y:
        return call.apply(ops.Square(), expanded(call, x))
    return call.apply(ops.Product(), expanded(call, x), expanded(call, y))


def total(call: Call, x: Value, y: Value) -> Activation:
    """x + y, at least one of which is an activation; a constant becomes an offset."""
    if isinstance(x, Activation) and isinstance(y, Activation):
        return call.apply(ops.Add(), expanded(call, x), expanded(call, y))
    x, offset = (x, y) if isinstance(x, Activation) else (y, x)
    return call.apply(ops.Scale(None, constant(call, offset)), expanded(call, x))


def scaled(call: Call, x: Value, factor: float) -> Value:
    """factor x, of an activation or a constant."""
    if factor == 1:
        return x
    if isinstance(x, Activation):
        return call.apply(ops.Scale(torch.tensor(float(factor), dtype=torch.float64), None), x)
    return expression(call, lambda c: c * factor, constant(call, x))
