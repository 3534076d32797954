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

    def roundings(self, *shapes: Shape) -> int:
        return len(shapes) - 1

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

    def roundings(self, *shapes: Shape) -> int:
        """The sums, and a division or a product with 1 / n."""
        return prod(shapes[0]) // prod(self.shape(*shapes)) + 1

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].mean(self.axes, self.keepdim)

    def shape(self, *shapes: Shape) -> Shape:
        return _reduced(shapes[0], self.axes, self.keepdim)


@dataclass(frozen=True, eq=False)
class Sum(Affine):
    """The sum over `axes`, which count the batch and leave it out."""

    axes: tuple[int, ...]
    keepdim: bool = False

    def roundings(self, *shapes: Shape) -> int:
        """The sums, one fewer than terms."""
        return prod(shapes[0]) // prod(self.shape(*shapes)) - 1

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].sum(self.axes, self.keepdim)

    def shape(self, *shapes: Shape) -> Shape:
        return _reduced(shapes[0], self.axes, self.keepdim)


def _reduced(shape: Shape, axes: tuple[int, ...], keepdim: bool) -> Shape:
    """Less the axes, or with one entry along them; by hand, since to ask torch for it imports its compiler."""
    places = {axis if axis < 0 else axis - 1 for axis in axes}
    if 0 in axes or not all(-len(shape) <= place < len(shape) for place in places):
        raise ValueError(f"axes {axes} of a batch of shape (B, {', '.join(map(str, shape))}) are to be summed; the "
                         "batch is axis 0 and stays")  # fmt: skip
    gone = {place % len(shape) for place in places}
    return tuple(1 if i in gone else n for i, n in enumerate(shape) if keepdim or i not in gone)


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

    def roundings(self, *shapes: Shape) -> int:
        """The sums, and a division or a product with 1 / n."""
        return prod(self.kernel) + 1

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return F.avg_pool2d(
            xs[0], self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor
        )

    def shape(self, *shapes: Shape) -> Shape:
        """By hand, as `_reduced`; a last window that would start in the padding is none."""
        found = []
        for n, k, s, p in zip(shapes[0][-2:], self.kernel, self.stride, self.padding, strict=True):
            count = (n + 2 * p - k + (s - 1 if self.ceil_mode else 0)) // s + 1
            found.append(count - (self.ceil_mode and (count - 1) * s >= n + p))
        if len(shapes[0]) < 2 or min(found) < 1:
            raise ValueError(f"AvgPool: windows {self.kernel} are larger than the plane of shape {shapes[0]}")
        return (*shapes[0][:-2], *found)

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        uniform = not self.ceil_mode and (self.count_include_pad or not any(self.padding) or self.divisor is not None)
        if rows.frame is None or not uniform or not fits(rows, shapes[0], self.kernel, self.stride, (1, 1)):
            return super().adjoint(rows, *shapes)
        data = rows.cleaned().data
        kernel = data.new_full((1, 1, *self.kernel), 1 / (self.divisor or prod(self.kernel)))
        each = spread(data.flatten(0, 2).unsqueeze(1), kernel, self.stride, (1, 1), 1)  # a channel is an image
        frame = rows.frame.before(self.stride, self.padding)
        return (rows.framed(each.squeeze(1).unflatten(0, data.shape[:3]), shapes[0], frame),)
