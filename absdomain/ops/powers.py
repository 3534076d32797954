"""Powers of an activation: squares, roots and reciprocals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf

import torch
from torch import Tensor

from absdomain.kinds import Curvature, Smooth
from absdomain.linear import Bounds


@dataclass(frozen=True, eq=False)
class Pow(Smooth):
    """x^exponent, or max(x, floor)^exponent.

    A whole exponent takes x of both signs; a negative one has a pole at 0, over which the band is infinite. Others take
    x >= 0. The floor is a level that the argument is known to keep, positive or for positive exponents 0, as for a sum
    of squares: bounds of the argument may fall below it, and the band then still is one.
    """

    exponent: float
    floor: float | None = None
    lemma = "pow"

    def __post_init__(self) -> None:
        if self.exponent in (0, 1):
            raise ValueError(
                f"Pow: the exponent is {self.exponent}; that is a constant or the identity, which is affine"
            )
        if self.floor is not None and not (self.floor > 0 or (self.floor == 0 and self.exponent > 0)):
            raise ValueError(
                f"Pow: the floor is {self.floor}; it must be positive, as the argument is known to be, or 0 where the "
                "exponent is"
            )

    @property
    def _whole(self) -> bool:
        return float(self.exponent).is_integer()

    @cached_property
    def curvature(self) -> Curvature:
        """For x > 0 concave where 0 < exponent < 1, else convex; for x < 0 the same, or of odd powers the opposite.

        At a pole f' falls from the largest to the least, of odd powers it is the same on both sides. Below a floor f is
        level.
        """
        e = self.exponent
        right = -1 if 0 < e < 1 else 1
        if self.floor is not None:
            return Curvature((self.floor,), (0, right), (0 if self.floor == 0 and e > 1 else 1 if e > 0 else -1,))
        if not self._whole:
            return Curvature(bends=(right,), domain=(0.0, inf))
        if e > 0:
            return Curvature((0.0,), (-1, 1), (0,)) if e % 2 == 1 else Curvature(bends=(1,))
        odd = e % 2 == 1
        return Curvature((0.0,), (-1 if odd else 1, 1), (0 if odd else -1,), domain=(0.0, inf))

    def defined(self, box: Bounds) -> Tensor | None:
        """On either side of a pole, too."""
        inside = super().defined(box)
        return inside | (box.upper < 0) if inside is not None and self._whole else inside

    def __call__(self, *xs: Tensor) -> Tensor:
        if self.floor == 0:
            above = ~(xs[0] <= 0)  # of a NaN, which stays; where f stands upright no gradient is taken
            return torch.where(above, torch.where(above, xs[0], 1.0).pow(self.exponent), 0.0)
        return (xs[0] if self.floor is None else xs[0].clamp(min=self.floor)).pow(self.exponent)

    def derivative(self, x: Tensor) -> Tensor:
        if self.floor is None:
            return self.exponent * x.pow(self.exponent - 1)
        if self.floor == 0:
            above, least = ~(x <= 0), torch.finfo(x.dtype).tiny  # below it quotients of f are larger than f'
            rate = self.exponent * torch.where(above, x, 1.0).pow(self.exponent - 1)
            return torch.where(above, rate.masked_fill((x < least) & (self.exponent < 1), torch.inf), 0.0)
        return self.exponent * x.clamp(min=self.floor).pow(self.exponent - 1) * (x > self.floor)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """+-|s / exponent|^(1 / (exponent - 1)), of which one, both or none is stationary, and the floor."""
        x = (slope.detach() / self.exponent).abs().pow(1 / (self.exponent - 1))
        return (x, -x, *(torch.full_like(x, b) for b in self.curvature.breaks))


@dataclass(frozen=True, eq=False)
class Square(Pow):
    """x^2."""

    exponent: float = 2.0


@dataclass(frozen=True, eq=False)
class Sqrt(Pow):
    """x^(1/2)."""

    exponent: float = 0.5


@dataclass(frozen=True, eq=False)
class Reciprocal(Pow):
    """1 / x."""

    exponent: float = -1.0
