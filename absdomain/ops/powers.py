"""Powers of an activation: squares, roots and reciprocals."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from absdomain.kinds import Smooth
from absdomain.linear import Bounds


@dataclass(frozen=True, eq=False)
class Pow(Smooth):
    """x^exponent, or max(x, floor)^exponent.

    A whole exponent takes x of both signs; a negative one has a pole at 0, over which the band is infinite. Others take
    x >= 0. The floor is a positive level that the argument is known to keep: bounds of the argument may fall below it,
    and the band then still is one.
    """

    exponent: float
    floor: float | None = None
    lemma = "pow"

    def __post_init__(self) -> None:
        if self.exponent in (0, 1):
            raise ValueError(
                f"Pow: the exponent is {self.exponent}; that is a constant or the identity, which is affine"
            )
        if self.floor is not None and not self.floor > 0:
            raise ValueError(f"Pow: the floor is {self.floor}; it must be positive, as the argument is known to be")

    @property
    def _whole(self) -> bool:
        return float(self.exponent).is_integer()

    @property
    def domain(self) -> tuple[float, float]:  # type: ignore[override]
        """Every x, or x >= 0."""
        total = self.floor is not None or (self._whole and self.exponent > 0)
        return (-inf, inf) if total else (0.0, inf)

    def defined(self, box: Bounds) -> Tensor | None:
        """On either side of a pole, too."""
        inside = super().defined(box)
        return inside | (box.upper < 0) if inside is not None and self._whole else inside

    @property
    def breaks(self) -> tuple[float, ...]:  # type: ignore[override]
        """The floor, or the inflection point of an odd power."""
        if self.floor is not None:
            return (self.floor,)
        return (0.0,) if self._whole and (self.exponent % 2 == 1 or self.exponent < 0) else ()

    @property
    def convex(self) -> bool:  # type: ignore[override]
        """Whether f is convex on all of its domain."""
        return not self.breaks and not 0 < self.exponent < 1

    @property
    def concave(self) -> bool:  # type: ignore[override]
        """Whether f is concave on all of its domain."""
        return not self.breaks and 0 < self.exponent < 1

    def __call__(self, *xs: Tensor) -> Tensor:
        return (xs[0] if self.floor is None else xs[0].clamp(min=self.floor)).pow(self.exponent)

    def derivative(self, x: Tensor) -> Tensor:
        if self.floor is None:
            return self.exponent * x.pow(self.exponent - 1)
        return self.exponent * x.clamp(min=self.floor).pow(self.exponent - 1) * (x > self.floor)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """+-|s / exponent|^(1 / (exponent - 1)), of which one, both or none is stationary, and the floor."""
        x = (slope.detach() / self.exponent).abs().pow(1 / (self.exponent - 1))
        return (x, -x, *(torch.full_like(x, b) for b in self.breaks))


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
