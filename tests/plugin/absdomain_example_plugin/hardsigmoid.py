"""Hardsigmoid: a new activation says its value and its kinks; every domain then knows it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.bounds import Bounds
from absdomain.kinds import Elementwise
from absdomain.lowering import Activation, Call, lowers


@dataclass(frozen=True, eq=False)
class Hardsigmoid(Elementwise):
    """min(max(x / 6 + 1 / 2, 0), 1)."""

    increasing = True

    def __call__(self, *xs: Tensor) -> Tensor:
        return F.hardsigmoid(xs[0])

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return torch.full_like(slope, -3), torch.full_like(slope, 3)


@lowers("aten.hardsigmoid.default")
def _hardsigmoid(call: Call, x: Activation) -> Activation:
    return call.apply(Hardsigmoid(), x)
