"""Sums and means."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Affine, Shape
from absdomain.kinds.op import common
from absdomain.linear import Rows
from absdomain.ops.conv import fits, spread


@dataclass(frozen=True, eq=False)
class Add(Affine):
    """x_1 + ... + x_n, all of one shape."""

    local = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return sum(xs[1:], start=xs[0])

    def shape(self, *shapes: Shape) -> Shape:
        return common(self, shapes)

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        return (rows,) * len(shapes)


@dataclass(frozen=True, eq=False)
class Mean(Affine):
    """The mean over `axes`, which count the batch and leave it out."""

    axes: tuple[int, ...]
    keepdim: bool = False

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].mean(self.axes, self.keepdim)


@dataclass(frozen=True, eq=False)
class Sum(Affine):
    """The sum over `axes`, which count the batch and leave it out."""

    axes: tuple[int, ...]
    keepdim: bool = False

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].sum(self.axes, self.keepdim)


@dataclass(frozen=True, eq=False)
class AvgPool(Affine):
    """The mean over windows of the last two axes, zero padding counted or not as PyTorch's avg_pool2d."""

    kernel: Shape
    stride: Shape
    padding: Shape = (0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor: int | None = None
    local = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return F.avg_pool2d(
            xs[0], self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor
        )

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        uniform = not self.ceil_mode and (self.count_include_pad or not any(self.padding) or self.divisor is not None)
        if rows.frame is None or not uniform or not fits(rows, shapes[0], self.kernel, self.stride, (1, 1)):
            return super().adjoint(rows, *shapes)
        data = rows.cleaned().data
        kernel = data.new_full((1, 1, *self.kernel), 1 / (self.divisor or prod(self.kernel)))
        each = spread(data.flatten(0, 2).unsqueeze(1), kernel, self.stride, (1, 1), 1)  # a channel is an image
        frame = rows.frame.before(self.stride, self.padding)
        return (rows.framed(each.squeeze(1).unflatten(0, data.shape[:3]), shapes[0], frame),)
