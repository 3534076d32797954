"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

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
    call.room(prod(call.shape) * prod(kernel))
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
    shares = []
    for axis, (place, inside) in enumerate(places(sizes, call.shape[2:], kernel, stride, dilation, before)):
        padded = inside | (place < sizes[axis] + after[axis]) if counts else inside
        shares.append((place, inside.to(call.dtype) / padded.sum(1, keepdim=True)))
    return _weighed(call, x, shares)


def _weighed(call: Call, x: Activation, windows: Sequence[tuple[Tensor, Tensor]]) -> Activation:
    """Sums over windows along one axis after the other: per axis what each reads, and its weight, (out, kernel)."""
    held = x.name
    for axis, ((place, share), n) in enumerate(zip(windows, x.shape[2:], strict=True)):
        call.room(len(place) * (n + place.shape[1]))
        weight = torch.zeros(len(place), n, dtype=call.dtype)
        weight.scatter_add_(1, place.clamp(0, n - 1), share)
        held = call.raw(ops.Along(weight, axis + 2), held)
    return call.known(held, call.shape)


@lowers("LpPool")
def _norm_pool(call: Call, x: Value) -> Activation:
    """(sum of |x|^p over each window)^(1 / p)."""
    x = call.active(x)
    sizes, kernel, stride, dilation, before, _ = _windows(call, x)
    found = places(sizes, call.shape[2:], kernel, stride, dilation, before)
    return _root(call, _weighed(call, _powers(call, x), [(place, inside.to(call.dtype)) for place, inside in found]))


@lowers("GlobalLpPool")
def _global_norm(call: Call, x: Value) -> Activation:
    """The same over the whole plane."""
    x = call.active(x)
    axes = tuple(call.axis(x, axis) for axis in range(2, len(x.shape)))
    return _root(call, call.known(call.raw(ops.Sum(axes, True), _powers(call, x).name), call.shape))


def _powers(call: Call, x: Activation) -> Activation:
    """|x|^p, of p 1 or 2."""
    p = call.attribute("p", 2)
    if p not in (1, 2):
        call.unsupported(f"has p = {p}", "use 1 or 2")
    return call.apply(ops.Abs() if p == 1 else ops.Square(), x)


def _root(call: Call, x: Activation) -> Activation:
    """Of a sum of squares, which is at least 0 whatever its bounds say."""
    return x if call.attribute("p", 2) == 1 else call.apply(ops.Pow(0.5, 0.0), x)


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
