"""The exponential function, its inverse, and the rectifiers that are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, inf, log, log1p

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Curvature, Smooth
from absdomain.linear import Bounds


@dataclass(frozen=True, eq=False)
class Exp(Smooth):
    """exp(x), or exp(min(x, ceiling)).

    The ceiling is a level that the argument is known to keep, as 0 for log softmax: bounds of the argument may rise
    above it, and the band then still is one.
    """

    ceiling: float | None = None
    lemma = "exp"

    @cached_property
    def curvature(self) -> Curvature:
        """Convex; with a ceiling flat after it has risen."""
        if self.ceiling is None:
            return Curvature(bends=(1,), increasing=True)
        return Curvature((self.ceiling,), (1, 0), (-1,), increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return (xs[0] if self.ceiling is None else xs[0].clamp(max=self.ceiling)).exp()

    def derivative(self, x: Tensor) -> Tensor:
        return x.exp() if self.ceiling is None else x.clamp(max=self.ceiling).exp() * (x < self.ceiling)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """log s, for s <= 0 none, and the ceiling."""
        x = slope.detach().relu().log()
        return (x, *(torch.full_like(x, b) for b in self.curvature.breaks))


@dataclass(frozen=True, eq=False)
class Log(Smooth):
    """log(x) for x > 0, or log(max(x, floor)).

    The floor is a level that the argument is known to keep, as 1 for a sum of exponentials of which one is exp(0):
    bounds of the argument may fall below it, and the band then still is one.
    """

    floor: float | None = None
    lemma = "log"

    def __post_init__(self) -> None:
        _check_floor(self.floor, "Log")

    @cached_property
    def curvature(self) -> Curvature:
        """Concave for x > 0; with a floor flat before it rises, and defined everywhere."""
        if self.floor is None:
            return Curvature(bends=(-1,), domain=(0.0, inf), increasing=True)
        return Curvature((self.floor,), (0, -1), (1,), increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].log() if self.floor is None else xs[0].clamp(min=self.floor).log()

    def derivative(self, x: Tensor) -> Tensor:
        return x.reciprocal() if self.floor is None else x.clamp(min=self.floor).reciprocal() * (x > self.floor)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """1 / s for s > 0, and the floor."""
        x = slope.detach().relu().reciprocal()
        return (x, *(torch.full_like(x, b) for b in self.curvature.breaks))


@dataclass(frozen=True, eq=False)
class Softplus(Smooth):
    """log(1 + exp(beta x)) / beta, and x where beta x > threshold, as PyTorch computes it.

    At the threshold f drops by log(1 + exp(-threshold)) / beta, 2e-9 for the usual ones: the band holds on both sides.
    """

    beta: float = 1.0
    threshold: float = 20.0
    lemma = "softplus"
    curvature = Curvature(bends=(1,))  # but for the drop, by which it does not increase

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ValueError(f"Softplus: beta is {self.beta}; it must be positive")
        if not self.threshold > 0:  # f jumps there: by log 2 / beta at 0
            raise ValueError(f"Softplus: the threshold is {self.threshold}; give a positive one, such as 20")

    def __call__(self, *xs: Tensor) -> Tensor:
        # beyond what exp can hold f is x already, and PyTorch's derivative would be inf / inf
        most = log(torch.finfo(xs[0].dtype).max)
        return F.softplus(xs[0], self.beta, min(self.threshold, most))

    def derivative(self, x: Tensor) -> Tensor:
        scaled = self.beta * x
        return torch.where(scaled > self.threshold, 1.0, scaled.sigmoid())

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """And the drop, where rounding of an argument may step over the threshold."""
        (box,) = boxes
        low, high = self._sides_of_the_drop(box.lower.dtype)
        drop = log1p(exp(-self.threshold)) / self.beta
        near = ((box.lower <= high) & (box.upper >= low)).to(box.lower)
        return super().forward_error(boxes) + near * (2 * drop / torch.finfo(box.lower.dtype).eps)

    def _sides_of_the_drop(self, dtype: torch.dtype) -> tuple[float, float]:
        """The last number below the threshold and the first above it: beta x may be rounded across it."""
        edge, step = self.threshold / self.beta, 4 * torch.finfo(dtype).eps
        return edge * (1 - step), edge * (1 + step)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """logit(s) / beta for 0 < s < 1, and points around the threshold."""
        sides = (torch.full_like(slope, side) for side in self._sides_of_the_drop(slope.dtype))
        return (slope.detach().clamp(0, 1).logit() / self.beta, *sides)


@dataclass(frozen=True, eq=False)
class ELU(Smooth):
    """scale x for x > 0, and scale alpha (exp(x) - 1) below (Clevert et al. 2016); SELU is one."""

    alpha: float = 1.0
    scale: float = 1.0
    lemma = "elu"

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and self.scale > 0):
            raise ValueError(f"ELU: alpha is {self.alpha} and scale is {self.scale}; both must be positive")

    @cached_property
    def curvature(self) -> Curvature:
        """Convex below 0 and affine above; there f' jumps from scale alpha to scale."""
        return Curvature((0.0,), (1, 0), ((self.alpha < 1) - (self.alpha > 1),), increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return torch.ops.aten.elu(xs[0], self.alpha, self.scale)

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """And scale alpha below 0, where exp(x) - 1 may be computed as it is written."""
        below = (boxes[0].lower < 0).to(boxes[0].lower)
        return super().forward_error(boxes) + 2 * self.scale * self.alpha * below

    def derivative(self, x: Tensor) -> Tensor:
        below = (x <= 0).to(x)
        return self.scale * (below * self.alpha * (x - x.relu()).exp() + (1 - below))

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """0, and log(s / (scale alpha)) for 0 < s <= scale alpha."""
        x = (slope.detach().relu() / (self.scale * self.alpha)).log()
        return torch.zeros_like(x), -(-x).relu()


def _check_floor(floor: float | None, name: str) -> None:
    if floor is not None and not floor > 0:
        raise ValueError(f"{name}: the floor is {floor}; it must be positive, as the argument is known to be")
