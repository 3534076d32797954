"""What a machine makes of a result."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.kinds import Nonlinear, Shape, Slopes
from absdomain.linear import Bounds


@dataclass(frozen=True, eq=False)
class Rounded(Nonlinear):
    """y -> y + [-d, d], entry by entry: every value within d of y. To evaluate it gives one of them, y itself.

    d broadcasts to (B, *shape); where it is infinite, nothing is known of the entry.
    """

    radius: Tensor  # >= 0, perhaps inf
    lemma = "rounded"

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0]

    def shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """min of (1 - s) y - d."""
        rest, box = 1 - slopes[0], boxes[0]
        return torch.minimum(_times(rest, box.lower), _times(rest, box.upper)) - self.radius

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """max of (1 - s) y + d."""
        rest, box = 1 - slopes[0], boxes[0]
        return torch.maximum(_times(rest, box.lower), _times(rest, box.upper)) + self.radius

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """[1, 1]: what it adds follows no slope, and no smaller box makes it less."""
        one = torch.ones_like(boxes[0].lower)
        return (Bounds(one, one),)

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """0: nothing is computed."""
        return torch.zeros_like(boxes[0].lower)

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        return (torch.ones_like(boxes[0].lower),)


def _times(rest: Tensor, end: Tensor) -> Tensor:
    """rest y, and 0 at slope 1, however far away the end is."""
    return torch.where(rest == 0, torch.zeros_like(end), rest * end)
