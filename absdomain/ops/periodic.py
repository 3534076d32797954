"""Sine and cosine."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Slopes, Smooth
from absdomain.linear import Bounds


class _Wave(Smooth):
    """f = cos(x - phase): of the points with one value of f', the first and the last of a box are the extremes.

    f' = s has two families of solutions, each 2 pi apart, with one value of f each; along a family f - s x changes by
    -2 pi s per period. Where a float is so large that its spacing is a good part of a period (x > eps^(-1/2)), the
    band is that of -1 <= f <= 1.
    """

    @abstractmethod
    def stationary(self, slope: Tensor) -> tuple[Tensor, Tensor]:
        """One solution of f' = slope from each family, where |slope| <= 1."""

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        found: list[Tensor] = []
        for x in self.stationary(slope.detach().clamp(-1, 1)):
            found.append(x + 2 * pi * ((box.lower - x) / (2 * pi)).ceil().detach())
            found.append(x + 2 * pi * ((box.upper - x) / (2 * pi)).floor().detach())
        return tuple(found)

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """[-1, 1], in which f' lies."""
        one = torch.ones_like(boxes[0].lower)
        return (Bounds(-one, one),)

    def _moved(self, slope: Tensor, box: Bounds) -> Tensor:
        return F.hardtanh(slope)

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        (slope,), (box,) = slopes, boxes
        crude = -1 - torch.maximum(slope * box.lower, slope * box.upper)
        return torch.where(_far(box), crude, super().inf(slopes, boxes))

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        (slope,), (box,) = slopes, boxes
        crude = 1 - torch.minimum(slope * box.lower, slope * box.upper)
        return torch.where(_far(box), crude, super().sup(slopes, boxes))


@dataclass(frozen=True, eq=False)
class Sin(_Wave):
    """sin(x)."""

    lemma = "sin"

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].sin()

    def derivative(self, x: Tensor) -> Tensor:
        return x.cos()

    def stationary(self, slope: Tensor) -> tuple[Tensor, Tensor]:
        x = slope.acos()
        return x, -x


@dataclass(frozen=True, eq=False)
class Cos(_Wave):
    """cos(x)."""

    lemma = "cos"

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].cos()

    def derivative(self, x: Tensor) -> Tensor:
        return -x.sin()

    def stationary(self, slope: Tensor) -> tuple[Tensor, Tensor]:
        x = slope.asin()
        return -x, x + pi


def _far(box: Bounds) -> Tensor:
    edge = torch.finfo(box.lower.dtype).eps ** -0.5
    return torch.maximum(box.lower.abs(), box.upper.abs()) > edge
