"""Sorting networks sort."""

from __future__ import annotations

from itertools import product

import pytest

from absdomain.lowering.sorting import _layers


@pytest.mark.parametrize("count", range(1, 11))
def test_a_network_that_sorts_zeros_and_ones_sorts(count: int) -> None:
    """The principle of zeros and ones (Knuth 5.3.4, theorem Z)."""
    for bits in product((0, 1), repeat=count):
        x = list(bits)
        for high, low in _layers(count):
            assert len({*high, *low}) == 2 * len(high)
            for i, j in zip(high, low, strict=True):
                x[i], x[j] = max(x[i], x[j]), min(x[i], x[j])
        assert x == sorted(bits, reverse=True)
