"""Convolutions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Affine, Shape
from absdomain.kinds.live import live
from absdomain.linear import Rows

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONVOLVE_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_FEW = 4  # channels


@dataclass(frozen=True, eq=False)
class Conv(Affine):
    """x -> W * x + b over one to three spatial axes; W (C_out, C_in / groups, *kernel), b (C_out,), zero padding."""

    weight: Tensor = live(required=True)
    bias: Tensor | None = live()
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    local = True

    @property
    def offset(self) -> Tensor | None:
        bias = self.bias
        return None if bias is None else bias.view(-1, *(1,) * len(self.stride))

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return self._convolve(xs[0], w, None)

    def shape(self, *shapes: Shape) -> Shape:
        channels = self.weight.shape[1] * self.groups
        if shapes[0][:1] != (channels,):
            raise ValueError(f"Conv: {channels} channels are needed, as the weight has; got shape {shapes[0]}")
        sizes = zip(shapes[0][1:], self.weight.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        return (len(self.weight), *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes))

    def __call__(self, *xs: Tensor) -> Tensor:
        return self._convolve(xs[0], self.weight, self.bias)  # the bias fused

    def _convolve(self, x: Tensor, w: Tensor | None, b: Tensor | None) -> Tensor:
        assert w is not None
        convolve = CONVOLVE[len(self.stride)]
        return convolve(x, w, b, self.stride, self.padding, self.dilation, self.groups)

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        if len(self.stride) == 2 and w.shape[1] <= _FEW and self.groups == 1 and max(self.stride) > 1:
            return (self._by_phases(w, y, shapes[0]),)
        spatial = zip(shapes[0][1:], y.shape[2:], w.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        missed = tuple(size - ((out - 1) * s - 2 * p + d * (k - 1) + 1) for size, out, k, s, p, d in spatial)
        back = CONVOLVE_TRANSPOSED[len(self.stride)]
        return (back(y, w, None, self.stride, self.padding, missed, self.groups, self.dilation),)

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        if rows.frame is None:
            return super().adjoint(rows, *shapes)
        weight, (shape,) = self.weight, shapes
        if not fits(rows, shape, tuple(weight.shape[2:]), self.stride, self.dilation):
            return super().adjoint(rows, shape)
        if rows.unit is not None and self.groups == 1 and max(self.dilation) == 1:
            data = weight[rows.unit]  # a single neuron's coefficients are its kernel
        else:
            clean = rows.cleaned().data
            small = spread(clean.flatten(0, 1), weight, self.stride, self.dilation, self.groups)
            data = small.unflatten(0, clean.shape[:2])
        return (rows.framed(data, shape, rows.frame.before(self.stride, self.padding)),)

    def scaled(self, w: Tensor, b: Tensor) -> Conv | None:
        channels = (len(self.weight), *(1,) * len(self.stride))
        if any(v.dim() > 0 and tuple(v.shape) != channels for v in (w, b)):
            return None  # not one factor and one offset a channel
        w, b = w.to(self.weight), b.to(self.weight)
        bias = b if self.offset is None else w * self.offset + b
        weight = w.reshape(-1, *(1,) * (self.weight.dim() - 1)) * self.weight
        return replace(self, weight=weight, bias=bias.expand(channels).flatten())

    def _by_phases(self, w: Tensor, y: Tensor, shape: Shape) -> Tensor:
        """The transposed convolution into few channels, where PyTorch's is slow, as one convolution.

        An input place i = q s + r - p meets only the taps r + s m: one small kernel for each phase r, whose outputs
        are then interleaved (sub-pixel convolution, Shi et al. 2016). Dilation is first written out as zero taps.
        """
        (sh, sw), (ph, pw), (dh, dw) = self.stride, self.padding, self.dilation
        if max(self.dilation) > 1:
            spread = w.new_zeros(*w.shape[:2], dh * (w.shape[2] - 1) + 1, dw * (w.shape[3] - 1) + 1)
            spread[:, :, ::dh, ::dw] = w
            w = spread
        mh, mw = -(-w.shape[2] // sh), -(-w.shape[3] // sw)
        padded = F.pad(w, (0, mw * sw - w.shape[3], 0, mh * sh - w.shape[2]))
        taps = padded.unflatten(3, (mw, sw)).unflatten(2, (mh, sh))
        kernel = taps.permute(1, 3, 5, 0, 2, 4).flip(4, 5).flatten(0, 2)
        phases = F.conv2d(y, kernel, padding=(mh - 1, mw - 1)).unflatten(1, (w.shape[1], sh, sw))
        full = phases.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
        (_, height, width) = shape
        return F.pad(full, (-pw, width + pw - full.shape[-1], -ph, height + ph - full.shape[-2]))


def fits(rows: Rows, shape: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> bool:
    """Whether the windows of rows over a convolution's value, carried to its argument, are smaller than that."""
    return prod(_extent(rows.window, kernel, stride, dilation)) < prod(shape[1:])


def spread(y: Tensor, w: Tensor, stride: Shape, dilation: Shape, groups: int) -> Tensor:
    """The transposed convolution of many small images y (M, C_out, *size), without padding.

    Into few channels PyTorch's is slow: the convolution's matrix is written out, by convolving unit images, and used.
    """
    size, axes = tuple(y.shape[2:]), len(stride)
    if groups > 1 or w.shape[1] > _FEW or len(y) < y[0].numel():
        back = CONVOLVE_TRANSPOSED[axes]
        return back(y, w, None, stride, 0, 0, groups, dilation)
    image = (w.shape[1], *_extent(size, tuple(w.shape[2:]), stride, dilation))
    units = torch.eye(prod(image), dtype=y.dtype, device=y.device).view(-1, *image)
    matrix = CONVOLVE[axes](units, w, None, stride, 0, dilation).flatten(1)  # (pixels, C_out size)
    return (y.flatten(1) @ matrix.t()).view(len(y), *image)


def _extent(size: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Shape:
    """The size of the image from which a convolution without padding makes one of this size."""
    return tuple((n - 1) * s + d * (k - 1) + 1 for n, k, s, d in zip(size, kernel, stride, dilation, strict=True))
