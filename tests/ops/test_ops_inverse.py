"""Inverse functions: the laws on their domains, infinite bands beyond, and PyTorch's values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from absdomain.kinds import Smooth
from absdomain.laws import check_op
from absdomain.linear import Bounds
from absdomain.ops import Acosh, Asin, Logit, Tan

D64 = torch.float64
INVERSE: list[tuple[Smooth, Callable[[Tensor], Tensor]]] = [
    (Asin(), torch.asin), (Acosh(), torch.acosh), (Logit(), torch.logit), (Tan(), torch.tan),
]  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("op", "reference"), INVERSE, ids=["asin", "acosh", "logit", "tan"])
def test_the_laws_on_the_domain(op: Smooth, reference: Callable[[Tensor], Tensor]) -> None:
    check_op(op, (2, 3), reference=reference)


@pytest.mark.parametrize("dtype", [torch.float32, D64])
@pytest.mark.parametrize(("op", "low", "high"), [
    (Asin(), 0.5, 1.01), (Acosh(), 0.9, 2.0), (Logit(), 0.0, 0.5), (Logit(), 0.5, 1.0), (Tan(), 1.0, 1.5707964),
    (Tan(), -2.0, 2.0), (Tan(), 3.0, 3.5),
])  # fmt: skip
def test_beyond_the_domain_nothing_is_told(op: Smooth, low: float, high: float, dtype: torch.dtype) -> None:
    box = Bounds(*(torch.tensor([[p]], dtype=dtype) for p in (low, high)))
    band = op.band((torch.ones(1, 1, dtype=dtype),), (box,))
    assert band.lower.item() == -torch.inf
    assert band.upper.item() == torch.inf


@pytest.mark.parametrize("dtype", [torch.float32, D64])
@pytest.mark.parametrize("low", [1e-20, 1e-9, 1e-4])
def test_logit_is_under_its_chord_s_band_beside_an_end_of_its_domain(low: float, dtype: torch.dtype) -> None:
    """f - s x is greatest where f' = s; 1 / 2 - sqrt(1 - 4 / s) / 2 is 0 there, and the band was too low by 0.06."""
    box = Bounds(*(torch.tensor([[p]], dtype=dtype) for p in (low, 2 * low)))
    (slope,) = Logit().chord((box,))
    x = torch.tensor([[1.443 * low]], dtype=dtype)
    over = Logit()(x) - slope * x - Logit().band((slope,), (box,)).upper
    assert over.item() <= 1e-5 * abs(Logit()(x).item())
