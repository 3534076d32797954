"""Pooling."""

from __future__ import annotations

from math import prod

import torch

from absdomain import ops
from absdomain.kinds import Shape
from absdomain.lowering.onnx.rules.windows import flat, padding, places
from absdomain.lowering.onnx.table import Activation, Call, Value, lowers


@lowers("MaxPool")
def _max_pool(call: Call, x: Value) -> list[Activation]:
    """The maximum over what each window reads inside; a place outside counts as another one of its window."""
    x = call.active(x)
    sizes, kernel, stride, dilation, before, _ = _windows(call, x)
    axes = []
    for place, inside in places(sizes, call.shape[2:], kernel, stride, dilation, before):
        if not bool(inside.any(1).all()):
            call.unsupported("has a window that reads padding alone", "use less padding")
        axes.append(torch.where(inside, place, place.gather(1, inside.int().argmax(1, keepdim=True))))
    index = flat(axes, sizes).reshape(*call.shape[2:], prod(kernel))
    start = torch.arange(x.shape[1]).view(-1, *(1,) * index.dim()) * prod(sizes)
    pooled = call.raw(ops.Max(-1), call.raw(ops.Gather(start + index), x.name))
    return [call.known(pooled, call.shape)]


@lowers("AveragePool")
def _average_pool(call: Call, x: Value) -> Activation:
    """One mean along each axis after the other: windows are products, and so are the counts of what they read."""
    x = call.active(x)
    sizes, kernel, stride, dilation, before, after = _windows(call, x)
    counts = bool(call.attribute("count_include_pad", 0))
    plain = before == after and not call.attribute("ceil_mode", 0) and set(dilation) == {1}
    if len(kernel) == 2 and plain and all(2 * p <= k for p, k in zip(before, kernel, strict=True)):
        pool = ops.AvgPool(kernel, stride, before, count_include_pad=counts)
        return call.known(call.raw(pool, x.name), call.shape)
    held, shape = x.name, [x.shape[1], *sizes]
    for axis, (place, inside) in enumerate(places(sizes, call.shape[2:], kernel, stride, dilation, before)):
        padded = inside | (place < sizes[axis] + after[axis]) if counts else inside
        weight = torch.zeros(len(place), sizes[axis], dtype=call.dtype)
        share = inside.to(call.dtype) / padded.sum(1, keepdim=True)
        weight.scatter_add_(1, place.clamp(0, sizes[axis] - 1), share)
        held = call.raw(ops.Along(weight, axis + 2), held)
        shape[axis + 1] = len(place)
    return call.known(held, call.shape)


def _windows(call: Call, x: Activation) -> tuple[Shape, Shape, Shape, Shape, Shape, Shape]:
    """The sizes of the plane; kernel, stride, dilation and padding before and after."""
    if len(x.shape) < 3 or x.shape[0] != 1:
        call.unsupported(f"is applied to {x.shape}", "keep the first axis for the batch, of one sample")
    sizes, kernel = x.shape[2:], tuple(call.attribute("kernel_shape"))
    stride, dilation = (tuple(call.attribute(name, (1,) * len(kernel))) for name in ("strides", "dilations"))
    return (sizes, kernel, stride, dilation, *padding(call, sizes, kernel, stride, dilation))


@lowers("GlobalAveragePool")
def _global_average(call: Call, x: Value) -> Activation:
    x = call.active(x)
    axes = tuple(range(2, len(x.shape)))
    mean = ops.Mean(tuple(call.axis(x, axis) for axis in axes), True)
    return call.known(call.raw(mean, x.name), call.shape)


@lowers("GlobalMaxPool")
def _global_max(call: Call, x: Value) -> Activation:
    x = call.active(x)
    flat_shape = (*x.shape[:2], prod(x.shape[2:]))
    return call.known(call.raw(ops.Max(-1), call.viewed(x, flat_shape)), call.shape)
