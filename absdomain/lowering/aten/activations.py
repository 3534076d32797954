"""Activation functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import log, pi, sqrt
from typing import Any

import torch

from absdomain import ops
from absdomain.kinds import Elementwise, Op
from absdomain.lowering.activations import affine, celu, clamp, elu, gelu
from absdomain.lowering.aten.arguments import expression
from absdomain.lowering.aten.arithmetic import logarithm
from absdomain.lowering.table import Activation, Call, Value, lowers

# Those that are one op, whatever the arguments.
_PLAIN: dict[str, Callable[[], Op]] = {
    "aten.relu.default": ops.ReLU,
    "aten.sigmoid.default": ops.Sigmoid,
    "aten.tanh.default": ops.Tanh,
    "aten.silu.default": ops.SiLU,
    "aten.exp.default": ops.Exp,
    "aten.abs.default": ops.Abs,
    "aten.sin.default": ops.Sin,
    "aten.cos.default": ops.Cos,
    "aten.tan.default": ops.Tan,
    "aten.asin.default": ops.Asin,
    "aten.acosh.default": ops.Acosh,
    "aten.hardswish.default": ops.HardSwish,
    "aten.sign.default": ops.Sign,
    "aten.sgn.default": ops.Sign,
    "aten.special_expit.default": ops.Sigmoid,
    "aten.floor.default": ops.Floor,
    "aten.ceil.default": ops.Ceil,
    "aten.round.default": ops.Round,
}


@lowers(*_PLAIN)
def _plain(call: Call, x: Value) -> Activation:
    return call.apply(_PLAIN[call.target](), x)


@lowers("aten.clamp.default", "aten.clamp_min.default", "aten.hardtanh.default")
def _clamp(call: Call, x: Value, low: float | None = None, high: float | None = None) -> Activation:
    if call.target == "aten.hardtanh.default":  # its own defaults are not written down
        low, high = -1.0 if low is None else low, 1.0 if high is None else high
    low, high = -torch.inf if low is None else float(low), torch.inf if high is None else float(high)
    return clamp(call, x, low, high)


@lowers("aten.clamp_max.default")
def _clamp_max(call: Call, x: Value, high: float) -> Activation:
    return _clamp(call, x, None, high)


@lowers("aten.relu6.default")
def _relu6(call: Call, x: Value) -> Activation:
    return _clamp(call, x, 0.0, 6.0)


@lowers("aten.hardsigmoid.default")
def _hardsigmoid(call: Call, x: Value) -> Activation:
    return _clamp(call, affine(call, x, 1 / 6, 0.5), 0.0, 1.0)


@lowers("aten.leaky_relu.default")
def _leaky_relu(call: Call, x: Value, slope: float = 0.01) -> Activation:
    return call.apply(ops.LeakyReLU(slope), x)


@lowers("aten.rrelu.default")
def _rrelu(
    call: Call, x: Value, lower: float = 0.125, upper: float = 1 / 3, training: bool = False, *rest: Any
) -> Activation:
    """In evaluation mode the slope is the mean."""
    if training:
        call.unsupported("is random in evaluation mode, too", "give it training=self.training")
    return call.apply(ops.LeakyReLU((lower + upper) / 2), x)


@lowers("aten.prelu.default")
def _prelu(call: Call, x: Value, slope: Value) -> Activation:
    """One slope, or one a channel."""
    after = (1,) * (len(call.shape) - 1)
    return call.apply(ops.PReLU(expression(call, lambda a: a.view(-1, *after), slope)), x)


@lowers("aten.exp2.default")
def _exp2(call: Call, x: Value) -> Activation:
    return call.apply(ops.Exp(), affine(call, x, log(2)))


@lowers("aten.log2.default", "aten.log10.default")
def _log_by(call: Call, x: Value) -> Activation:
    return affine(call, logarithm(call, x), 1 / log(2 if "2" in call.target else 10))


@lowers("aten.gelu.default")
def _gelu(call: Call, x: Value, *, approximate: str = "none") -> Activation:
    return gelu(call, x, approximate)


@lowers("aten.softplus.default")
def _softplus(call: Call, x: Value, beta: float = 1.0, threshold: float = 20.0) -> Activation:
    if not threshold > 0:
        call.unsupported(f"has the threshold {threshold}, at which it jumps", "give a positive one, such as 20")
    return call.apply(ops.Softplus(float(beta), float(threshold)), x)


@lowers("aten.log_sigmoid.default")
def _log_sigmoid(call: Call, x: Value) -> Activation:
    """-log(1 + exp(-x)); at the threshold 40 the drop is 4e-18."""
    return affine(call, call.apply(ops.Softplus(threshold=40.0), affine(call, x, -1.0)), -1.0)


@lowers("aten.elu.default")
def _elu(call: Call, x: Value, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Activation:
    if input_scale != 1:
        call.unsupported(f"has input_scale {input_scale}", "use 1")
    return elu(call, x, alpha, scale)


@lowers("aten.selu.default")
def _selu(call: Call, x: Value) -> Activation:
    return elu(call, x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


@lowers("aten.celu.default")
def _celu(call: Call, x: Value, alpha: float = 1.0) -> Activation:
    return celu(call, x, alpha)


@lowers("aten.expm1.default")
def _expm1(call: Call, x: Value) -> Activation:
    return affine(call, call.apply(ops.Exp(), x), 1.0, -1.0)


@lowers("aten.log1p.default")
def _log1p(call: Call, x: Value) -> Activation:
    return logarithm(call, affine(call, x, 1.0, 1.0))


@cache
def _formulas() -> dict[str, Elementwise]:
    """Those that their formula alone declares."""
    import sympy

    from absdomain.ops.formula import from_sympy

    x = sympy.Symbol("x", real=True)
    given = {
        "aten.mish.default": x * sympy.tanh(sympy.log(1 + sympy.exp(x))),
        "aten.erf.default": sympy.erf(x),
        "aten.atan.default": sympy.atan(x),
        "aten.sinh.default": sympy.sinh(x),
        "aten.cosh.default": sympy.cosh(x),
    }
    return {target: from_sympy(formula) for target, formula in given.items()}


@lowers("aten.mish.default", "aten.erf.default", "aten.atan.default", "aten.sinh.default", "aten.cosh.default")
def _by_formula(call: Call, x: Value) -> Activation:
    return call.apply(_formulas()[call.target], x)


@lowers("aten.acos.default")
def _acos(call: Call, x: Value) -> Activation:
    """pi / 2 - asin(x)."""
    return affine(call, call.apply(ops.Asin(), x), -1.0, pi / 2)


@lowers("aten.logit.default")
def _logit(call: Call, x: Value, eps: float | None = None) -> Activation:
    """log(x / (1 - x)), of x moved into [eps, 1 - eps]."""
    if eps is not None and not 0 < eps < 0.5:
        call.unsupported(f"has eps {eps}", "take one between 0 and 1 / 2")
    return call.apply(ops.Logit(), x if eps is None else call.apply(ops.Clamp(float(eps), 1.0 - eps), x))


@lowers("aten.atanh.default")
def _atanh(call: Call, x: Value) -> Activation:
    """logit((1 + x) / 2) / 2."""
    return affine(call, call.apply(ops.Logit(), affine(call, x, 0.5, 0.5)), 0.5)


@lowers("aten.erfc.default", "aten.special_ndtr.default", "aten.special_erfc.default")
def _by_erf(call: Call, x: Value) -> Activation:
    """1 - erf(x), and (1 + erf(x / sqrt 2)) / 2."""
    if "erfc" in call.target:
        return affine(call, call.apply(_formulas()["aten.erf.default"], x), -1.0, 1.0)
    return affine(call, call.apply(_formulas()["aten.erf.default"], affine(call, x, sqrt(0.5))), 0.5, 0.5)


@lowers("aten.trunc.default")
def _trunc(call: Call, x: Value) -> Activation:
    """floor(max(x, 0)) - floor(max(-x, 0))."""
    right, left = (call.apply(ops.Floor(), call.apply(ops.ReLU(), v)) for v in (x, affine(call, x, -1.0)))
    return call.apply(ops.Add(), right, affine(call, left, -1.0))


@lowers("aten.frac.default")
def _frac(call: Call, x: Value) -> Activation:
    """x - trunc(x)."""
    return call.apply(ops.Add(), x, affine(call, _trunc(call, x), -1.0))


@lowers(
    "aten.remainder.Scalar", "aten.fmod.Scalar", "aten.floor_divide.default", "aten.div.Tensor_mode",
    "aten.div.Scalar_mode",
)  # fmt: skip
def _divided(call: Call, x: Value, divisor: Any, *, rounding_mode: str | None = "floor") -> Activation:
    """The whole number of times that a number goes into x, rounded down or to 0, and what remains."""
    if not isinstance(x, Activation) or not isinstance(divisor, float | int) or divisor == 0 or rounding_mode is None:
        call.unsupported("is no division by a number that is not 0", "divide, and round the quotient")
    quotient = affine(call, x, 1 / divisor)
    down = "fmod" not in call.target and rounding_mode == "floor"
    times = call.apply(ops.Floor(), quotient) if down else _trunc(call, quotient)
    if "div" in call.target:
        return times
    return call.apply(ops.Add(), x, affine(call, times, -float(divisor)))


@lowers("aten.round.decimals")
def _round(call: Call, x: Value, *, decimals: int) -> Activation:
    """To so many digits after the point."""
    return affine(call, call.apply(ops.Round(), affine(call, x, 10.0**decimals)), 10.0**-decimals)
