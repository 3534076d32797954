"""AdvIBP's weights: worked values, and moments without length."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from absdomain.trainers.directions import gram, weights


def of(m1: tuple[float, ...], m2: tuple[float, ...], *, second_first: bool = False) -> tuple[float, float]:
    """The weights for moments whose lengths are their norms."""
    first, second = (torch.tensor(m, dtype=torch.float64) for m in (m1, m2))
    k1, k2 = weights(gram([first], [second]), first.norm(), second.norm(), second_first=second_first)
    return k1.item(), k2.item()


@pytest.mark.parametrize(
    ("m1", "m2", "second_first", "expected", "step"),
    [
        ((3, 4), (4, 3), False, (0.5, 0.5), (3.5, 3.5)),
        ((2, 0), (0.6, 0.8), False, (0.375, 0.75), (1.2, 0.6)),
        ((2, 0), (-0.6, 0.8), False, (1.0, 1.2), (1.28, 0.96)),
        ((2, 0), (-0.6, 0.8), True, (0.3, 1.0), (0.0, 0.8)),
    ],
)
def test_worked_values(
    m1: tuple[float, ...],
    m2: tuple[float, ...],
    second_first: bool,
    expected: tuple[float, float],
    step: tuple[float, ...],
) -> None:
    k1, k2 = of(m1, m2, second_first=second_first)
    assert (k1, k2) == pytest.approx(expected)
    assert [k1 * a + k2 * b for a, b in zip(m1, m2, strict=True)] == pytest.approx(step)


def test_a_moment_without_length_has_no_say() -> None:
    assert of((0.0,), (2.0,)) == (0.0, 1.0)
    assert of((2.0,), (0.0,)) == (1.0, 0.0)
    assert of((0.0,), (0.0,)) == (0.5, 0.5)


def test_equal_gradients_give_the_gradient() -> None:
    k1, k2 = of((1.0, -2.0), (1.0, -2.0))
    assert k1 + k2 == pytest.approx(1.0)


def test_a_moment_that_is_not_finite_gives_weights_that_are_not() -> None:
    k1, k2 = of((math.nan, 1.0), (1.0, 1.0))
    assert not (math.isfinite(k1) and math.isfinite(k2))


def test_inner_products_are_over_all_parameters() -> None:
    m1: list[Tensor] = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])]
    m2 = [torch.tensor([1.0, 0.0]), torch.tensor([[-1.0]])]
    assert [p.item() for p in gram(m1, m2)] == [14.0, -2.0, 2.0]
