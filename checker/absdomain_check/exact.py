"""Grade `exact`: integers times one power of two for each array; nothing is rounded but the ends of boxes, outwards.

Rows, intercepts and sums are exact; slopes are multiples of 2^-16, ends of boxes floats of at most 45 bits beside the
largest of their array. What is no dyadic number in the network itself (a division, a batch norm) has its spread paid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import fmpz_mat

from absdomain_check.affine import Affine, Array
from absdomain_check.ball import Ball, Box, checked, largest, up
from absdomain_check.errors import Refused

_BITS, _GRID, _LEAST = 45, 1 << 16, -1074


class Fix:
    """The array n 2^e, n of integers."""

    __slots__ = ("e", "n")
    __array_priority__ = 1.0

    def __init__(self, n: Array, e: int) -> None:
        self.n, self.e = np.asarray(n, dtype=object), e

    @staticmethod
    def of(x: Array | float) -> Fix:
        """Floats, exactly. Errors: Refused where one is infinite, or none."""
        if not np.isfinite(x).all():
            raise Refused("a number is beyond those of float64")
        mantissa, exponent = np.frexp(np.asarray(x, dtype=np.float64))
        whole = (mantissa * 2.0**53).astype(np.int64)
        used = exponent[whole != 0]
        e = int(used.min()) if used.size else 0
        n = np.asarray(whole.astype(object) << np.where(whole != 0, exponent - e, 0).astype(object), dtype=object)
        shift = _zeros(n)
        return Fix(n >> shift if shift else n, e - 53 + shift)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.n.shape

    def reshape(self, *shape: int) -> Fix:
        return Fix(self.n.reshape(*shape), self.e)

    def __getitem__(self, index: Any) -> Fix:
        return Fix(self.n[index], self.e)

    def at(self, e: int) -> Array:
        """The integers of a smaller exponent."""
        return self.n << (self.e - e) if self.e > e else self.n

    def __add__(self, other: Any) -> Fix:
        other = other if isinstance(other, Fix) else Fix.of(other)
        e = min(self.e, other.e)
        return Fix(self.at(e) + other.at(e), e)

    __radd__ = __add__

    def __neg__(self) -> Fix:
        return Fix(-self.n, self.e)

    def __sub__(self, other: Any) -> Fix:
        return self + (-other)

    def __mul__(self, other: Any) -> Fix:
        other = other if isinstance(other, Fix) else Fix.of(other)
        return Fix(self.n * other.n, self.e + other.e)

    __rmul__ = __mul__

    def __abs__(self) -> Fix:
        return Fix(np.abs(self.n), self.e)

    def clip(self, low: float | None, high: float | None) -> Fix:
        """The positive part (0, None) or the negative part (None, 0)."""
        return Fix(np.maximum(self.n, 0) if high is None else np.minimum(self.n, 0), self.e)

    def floats(self, side: int) -> Array:
        """Floats below (-1) or above (1), of `_BITS` bits beside the largest."""
        size = max((int(abs(v)).bit_length() for v in self.n.flat), default=0)
        shift = max(0, size - _BITS, _LEAST - self.e)  # floats are multiples of 2^-1074
        n = self.n if side < 0 else -self.n
        n = (n >> shift) if side < 0 else -(n >> shift)
        found = np.array([int(v) for v in n.flat], dtype=np.float64).reshape(n.shape)
        return np.ldexp(found, self.e + shift)


def _zeros(n: Array) -> int:
    """How many times two divides all of them."""
    together = 0
    for v in n.flat:
        together |= int(v)
    return (together & -together).bit_length() - 1 if together else 0


def multiplied(a: Array, b: Array) -> Array:
    """The product of matrices of integers."""
    left, right = (fmpz_mat(x.shape[0], x.shape[1], [int(v) for v in x.flat]) for x in (a, b))
    found = np.empty(len(a) * b.shape[1], dtype=object)
    found[:] = [int(v) for v in (left * right).entries()]
    return found.reshape(len(a), b.shape[1])


class Exact(Ball):
    """Numbers are Fix arrays; boxes remain floats."""

    name = "exact"

    def __init__(self) -> None:
        super().__init__()
        self._weights: dict[tuple[Affine, str], Fix] = {}

    def unit(self, n: int) -> float:
        return 0.0

    def lift(self, x: Array) -> Fix:
        return Fix.of(x)

    def dot(self, c: Any, v: Any) -> Fix:
        v = v if isinstance(v, Fix) else Fix.of(v)
        v = v if v.n.ndim == 3 else Fix(v.n[:, None], v.e)
        return Fix((c.n * v.n).sum(-1), c.e + v.e)

    def _of(self, op: Affine, name: str) -> Fix:
        """The weight or the bias."""
        if (op, name) not in self._weights:
            self._weights[op, name] = Fix.of(getattr(op, name))
        return self._weights[op, name]

    def _applied(self, op: Affine, xs: list[Fix], way: str) -> tuple[Any, int]:
        e = min(x.e for x in xs)
        w = None if op.weight is None else self._of(op, "weight")
        args = [x.at(e) for x in xs]
        found = getattr(op, way)(None if w is None else w.n, args if way == "forward" else args[0], multiplied)
        return found, e if w is None else e + w.e

    def transpose(self, op: Affine, c: Any) -> list[Any]:
        parts, e = self._applied(op, [c.reshape(-1, c.shape[2])], "transpose")
        return [Fix(part.reshape(*c.shape[:2], -1), e) for part in parts]

    def image(self, op: Affine, boxes: list[Box]) -> Box:
        """The interval hull of A z + b, rounded outwards."""
        ends = [(Fix.of(low), Fix.of(high)) for low, high in boxes]
        half = Fix(np.array(1, dtype=object), -1)
        y, e = self._applied(op, [(low + high) * half for low, high in ends], "forward")
        middle = Fix(y, e)
        if op.bias is not None:
            middle = middle + self._of(op, "bias")
        found, e = self._applied(self.magnitude(op), [(high - low) * half for low, high in ends], "forward")
        radius, spread = Fix(found, e), self.errors(op, boxes)
        radius = radius if spread is None else radius + spread
        return checked((middle - radius).floats(-1), (middle + radius).floats(1))

    def errors(self, op: Affine, boxes: list[Box]) -> Array | None:
        found = None if op.spread is None else op.spread * largest(boxes[0])
        if op.bias_spread is not None:
            found = (0 if found is None else found) + op.bias_spread[None]
        return None if found is None else up(found)

    def chord(self, lower: Array, upper: Array) -> tuple[Any, Any]:
        s = np.clip(np.rint(_GRID * upper / np.maximum(upper - lower, 2.0**-1022)), 0, _GRID) / _GRID
        slope, low, high = Fix.of(s), Fix.of(lower), Fix.of(upper)
        left, right = -(slope * low), high - slope * high
        e = min(left.e, right.e)
        return slope, Fix(np.maximum(left.at(e), right.at(e)), e)

    def least(self, k: Any, debt: Any) -> Array:
        found = (k - debt).floats(-1)
        return np.where(np.isfinite(found), found, -np.inf)

    def coefficients(self, c: Any) -> tuple[Array, Array]:
        size = abs(c).floats(-1)[:, 0]
        return np.where(np.isfinite(size), size, 0.0), np.sign(c.floats(-1)[:, 0])
