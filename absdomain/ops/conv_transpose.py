"""Transposed convolutions."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from absdomain.kinds import Affine, Shape
from absdomain.kinds.live import live
from absdomain.ops.conv import CONVOLVE, CONVOLVE_TRANSPOSED


@dataclass(frozen=True, eq=False)
class ConvTranspose(Affine):
    """x -> W^T x + b, the adjoint of a convolution by W over one to three spatial axes, plus b.

    W (C_in, C_out / groups, *kernel), b (C_out,); an axis of n entries becomes one of
    (n - 1) stride - 2 padding + dilation (kernel - 1) + 1 + output_padding (Dumoulin and Visin 2016, section 4).
    """

    weight: Tensor = live(required=True)
    bias: Tensor | None = live()
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    output_padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    @property
    def offset(self) -> Tensor | None:
        bias = self.bias
        return None if bias is None else bias.view(-1, *(1,) * len(self.stride))

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        assert w is not None
        back = CONVOLVE_TRANSPOSED[len(self.stride)]
        return back(xs[0], w, None, self.stride, self.padding, self.output_padding, self.groups, self.dilation)

    def shape(self, *shapes: Shape) -> Shape:
        channels, each, *kernel = self.weight.shape
        if shapes[0][:1] != (channels,):
            raise ValueError(f"ConvTranspose: {channels} channels are needed, as the weight has; got shape {shapes[0]}")
        sizes = zip(shapes[0][1:], kernel, self.stride, self.padding, self.output_padding, self.dilation, strict=True)
        return (each * self.groups, *((n - 1) * s - 2 * p + d * (k - 1) + 1 + more for n, k, s, p, more, d in sizes))

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        """The convolution by W; of the output padding it may read a window too many, which is cut off."""
        assert w is not None
        x = CONVOLVE[len(self.stride)](y, w, None, self.stride, self.padding, self.dilation, self.groups)
        for axis, size in enumerate(shapes[0][1:], 2):
            x = x.narrow(axis, 0, size)
        return (x,)

    def scaled(self, w: Tensor, b: Tensor) -> ConvTranspose | None:
        channels = (self.weight.shape[1], *(1,) * len(self.stride))
        if self.groups > 1 or any(v.dim() > 0 and tuple(v.shape) != channels for v in (w, b)):
            return None  # not one factor and one offset a channel
        w, b = w.to(self.weight), b.to(self.weight)
        bias = b if self.offset is None else w * self.offset + b
        factor = w.expand(channels)
        return replace(self, weight=factor * self.weight, bias=bias.expand(channels).flatten())
