"""Affine maps with weights."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from absdomain import ops
from absdomain.kinds.live import Live
from absdomain.lowering.aten.arguments import active, constants, expression, repeated
from absdomain.lowering.aten.arithmetic import scaled, total
from absdomain.lowering.table import Activation, Call, Value, lowers


@lowers("aten.linear.default")
def linear(call: Call, x: Value, weight: Value, bias: Value = None) -> Activation:
    """x W^T + b."""
    if isinstance(weight, Live) and weight.read().dim() != 2:
        call.unsupported(f"has a weight of {weight.read().dim()} axes", "use a matrix; a vector is one with one column")
    return call.apply(ops.Dense(*constants(call, weight, bias)), active(call, x))


@lowers("aten.addmm.default")
def _addmm(call: Call, bias: Value, x: Value, weight: Value, *, beta: float = 1, alpha: float = 1) -> Activation:
    """beta bias + alpha x W."""
    turned = expression(call, lambda w: w.t() if alpha == 1 else alpha * w.t(), weight)
    if beta == 1 and isinstance(bias, Live) and bias.read().dim() == 1:
        return linear(call, x, turned, bias)
    return total(call, linear(call, x, turned), scaled(call, bias, beta))


@lowers("aten.bilinear.default")
def _bilinear(call: Call, x: Value, y: Value, weight: Value, bias: Value = None) -> Activation:
    """x^T W_k y + b_k; of a constant side with W the matrix of the other."""
    (weight, bias), rest = constants(call, weight, bias), len(call.shape) - 1
    if isinstance(x, Activation) and isinstance(y, Activation):
        outputs, left, right = weight.read().shape
        rows = linear(call, x, expression(call, lambda w: w.permute(0, 2, 1).reshape(outputs * right, left), weight))
        parts = call.apply(ops.Reshape((*call.shape, right)), rows)
        index = torch.arange(prod(call.shape_of(y))).view(*call.shape[:-1], 1, right).expand(*call.shape, right)
        each = call.apply(ops.Product(), parts, call.apply(ops.Gather(index.contiguous()), y))
        y = call.apply(ops.Sum((rest + 2,)), each)
        return y if bias is None else call.apply(ops.Scale(None, bias), y)
    fixed, equation = (y, "kij,j->ki") if isinstance(x, Activation) else (x, "kij,i->kj")
    if fixed.read().numel() != fixed.read().shape[-1]:
        call.unsupported("has a constant side that differs from place to place", "use x @ W for each place")
    matrix = Live(lambda: torch.einsum(equation, weight.read(), fixed.read().flatten()))
    return linear(call, x if isinstance(x, Activation) else y, matrix, bias)


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
