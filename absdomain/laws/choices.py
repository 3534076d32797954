"""A `random.Random` whose decisions hypothesis draws, and tensors of simple numbers from any `random.Random`.

One drawing function serves two masters: of `Random(seed)` it gives the same problem every time, of `Choices` one that
hypothesis shrinks. Decisions are bytes, in blocks, since a draw costs more than the bytes in it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from random import Random
from typing import TypeVar

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

Made = TypeVar("Made")
Array = NDArray[np.float64]
_BLOCK = 4  # bytes: about as many as a step of a problem decides on
_FEW = 64  # entries: so many are drawn one by one
_FINE = 0.75  # of tensors: have all digits
_STEP = 0.1 / 256  # what the second byte of a number counts


class Choices(Random):
    """A zero byte is the first choice, the least number, and a chance that is not taken: hypothesis shrinks to it."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw, self._block, self._draws = draw, b"", 0

    def _apart(self, count: int) -> bytes:
        self._draws += 1  # its label: hypothesis would else copy one draw over others in most of the problems it tries
        drawn: bytes = self._draw(_binary(count), self._draws)
        return drawn

    def _take(self, count: int) -> int:
        if len(self._block) < count:
            self._block = self._apart(max(count, _BLOCK))
        taken, self._block = self._block[:count], self._block[count:]
        return int.from_bytes(taken, "big")

    def random(self) -> float:
        """One of 256 numbers in [0, 1); the largest is the simplest, so that `random() < chance` shrinks to False."""
        return (255 - self._take(1)) / 256

    def getrandbits(self, k: int, /) -> int:
        """A number of k bits."""
        size = -(-k // 8)
        return self._take(size) >> (8 * size - k)

    def _randbelow(self, n: int) -> int:
        """A number below n: what random.Random makes choices, samples and whole numbers of."""
        size = 1 if n <= 256 else 1 + -(-n.bit_length() // 8)
        return self._take(size) * n >> 8 * size

    def randbytes(self, n: int) -> bytes:
        """Bytes that are drawn, and shrink, apart from the decisions before and after them."""
        self._block = b""
        return self._apart(n) if n else b""


@cache
def _binary(count: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=count, max_size=count)


@st.composite
def drawn(draw: st.DrawFn, make: Callable[[Random], Made]) -> Made:
    """What a drawing function makes of hypothesis' choices."""
    return make(Choices(draw))


def apart(rng: Random) -> None:
    """What is drawn from here on shrinks, and may go, without what was drawn before."""
    rng.randbytes(0)


def generator(rng: Random) -> torch.Generator:
    """A generator of tensors, seeded by one draw."""
    return torch.Generator().manual_seed(rng.getrandbits(32))


def _near(simplest: float) -> Array:
    """Standard normal numbers of one decimal: whole ones, the nearest to this or its negative first, and the others."""
    found = np.floor(10 * ndtri((np.arange(256) + 0.5) / 256)) / 10 + 0.0  # no -0
    return np.array(sorted(found.tolist(), key=lambda x: (x != round(x), abs(abs(x) - simplest), x < 0)))


_NORMAL, _COEFFICIENTS = _near(0.0), _near(1.0)
_SHARES = np.array(sorted((np.arange(256) / 256).tolist(), key=lambda x: (x.as_integer_ratio()[1], x)))


def _numbers(rng: Random, shape: tuple[int, ...], table: Array, step: float, many: Callable[..., Array]) -> Tensor:
    """Entries of the table, most of them and a part of the step; where they are many, of a generator of numpy's."""
    count, fine = prod(shape), rng.random() < _FINE
    if count > _FEW:
        found = many(np.random.default_rng(rng.getrandbits(32)), count)
        return torch.from_numpy(found if fine else found.round(1)).view(shape)
    codes = np.frombuffer(rng.randbytes(2 * count if fine else count), dtype=np.uint8)
    found = table[codes[:count]]
    return torch.from_numpy(found + step * codes[count:] if fine else found).view(shape)


def normal(rng: Random, *shape: int) -> Tensor:
    """Standard normal entries, float64; they shrink to 0, and to few digits."""
    return _numbers(rng, shape, _NORMAL, _STEP, np.random.Generator.standard_normal)


def coefficients(rng: Random, *shape: int) -> Tensor:
    """Standard normal entries, float64, that shrink to 1: what they multiply is still seen behind them."""
    return _numbers(rng, shape, _COEFFICIENTS, _STEP, np.random.Generator.standard_normal)


def uniform(rng: Random, *shape: int) -> Tensor:
    """Entries of [0, 1), float64; they shrink to 0, and to fractions of small denominators."""
    return _numbers(rng, shape, _SHARES, 1 / 256**2, np.random.Generator.random)


def indices(rng: Random, below: int, *shape: int) -> Tensor:
    """Whole numbers below this one."""
    return torch.tensor([rng.randrange(below) for _ in range(prod(shape))]).view(shape)
