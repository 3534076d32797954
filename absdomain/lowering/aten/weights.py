"""Affine maps with weights."""

from __future__ import annotations

from typing import Any

from absdomain import ops
from absdomain.kinds.live import Live
from absdomain.lowering.aten.arguments import active, constants, expression, repeated
from absdomain.lowering.table import Activation, Call, Value, lowers


@lowers("aten.linear.default")
def linear(call: Call, x: Value, weight: Value, bias: Value = None) -> Activation:
    """x W^T + b."""
    if isinstance(weight, Live) and weight.read().dim() != 2:
        call.unsupported(f"has a weight of {weight.read().dim()} axes", "use a matrix; a vector is one with one column")
    return call.apply(ops.Dense(*constants(call, weight, bias)), active(call, x))


@lowers("aten.addmm.default")
def _addmm(call: Call, bias: Value, x: Value, weight: Value, *, beta: float = 1, alpha: float = 1) -> Activation:
    if (beta, alpha) != (1, 1):
        call.unsupported(f"has beta {beta} and alpha {alpha}", "scale the weights in the module")
    return linear(call, x, expression(call, lambda w: w.t(), weight), bias)


@lowers(
    "aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default", "aten.conv1d.padding", "aten.conv2d.padding",
    "aten.conv3d.padding",
)  # fmt: skip
def _conv(
    call: Call, x: Value, weight: Value, bias: Value = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Activation:  # fmt: skip
    x = active(call, x)
    weight, bias = constants(call, weight, bias)
    kernel = tuple(weight.read().shape[2:])
    axes = len(kernel)
    if len(call.shape_of(x)) != axes + 1:
        call.unsupported("is applied to an input without a batch axis", f"give it {axes + 2} axes")
    dilation = repeated(dilation, axes)
    if padding == "same":  # PyTorch puts the odd one at the end
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        x = call.apply(ops.Pad(tuple(p for t in reversed(total) for p in (t // 2, t - t // 2))), x)
    padding = (0,) * axes if isinstance(padding, str) else repeated(padding, axes)
    return call.apply(ops.Conv(weight, bias, repeated(stride, axes), padding, dilation, groups), x)


@lowers("aten.conv_transpose1d.default", "aten.conv_transpose2d.input", "aten.conv_transpose3d.input")
def _conv_transpose(
    call: Call, x: Value, weight: Value, bias: Value = None, stride: Any = 1, padding: Any = 0, more: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Activation:  # fmt: skip
    x = active(call, x)
    weight, bias = constants(call, weight, bias)
    axes = weight.read().dim() - 2
    if len(call.shape_of(x)) != axes + 1:
        call.unsupported("is applied to an input without a batch axis", f"give it {axes + 2} axes")
    stride, padding, more, dilation = (repeated(value, axes) for value in (stride, padding, more, dilation))
    return call.apply(ops.ConvTranspose(weight, bias, stride, padding, more, dilation, groups), x)


@lowers("aten._native_batch_norm_legit_no_training.default")
def _batch_norm(
    call: Call, x: Value, gain: Value, shift: Value, mean: Value, variance: Value, momentum: float, eps: float
) -> list[Activation]:
    x = active(call, x)
    mean, variance, gain, shift = constants(call, mean, variance, gain, shift)
    return [call.apply(ops.BatchNorm(mean, variance, gain, shift, eps, len(call.shape_of(x)) - 1), x)]
