"""Pooling and reductions."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from absdomain import ops
from absdomain.lowering.aten.arguments import reduced_axes, repeated, shaped
from absdomain.lowering.aten.layout import cast
from absdomain.lowering.table import Activation, Call, Value, lowers


@lowers("aten.max_pool2d.default", "aten.max_pool2d_with_indices.default")
def _max_pool(
    call: Call, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Value:
    *channels, height, width = call.shape_of(x)
    kernel = repeated(kernel, 2)
    stride = repeated(stride, 2) if stride else kernel
    try:
        plane = ops.windows((height, width), kernel, stride, repeated(padding, 2), repeated(dilation, 2), ceil_mode)
    except ValueError as error:
        call.unsupported(str(error), "use less padding")
    start = torch.arange(prod(tuple(channels))).view(*channels, 1, 1, 1) * (height * width)
    pooled = call.apply(ops.Max(-3), call.apply(ops.Gather(start + plane), x))
    return pooled if call.target == "aten.max_pool2d.default" else [pooled]


@lowers("aten.amax.default", "aten.max.dim")
def _amax(call: Call, x: Value, axes: Any = (), keepdim: bool = False) -> Value:
    shape, several = call.shape_of(x), call.target == "aten.max.dim"
    rank = len(shape) + 1
    for axis in sorted(reduced_axes(call, axes, rank), reverse=True):
        x = call.apply(ops.Max(axis - rank), x)
        rank -= 1
    target = call.shape
    x = shaped(call, x, target)
    return [x] if several else x


@lowers("aten.avg_pool2d.default")
def _avg_pool(
    call: Call, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor: int | None = None,
) -> Activation:  # fmt: skip
    if divisor is not None and divisor < 0:
        call.unsupported(f"has the divisor {divisor}", "take a positive one, and negate the output")
    kernel = repeated(kernel, 2)
    stride = repeated(stride, 2) if stride else kernel
    return call.apply(ops.AvgPool(kernel, stride, repeated(padding, 2), ceil_mode, count_include_pad, divisor), x)


@lowers("aten.adaptive_avg_pool2d.default")
def _adaptive_avg_pool(call: Call, x: Value, size: Any) -> Activation:
    inputs, outputs = call.shape_of(x)[-2:], call.shape[-2:]
    if any(i % o for i, o in zip(inputs, outputs, strict=True)):
        call.unsupported(f"pools {inputs} to {outputs}, whose windows differ in size", "use avg_pool2d")
    kernel = (inputs[0] // outputs[0], inputs[1] // outputs[1])
    return call.apply(ops.AvgPool(kernel, kernel), x)


@lowers("aten.mean.dim", "aten.sum.dim_IntList")
def _reduce(call: Call, x: Value, axes: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Activation:
    cast(call, x)
    kind = ops.Mean if call.target == "aten.mean.dim" else ops.Sum
    return call.apply(kind(reduced_axes(call, axes, len(call.shape_of(x)) + 1), keepdim), x)
