"""Activation functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import log
from typing import Any

import torch

from absdomain import ops
from absdomain.kinds import Elementwise, Op
from absdomain.lowering.activations import affine, celu, clamp, elu, gelu
from absdomain.lowering.aten.arguments import expression
from absdomain.lowering.table import Activation, Call, Value, lowers

# Those that are one op, whatever the arguments.
_PLAIN: dict[str, Callable[[], Op]] = {
    "aten.relu.default": ops.ReLU,
    "aten.sigmoid.default": ops.Sigmoid,
    "aten.tanh.default": ops.Tanh,
    "aten.silu.default": ops.SiLU,
    "aten.exp.default": ops.Exp,
    "aten.log.default": ops.Log,
    "aten.abs.default": ops.Abs,
    "aten.sin.default": ops.Sin,
    "aten.cos.default": ops.Cos,
    "aten.hardswish.default": ops.HardSwish,
    "aten.sign.default": ops.Sign,
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
    return affine(call, call.apply(ops.Log(), x), 1 / log(2 if "2" in call.target else 10))


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
    return call.apply(ops.Log(), affine(call, x, 1.0, 1.0))


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
    }
    return {target: from_sympy(formula) for target, formula in given.items()}


@lowers("aten.mish.default", "aten.erf.default", "aten.atan.default")
def _by_formula(call: Call, x: Value) -> Activation:
    return call.apply(_formulas()[call.target], x)
