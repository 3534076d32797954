"""Activations between two levels: convex, then concave, with stationary points in closed form."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from absdomain.kinds import Curvature, Smooth
from absdomain.linear import Bounds


@dataclass(frozen=True, eq=False)
class Sigmoid(Smooth):
    """1 / (1 + exp(-x))."""

    lemma = "sigmoid"
    curvature = Curvature((0.0,), (1, -1), (0,), increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].sigmoid()

    def derivative(self, x: Tensor) -> Tensor:
        return x.sigmoid() * (-x).sigmoid()

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """f' = s, that is 2 cosh(x / 2) = s^(-1/2), where 0 < s <= 1/4."""
        x = 2 * (slope.detach().clamp(0, 0.25).abs().rsqrt() / 2).acosh()  # abs: 1 / sqrt(-0.0) is -inf
        return x, -x


@dataclass(frozen=True, eq=False)
class Tanh(Smooth):
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""

    lemma = "tanh"
    curvature = Curvature((0.0,), (1, -1), (0,), increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].tanh()

    def derivative(self, x: Tensor) -> Tensor:
        return 4 * (2 * x).sigmoid() * (-2 * x).sigmoid()

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """f' = s, that is cosh(x) = s^(-1/2), where 0 < s <= 1."""
        x = slope.detach().clamp(0, 1).abs().rsqrt().acosh()  # abs: 1 / sqrt(-0.0) is -inf
        return x, -x
