"""Elementwise scaling."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.kinds import Affine, Op, Shape
from absdomain.kinds.live import derived, live
from absdomain.kinds.scaling import Scaling


@dataclass(frozen=True, eq=False)
class Scale(Scaling):
    """x -> w x + b, elementwise; w and b broadcast to x, whose shape they do not enlarge. w None is 1, b None is 0."""

    weight: Tensor | None = live()
    bias: Tensor | None = live()

    def __call__(self, *xs: Tensor) -> Tensor:
        """In the dtype of x: w and b may be numbers, which have none of their own."""
        y, offset = self.linear(self.weight, *xs), self.offset
        return y if offset is None else y + offset.to(y.dtype)

    def after(self, previous: Op) -> Op | None:
        like = next(v for v in (self.weight, self.bias, torch.ones(())) if v is not None)
        w = torch.ones_like(like) if self.weight is None else self.weight
        return previous.scaled(w, torch.zeros_like(w) if self.bias is None else self.bias)

    def scaled(self, w: Tensor, b: Tensor) -> Scale:
        return Scale(w if self.weight is None else w * self.weight, b if self.bias is None else w * self.bias + b)


@dataclass(frozen=True, eq=False)
class BatchNorm(Scaling):
    """x -> (x - mean) / sqrt(variance + eps) gain + shift per channel, by the running statistics."""

    mean: Tensor = live(required=True)
    variance: Tensor = live(required=True)
    gain: Tensor | None = live()
    shift: Tensor | None = live()
    eps: float = 1e-5
    axes: int = 2  # spatial axes after the channel

    @derived
    def weight(self) -> Tensor:
        """gain / sqrt(variance + eps), (C, 1, ...)."""
        scale = torch.rsqrt(self.variance + self.eps)
        return self._channels(scale if self.gain is None else scale * self.gain)

    @derived
    def bias(self) -> Tensor:
        """shift - mean weight, (C, 1, ...)."""
        offset = -self._channels(self.mean) * self.weight
        return offset if self.shift is None else offset + self._channels(self.shift)

    @property
    def offset_size(self) -> Tensor:
        """|shift| + |mean weight|: the two may cancel."""
        size = (self._channels(self.mean) * self.weight).abs()
        return size if self.shift is None else size + self._channels(self.shift).abs()

    def roundings(self, *shapes: Shape) -> int:
        """The sum, the root, the quotient and the product of which w is made, (x - mean) w + shift, and a few."""
        return 12

    def _channels(self, v: Tensor) -> Tensor:
        return v.view(-1, *(1,) * self.axes)

    def after(self, previous: Op) -> Op | None:
        return previous.scaled(self.weight, self.bias)

    def freeze(self) -> Affine:
        return Scale(self.weight, self.bias).freeze()
