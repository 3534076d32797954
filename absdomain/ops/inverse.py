"""Inverse functions whose derivative grows without bound at the ends of their domain."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from torch import Tensor

from absdomain.kinds import Curvature, Smooth
from absdomain.linear import Bounds

_POLE = 1.57079625129699707  # the float of single precision before pi / 2: the next one is beyond the pole


@dataclass(frozen=True, eq=False)
class Asin(Smooth):
    """asin(x) for -1 <= x <= 1; f' = 1 / sqrt(1 - x^2)."""

    lemma = "asin"
    curvature = Curvature((0.0,), (-1, 1), (0,), (-1.0, 1.0), increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].asin()

    def derivative(self, x: Tensor) -> Tensor:
        return ((1 - x) * (1 + x)).rsqrt()

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """+- sqrt((s - 1) (s + 1)) / s for s >= 1."""
        s = slope.detach().clamp(min=1)
        x = ((s - 1) * (s + 1)).sqrt() / s
        return x, -x


@dataclass(frozen=True, eq=False)
class Acosh(Smooth):
    """acosh(x) for x >= 1; f' = 1 / sqrt(x^2 - 1)."""

    lemma = "acosh"
    curvature = Curvature(bends=(-1,), domain=(1.0, inf), increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].acosh()

    def derivative(self, x: Tensor) -> Tensor:
        return ((x - 1) * (x + 1)).rsqrt()

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """sqrt(1 + 1 / s^2) for s > 0."""
        return ((1 + slope.detach().relu().square().reciprocal()).sqrt(),)


@dataclass(frozen=True, eq=False)
class Logit(Smooth):
    """log(x / (1 - x)) for 0 < x < 1; f' = 1 / (x (1 - x))."""

    lemma = "logit"
    curvature = Curvature((0.5,), (-1, 1), (0,), (0.0, 1.0), increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].logit()

    def derivative(self, x: Tensor) -> Tensor:
        return (x * (1 - x)).reciprocal()

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """(1 + sqrt(1 - 4 / s)) / 2 and 2 / s / (1 + sqrt(1 - 4 / s)) for s >= 4: no difference cancels in either."""
        s = slope.detach().clamp(min=4)
        whole = 1 + (1 - 4 / s).sqrt()
        return whole / 2, 2 / s / whole


@dataclass(frozen=True, eq=False)
class Tan(Smooth):
    """tan(x) between -pi / 2 and pi / 2; f' = 1 + tan(x)^2. Over other boxes nothing is told of it."""

    lemma = "tan"
    curvature = Curvature((0.0,), (-1, 1), (0,), (-_POLE, _POLE), increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].tan()

    def derivative(self, x: Tensor) -> Tensor:
        return 1 + x.tan().square()

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """+- atan(sqrt(s - 1)) for s >= 1."""
        x = (slope.detach() - 1).relu().sqrt().atan()
        return x, -x
