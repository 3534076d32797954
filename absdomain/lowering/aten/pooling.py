"""Pooling and reductions."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain import ops
from absdomain.lowering.aten.arguments import along, reduced_axes, repeated, shaped
from absdomain.lowering.aten.arithmetic import scaled
from absdomain.lowering.aten.layout import cast
from absdomain.lowering.table import Activation, Call, Mask, Value, lowers


@lowers(
    "aten.max_pool1d.default", "aten.max_pool2d.default", "aten.max_pool3d.default",
    "aten.max_pool2d_with_indices.default", "aten.max_pool3d_with_indices.default",
)  # fmt: skip
def _max_pool(
    call: Call, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Value:
    size = call.shape_of(x)[1:]
    kernel = repeated(kernel, len(size))
    stride = repeated(stride, len(size)) if stride else kernel
    each = repeated(padding, len(size)), repeated(dilation, len(size))
    try:
        plane = ops.windows(size, kernel, stride, *each, ceil_mode)
    except ValueError as error:
        call.unsupported(str(error), "use less padding")
    pooled = _largest(call, x, plane)
    return [pooled] if "indices" in call.target else pooled


@lowers("aten.adaptive_max_pool1d.default", "aten.adaptive_max_pool2d.default", "aten.adaptive_max_pool3d.default")
def _adaptive_max_pool(call: Call, x: Value, size: Any) -> Value:
    """Windows of several sizes; a place beyond a window's end holds its last one again."""
    given, wanted = call.shape_of(x)[1:], call.shape[1:]
    axes = []
    for n, m in zip(given, wanted, strict=True):
        starts, ends = torch.arange(m) * n // m, -(-torch.arange(1, m + 1) * n // m)
        most = int((ends - starts).max())
        axes.append(torch.minimum(starts + torch.arange(most).unsqueeze(1), ends - 1))
    return [_largest(call, x, ops.positions(given, axes))]


def _largest(call: Call, x: Activation, plane: Tensor) -> Activation:
    """The maxima over windows of each channel's plane, (places of a window, *output plane)."""
    channels, *size = call.shape_of(x)
    start = torch.arange(channels).view(-1, *(1,) * plane.dim()) * prod(size)
    return call.apply(ops.Max(-plane.dim()), call.apply(ops.Gather(start + plane), x))


@lowers("aten.amin.default", "aten.min.dim")
def _amin(call: Call, x: Value, axes: Any = (), keepdim: bool = False) -> Value:
    found = _amax(call, scaled(call, x, -1), axes, keepdim)
    return [scaled(call, found[0], -1)] if isinstance(found, list) else scaled(call, found, -1)


@lowers("aten.amax.default", "aten.max.dim")
def _amax(call: Call, x: Value, axes: Any = (), keepdim: bool = False) -> Value:
    shape, several = call.shape_of(x), call.target.endswith(".dim")
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


@lowers("aten.avg_pool1d.default", "aten.avg_pool3d.default")
def _avg_pool_along(
    call: Call, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor: int | None = None,
) -> Activation:  # fmt: skip
    """The mean over each axis for itself."""
    axes = len(call.shape_of(x)) - 1
    kernel, padding = repeated(kernel, axes), repeated(padding, axes)
    stride = repeated(stride, axes) if stride else kernel
    for place, (k, s, p) in enumerate(zip(kernel, stride, padding, strict=True), 2):
        x = along(call, x, place, partial(_means, k, s, p, ceil_mode, count_include_pad))
    return x if divisor is None else scaled(call, x, prod(kernel) / divisor)


def _means(kernel: int, stride: int, padding: int, ceil_mode: bool, padded: bool, units: Tensor) -> Tensor:
    """The means of windows of each unit vector."""
    return F.avg_pool1d(units, kernel, stride, padding, ceil_mode, padded)


@lowers("aten.adaptive_avg_pool1d.default", "aten.adaptive_avg_pool2d.default", "aten.adaptive_avg_pool3d.default")
def _adaptive_avg_pool(call: Call, x: Value, size: Any) -> Activation:
    """Windows of one size, or along each axis for itself."""
    inputs, outputs = call.shape_of(x)[1:], call.shape[1:]
    if len(inputs) == 2 and not any(i % o for i, o in zip(inputs, outputs, strict=True)):
        kernel = (inputs[0] // outputs[0], inputs[1] // outputs[1])
        return call.apply(ops.AvgPool(kernel, kernel), x)
    for place, out in enumerate(outputs, 2):
        x = along(call, x, place, partial(F.adaptive_avg_pool1d, output_size=out))
    return x


@lowers("aten.mean.dim", "aten.sum.dim_IntList")
def _reduce(call: Call, x: Value, axes: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Activation:
    if isinstance(x, Mask):
        call.unsupported("adds up truth values", "write .to(x.dtype) before")
    cast(call, x)
    kind = ops.Mean if call.target == "aten.mean.dim" else ops.Sum
    return call.apply(kind(reduced_axes(call, axes, len(call.shape_of(x)) + 1), keepdim), x)
