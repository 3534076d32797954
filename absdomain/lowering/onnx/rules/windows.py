"""Padding and the places of windows, as ONNX counts them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from absdomain.kinds import Shape
from absdomain.lowering.onnx.table import Call


def padding(call: Call, sizes: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[Shape, Shape]:
    """How far each axis is padded before and after, by `pads` or `auto_pad`."""
    mode, axes = call.attribute("auto_pad", "NOTSET"), len(sizes)
    if mode == "NOTSET":
        pads = tuple(call.attribute("pads", (0,) * (2 * axes)))
        return pads[:axes], pads[axes:]
    if mode == "VALID":
        return (0,) * axes, (0,) * axes
    total = [
        max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)
    ]
    less, more = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return (less, more) if mode == "SAME_UPPER" else (more, less)


def cut(call: Call, whole: Shape, out: Shape) -> tuple[Shape, Shape]:
    """How much of each axis of a transposed convolution is cut off before and after, to leave these sizes."""
    axes, total = len(whole), tuple(w - o for w, o in zip(whole, out, strict=True))
    mode = call.attribute("auto_pad", "NOTSET")
    if mode == "NOTSET" and call.attribute("output_shape") is None:
        pads = tuple(call.attribute("pads", (0,) * (2 * axes)))
        return pads[:axes], pads[axes:]
    if min(total) < 0:
        call.unsupported(f"is to make {out} of {whole}", "pad its input")
    less, more = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return (less, more) if mode == "SAME_UPPER" else (more, less)


def places(
    sizes: Shape, out: Shape, kernel: Shape, stride: Shape, dilation: Shape, before: Shape
) -> list[tuple[Tensor, Tensor]]:
    """Per axis the places (out, kernel) that each window reads, and which of them are inside."""
    found = []
    for n, o, k, s, d, p in zip(sizes, out, kernel, stride, dilation, before, strict=True):
        place = torch.arange(o)[:, None] * s - p + torch.arange(k) * d
        found.append((place, (place >= 0) & (place < n)))
    return found


def flat(axes: Sequence[Tensor], sizes: Shape) -> Tensor:
    """The flat places of a product of windows, (*out, *kernel), from those along each axis, (out, kernel) each."""
    rank = len(axes)
    total = torch.zeros((1,) * (2 * rank), dtype=torch.int64)
    for axis, (place, size) in enumerate(zip(axes, sizes, strict=True)):
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = place.shape
        total = total * size + place.view(shape)
    return total
