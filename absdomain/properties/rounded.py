"""Exact numbers as floats, in a direction that is known."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import inf, lcm, nextafter

import torch
from torch import Tensor

_PARTS = 8  # floats whose sum is one coefficient


def below(values: Sequence[Fraction], dtype: torch.dtype) -> Tensor:
    """The largest float of the dtype that is at most each value, (n,); -inf where all are larger."""
    doubles = torch.tensor([_below(value) for value in values], dtype=torch.float64)
    floats = doubles.to(dtype)
    return torch.where(floats.double() > doubles, _down(floats), floats)


def above(values: Sequence[Fraction], dtype: torch.dtype) -> Tensor:
    """The least float of the dtype that is at least each value, (n,); inf where all are smaller."""
    return -below([-value for value in values], dtype)


def _below(value: Fraction) -> float:
    try:
        near = value.numerator / value.denominator  # rounded to nearest
    except OverflowError:
        return -inf if value < 0 else torch.finfo(torch.float64).max
    return near if Fraction(near) <= value else nextafter(near, -inf)


def _down(floats: Tensor) -> Tensor:
    """The next float below; of inf the largest."""
    return torch.nextafter(floats, torch.full_like(floats, -inf))


def split(row: Sequence[Fraction], dtype: torch.dtype) -> tuple[Fraction, list[list[float]]]:
    """A positive factor near 1, and lists of floats of the dtype whose sums are exactly that factor times the row.

    One list, and the factor 1, where the row's numbers are floats; else the factor makes them whole numbers over a
    power of 2, which one list holds unless they have more digits than the dtype. Errors: ValueError for more than
    eight lists, and for what is beyond the dtype's range.
    """
    denominator = lcm(*(a.denominator for a in row))
    factor = Fraction(1)
    if denominator & (denominator - 1):  # no power of 2
        factor = Fraction(denominator, 1 << (denominator.bit_length() - 1))
    rest = [factor * a for a in row]
    lists: list[list[float]] = []
    while any(rest):
        if len(lists) == _PARTS:
            raise ValueError(f"coefficients have over {_PARTS} times the digits of {dtype}, or are beyond its range")
        floats = _near(rest, dtype)
        rest = [a - Fraction(f) for a, f in zip(rest, floats, strict=True)]
        lists.append(floats)
    return factor, lists or [[0.0] * len(row)]


def _near(values: Sequence[Fraction], dtype: torch.dtype) -> list[float]:
    try:
        floats: list[float] = torch.tensor([float(value) for value in values], dtype=torch.float64).to(dtype).tolist()
    except OverflowError:
        floats = [inf]
    if not all(-inf < value < inf for value in floats):
        raise ValueError(f"a coefficient is beyond the range of {dtype}; scale the comparison")
    return floats
