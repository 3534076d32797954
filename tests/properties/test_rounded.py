"""Exact numbers as floats."""

from fractions import Fraction
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from absdomain.properties.rounded import above, below, split
from tests.properties.networks import DTYPES

NASTY = ("0.1", "1e-30", "123456789.123456789", "0.333333333333333333", "16777217", "-7e-12")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pair", list(product(NASTY, NASTY)))
def test_coefficients_are_exact(dtype: torch.dtype, pair: tuple[str, str]) -> None:
    row = [Fraction(text) for text in pair]
    factor, lists = split(row, dtype)
    assert 1 <= factor < 2
    assert all(torch.tensor(part, dtype=dtype).double().tolist() == part for part in lists)
    assert [sum(map(Fraction, parts)) for parts in zip(*lists, strict=True)] == [factor * a for a in row]


@given(st.fractions(-1000, 1000, max_denominator=10**9), st.sampled_from([*DTYPES, torch.bfloat16]))
def test_ends_are_rounded_outward(number: Fraction, dtype: torch.dtype) -> None:
    low, high = (f([number], dtype) for f in (below, above))
    assert Fraction(low.item()) <= number <= Fraction(high.item())
    assert bool(high == low) == (Fraction(low.item()) == number)
    assert bool((high == low) | (torch.nextafter(low, high) == high))
