"""Gated activations: x times a sigmoid of x; concave, convex around 0, and concave."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Bracketed, Curvature, Smooth
from absdomain.linear import Bounds

_SILU_FLAT = 2.3993572805154668  # x tanh(x / 2) = 2
_TANH_FLAT = 1.4185040087908284  # f'' = 0 for the form by tanh
_C = sqrt(2 / pi)


@dataclass(frozen=True, eq=False)
class SiLU(Bracketed):
    """x / (1 + exp(-x)), also called swish (Elfwing et al. 2018); it bends where x tanh(x / 2) = 2."""

    lemma = "silu"
    curvature = Curvature((-_SILU_FLAT, _SILU_FLAT), (-1, 1, -1))

    def __call__(self, *xs: Tensor) -> Tensor:
        return F.silu(xs[0])

    def derivative(self, x: Tensor) -> Tensor:
        gate = x.sigmoid()
        return gate * (1 + x * (-x).sigmoid())


@dataclass(frozen=True, eq=False)
class GELU(Bracketed):
    """x Phi(x), with Phi the standard normal distribution function (Hendrycks and Gimpel 2016); f'' = phi (2 - x^2)."""

    lemma = "gelu"
    curvature = Curvature((-sqrt(2), sqrt(2)), (-1, 1, -1))

    def __call__(self, *xs: Tensor) -> Tensor:
        return F.gelu(xs[0])

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """And |x| in the left tail, where 1 + erf cancels."""
        return super().forward_error(boxes) + _left_tail(boxes)

    def derivative(self, x: Tensor) -> Tensor:
        return torch.special.ndtr(x) + x * (x * x / -2).exp() / sqrt(2 * pi)


@dataclass(frozen=True, eq=False)
class GELUTanh(Bracketed):
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2: the approximation of GELU that many models use."""

    lemma = "gelu_tanh"
    curvature = Curvature((-_TANH_FLAT, _TANH_FLAT), (-1, 1, -1))

    def __call__(self, *xs: Tensor) -> Tensor:
        return F.gelu(xs[0], approximate="tanh")

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """And |x| in the left tail, where 1 + tanh cancels."""
        return super().forward_error(boxes) + _left_tail(boxes)

    def derivative(self, x: Tensor) -> Tensor:
        inner = 2 * _C * (x + 0.044715 * x**3)
        gate = inner.sigmoid()
        return gate * (1 + x * (-inner).sigmoid() * 2 * _C * (1 + 3 * 0.044715 * x * x))


@dataclass(frozen=True, eq=False)
class HardSwish(Smooth):
    """x min(max(x + 3, 0), 6) / 6 (Howard et al. 2019)."""

    lemma = "hard_swish"
    curvature = Curvature((-3.0, 3.0), (0, 1, 0), (-1, -1))

    def __call__(self, *xs: Tensor) -> Tensor:
        return F.hardswish(xs[0])

    def derivative(self, x: Tensor) -> Tensor:
        inside = (x.abs() <= 3).to(x)
        return inside * (2 * x + 3) / 6 + (x > 3)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """The kinks, and (6 s - 3) / 2 between them."""
        ends = [torch.full_like(slope, b) for b in self.curvature.breaks]
        return *ends, (3 * slope.detach() - 1.5).clamp(-3, 3)


def _left_tail(boxes: tuple[Bounds, ...]) -> Tensor:
    """8 |x| for x < 0: x times a gate in which two numbers near 1 cancel.

    PyTorch's erf of float32 vectors is a formula that is off by some units of 1: GELU loses 5.3 |x| at -3.47.
    """
    return 8 * (-boxes[0].lower).relu()
