"""Asinh: a new activation says its value and its stationary points; every domain then knows it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.kinds import Curvature, Elementwise
from absdomain.linear import Bounds
from absdomain.lowering import Activation, Call, lowers


@dataclass(frozen=True, eq=False)
class Asinh(Elementwise):
    """log(x + sqrt(x^2 + 1)), of derivative 1 / sqrt(x^2 + 1)."""

    lemma = "asinh"
    curvature = Curvature((0.0,), (1, -1), (0,), increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return torch.asinh(xs[0])

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        slope = slope.detach().clamp(1e-9, 1)  # no gradient: f(x) - slope x is flat there
        x = (1 - slope**2).sqrt() / slope
        return x, -x


@lowers("aten.asinh.default")
def _asinh(call: Call, x: Activation) -> Activation:
    return call.apply(Asinh(), x)
