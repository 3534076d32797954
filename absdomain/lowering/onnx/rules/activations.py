"""Activation functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import pi

import torch

from absdomain import ops
from absdomain.kinds import Elementwise, Op
from absdomain.lowering.activations import affine, celu, clamp, elu, gelu
from absdomain.lowering.onnx.table import Activation, Call, Value, lowers

# Those that are one op, whatever the attributes.
_PLAIN: dict[str, Callable[[], Op]] = {
    "Relu": ops.ReLU,
    "Sigmoid": ops.Sigmoid,
    "Tanh": ops.Tanh,
    "Exp": ops.Exp,
    "Log": ops.Log,
    "Abs": ops.Abs,
    "Sin": ops.Sin,
    "Cos": ops.Cos,
    "Tan": ops.Tan,
    "Asin": ops.Asin,
    "Acosh": ops.Acosh,
    "HardSwish": ops.HardSwish,
    "Sqrt": ops.Sqrt,
    "Reciprocal": ops.Reciprocal,
    "Sign": ops.Sign,
    "Floor": ops.Floor,
    "Ceil": ops.Ceil,
    "Round": ops.Round,
}


@lowers(*_PLAIN)
def _plain(call: Call, x: Activation) -> Activation:
    return call.apply(_PLAIN[call.operator](), x)


@lowers("LeakyRelu")
def _leaky_relu(call: Call, x: Activation) -> Activation:
    return call.apply(ops.LeakyReLU(call.attribute("alpha", 0.01)), x)


@lowers("PRelu")
def _prelu(call: Call, x: Value, slope: Value) -> Activation:
    """With one slope, or one that broadcasts to x."""
    x, a = call.active(x), call.constant(slope, "a slope")
    return call.apply(ops.LeakyReLU(float(a.reshape(()))) if a.size == 1 else ops.PReLU(call.against(a, x.shape)), x)


@lowers("ThresholdedRelu")
def _thresholded_relu(call: Call, x: Activation) -> Activation:
    """x where x > alpha, else 0; it jumps but at 0."""
    alpha = call.attribute("alpha", 1.0)
    if alpha == 0:
        return call.apply(ops.ReLU(), x)
    return call.apply(ops.Product(), call.apply(ops.Heaviside(), affine(call, x, 1.0, -alpha)), x)


@lowers("Acos")
def _acos(call: Call, x: Activation) -> Activation:
    """pi / 2 - asin(x)."""
    return affine(call, call.apply(ops.Asin(), x), -1.0, pi / 2)


@lowers("Atanh")
def _atanh(call: Call, x: Activation) -> Activation:
    """logit((1 + x) / 2) / 2."""
    return affine(call, call.apply(ops.Logit(), affine(call, x, 0.5, 0.5)), 0.5)


@lowers("Clip")
def _clip(call: Call, x: Activation, low: Value = None, high: Value = None) -> Activation:
    """Its ends are attributes before opset 11, and inputs since."""
    least = call.attribute("min", -torch.inf) if low is None else call.number(low, "a lower end")
    most = call.attribute("max", torch.inf) if high is None else call.number(high, "an upper end")
    return clamped(call, x, least, most)


def clamped(call: Call, x: Activation, low: float, high: float) -> Activation:
    """min(max(x, low), high); the largest float32, with which some exporters say that there is no end, is one."""
    if (low, high) == (-torch.inf, torch.inf):
        return x
    return clamp(call, x, low, high)


@lowers("HardSigmoid")
def _hard_sigmoid(call: Call, x: Activation) -> Activation:
    inner = affine(call, x, call.attribute("alpha", 0.2), call.attribute("beta", 0.5))
    return clamped(call, inner, 0.0, 1.0)


@lowers("Elu")
def _elu(call: Call, x: Activation) -> Activation:
    return elu(call, x, call.attribute("alpha", 1.0), 1.0)


@lowers("Selu")
def _selu(call: Call, x: Activation) -> Activation:
    alpha, gamma = (
        call.attribute("alpha", 1.67326319217681884765625),
        call.attribute("gamma", 1.05070102214813232421875),
    )
    return elu(call, x, alpha, gamma)


@lowers("Celu")
def _celu(call: Call, x: Activation) -> Activation:
    return celu(call, x, call.attribute("alpha", 1.0))


@lowers("Gelu")
def _gelu(call: Call, x: Activation) -> Activation:
    return gelu(call, x, call.attribute("approximate", "none"))


@lowers("Softplus")
def _softplus(call: Call, x: Activation) -> Activation:
    """At the threshold 40 the drop is 4e-18."""
    return call.apply(ops.Softplus(threshold=40.0), x)


@lowers("Swish")
def _swish(call: Call, x: Activation) -> Activation:
    alpha = call.attribute("alpha", 1.0)
    if alpha == 0:
        call.unsupported("has alpha 0, with which it is x / 2", "write that")
    return affine(call, call.apply(ops.SiLU(), affine(call, x, alpha)), 1 / alpha)


@cache
def _formulas() -> dict[str, Elementwise]:
    """Those that their formula alone declares."""
    import sympy

    from absdomain.ops.formula import from_sympy

    x = sympy.Symbol("x", real=True)
    given = {
        "Mish": x * sympy.tanh(sympy.log(1 + sympy.exp(x))),
        "Erf": sympy.erf(x),
        "Atan": sympy.atan(x),
        "Sinh": sympy.sinh(x),
        "Cosh": sympy.cosh(x),
        "Softsign": x / (1 + sympy.Abs(x)),
    }
    return {operator: from_sympy(formula) for operator, formula in given.items()}


@lowers("Mish", "Erf", "Atan", "Softsign", "Sinh", "Cosh")
def _by_formula(call: Call, x: Activation) -> Activation:
    return call.apply(_formulas()[call.operator], x)


@lowers("Shrink")
def _shrink(call: Call, x: Value) -> Activation:
    """s(x) - s(-x) of s(x) = x - bias for x > lambd, else 0: a ReLU, and a step where the two numbers differ."""
    bias, edge = call.attribute("bias", 0.0), call.attribute("lambd", 0.5)
    if not edge >= 0:
        call.unsupported(f"has lambd {edge}", "take a number that is at least 0")
    x = call.active(x)
    right, left = (_above(call, affine(call, x, sign, -edge), edge - bias) for sign in (1.0, -1.0))
    return call.apply(ops.Add(), right, affine(call, left, -1.0))


def _above(call: Call, x: Activation, jump: float) -> Activation:
    """x + jump for x > 0, else 0."""
    ramp = call.apply(ops.ReLU(), x)
    return call.apply(ops.Add(), ramp, affine(call, call.apply(ops.Heaviside(), x), jump)) if jump else ramp
