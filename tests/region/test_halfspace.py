"""The best multiplier of a half-space scales as its row does, exactly, down to rows that are nearly 0."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from absdomain import L1, L2, Linf
from absdomain.linear import Rows
from absdomain.region import halfspace

BALLS = {"Linf": lambda x: Linf(x, 0.5), "L2": lambda x: L2(x, 0.5), "L1": lambda x: L1(x, 0.5)}


def dual(ball: Any, c: Tensor, q: Tensor, need: Tensor, eta: Tensor) -> Tensor:
    """eta need + min over the ball of <c - eta q, x>."""
    return eta * need + ball.minimum(Rows.of(c - eta.unsqueeze(-1) * q))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", BALLS)
def test_a_row_near_0_has_the_multiplier_of_a_large_one(name: str, dtype: torch.dtype) -> None:
    """A row that is nearly 0, as a gradient that vanishes makes it: 2^-55 times the row, 2^55 times the multiplier."""
    torch.manual_seed(0)
    ball = BALLS[name](torch.randn(40, 6, dtype=dtype))
    c, q = torch.randn(3, 40, 6, dtype=dtype), torch.randn(40, 6, dtype=dtype)
    middle = halfspace.inner(q, ball.centre)
    need = middle + 0.6 * (-ball.minimum(Rows.of(-q.unsqueeze(0)))[0] - middle) * torch.rand(40, dtype=dtype)
    eta = halfspace.multipliers(ball, c, q, need)
    value = dual(ball, c, q, need, eta)
    assert bool((eta > 0).any())
    room = 64 * torch.finfo(dtype).eps * (1 + value.abs() + (eta * need).abs())
    for power in (-55, -54, -20, 20, 55):
        s = 2.0**power
        found = halfspace.multipliers(ball, c, s * q, s * need)
        assert bool((found >= 0).all()) and bool(found.isfinite().all())
        assert bool((dual(ball, c, s * q, s * need, found) >= value - room).all()), (name, dtype, power)


@pytest.mark.parametrize("name", BALLS)
def test_no_multiplier_is_better(name: str) -> None:
    torch.manual_seed(1)
    ball = BALLS[name](torch.randn(20, 5, dtype=torch.float64))
    c, q = torch.randn(2, 20, 5, dtype=torch.float64), 2.0**-55 * torch.randn(20, 5, dtype=torch.float64)
    need = halfspace.inner(q, ball.centre) + 2.0**-55 * 0.1
    eta = halfspace.multipliers(ball, c, q, need)
    best = dual(ball, c, q, need, eta)
    for factor in (0.0, 0.5, 0.99, 1.01, 2.0):
        assert bool((dual(ball, c, q, need, factor * eta) <= best + 1e-12).all()), (name, factor)
