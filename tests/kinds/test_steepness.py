"""An infinite slope is infinite: rounding before a jump is never taken for small."""

from __future__ import annotations

from math import inf

import pytest
import torch

from absdomain import Bounds
from absdomain.kinds import Nonlinear
from absdomain.ops import Floor, Heaviside, ReLU, Sqrt
from absdomain.rounding.errors import nonlinear, source


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("op", [Heaviside(), Floor(), Sqrt()], ids=lambda op: type(op).__name__)
def test_an_infinite_steepness_stays_infinite(op: Nonlinear, dtype: torch.dtype) -> None:
    box = Bounds(torch.tensor([[0.0, 0.25]], dtype=dtype), torch.tensor([[1.0, 0.75]], dtype=dtype))
    (steep,) = op.steepness((box,))
    assert float(steep[0, 0]) == inf and bool((steep >= 0).all())
    assert bool(steep[0, 1].isfinite())
    error = nonlinear(op, [source(box)], (box,), 4).error
    assert float(error[0, 0]) == inf
    assert bool(error[0, 1].isfinite())


def test_a_finite_one_stays_finite() -> None:
    box = Bounds(torch.tensor([[-1.0]]), torch.tensor([[1.0]]))
    assert float(ReLU().steepness((box,))[0]) == 1
