"""Grade `exact`: floats that are multiples of a power of two and so short that their products and sums are exact.

A term is (x, e), the array x 2^e. Factors are split into digits d 2^e, |d| <= 2^17 whole, so that sums of products of
digits are whole numbers below 2^53, which float64 adds and multiplies exactly: in any order, fused or not. What is
rounded is rounded in the open: a row, at each node, to 35 bits beside its largest entry, where each term that this
changes costs half a unit for every entry of the node's box; ends of boxes to 52 bits, and intercepts to 35, outwards;
slopes to 2^-16. Constants and debts are rationals. What is no float in the network itself (a division, a batch norm)
has its spread paid.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
from flint import fmpq

from absdomain_check.affine import Affine, Array
from absdomain_check.ball import Ball, Box, checked, largest, up
from absdomain_check.errors import Refused

_DIGIT, _BITS, _ENDS, _GRID = 18, 34, 51, 2.0**16
_LEAST, _MOST = -500, 500  # exponents of rows: far from where floats end
Terms = list[tuple[Array, Any]]  # (x, e): x 2^e, e broadcasts to x


def split(x: Array, axes: int | tuple[int, ...] | None) -> Terms:
    """Digits of x: whole numbers of at most 2^17, with exponents 18 apart that are the same along these axes.

    x / 2^e is below 2^17 for the first e, so its nearest whole number d is at most that; x - d 2^e, at most 2^(e - 1),
    is a multiple of what x is one of, and no longer: a float. Errors: Refused where a number is none, or infinite.
    """
    size = np.abs(x).max(axes, keepdims=axes is not None, initial=0)
    if not (size < 2.0**1000).all():
        raise Refused("a number is beyond those of this grade")
    e, found = np.frexp(size)[1] - (_DIGIT - 1), []
    while True:
        d = np.rint(np.ldexp(x, -e))
        found.append((d, e))
        x = x - np.ldexp(d, e)
        if not x.any():
            return found
        e = e - _DIGIT


def multiplied(apply: Callable[[Array, Any], Array], count: int, xs: Terms, ws: Terms) -> Terms:
    """The products of all digits, of which `apply` adds up to `count`; those with one exponent are added.

    Errors: Refused where sums may be beyond 2^53.
    """
    if count * min(len(xs), len(ws)) > 2**19:
        raise Refused(f"sums of {count} products are too long for this grade; ball has no such limit")
    found: dict[int, tuple[Array, Any]] = {}
    for i, (d, e) in enumerate(xs):
        for j, (w, f) in enumerate(ws):
            y = apply(d, w)
            found[i + j] = (found[i + j][0] + y if i + j in found else y, e + f)
    return list(found.values())


def nearest(y: Array, x: Array) -> Array:
    """Whole numbers within 1/2 of x 2^s, whose float is y: what is lost far below 1 changes none."""
    return np.rint(y)


def below(y: Array, x: Array) -> Array:
    """Whole numbers at most x 2^s, whose float y may be 0 for a tiny one."""
    return np.floor(y) - ((y == 0) & (x < 0))


def above(y: Array, x: Array) -> Array:
    """Whole numbers at least x 2^s."""
    return -below(-y, -x)


def gathered(terms: Terms, rounding: Callable[[Array, Array], Array], bits: int = _BITS) -> tuple[Array, Array, Array]:
    """(the sum of terms, each of them rounded to a multiple of the row's unit; units, terms that rounding changed).

    The entries of a row's terms are together below 2^bits units, so that rounded ones are so up to 1 for each term, and
    their sums are exact. Errors: Refused beyond 2^500.
    """
    size = sum(np.ldexp(np.maximum(x.max(-1, keepdims=True), -x.min(-1, keepdims=True)), e) for x, e in terms)
    if not (size < 2.0**_MOST).all():
        raise Refused(f"a number is beyond 2^{_MOST}, where this grade ends")
    least = np.where(size > 0, np.maximum(np.frexp(size)[1] - bits, _LEAST), _LEAST)
    unit, total, changed = np.ldexp(1.0, least), np.zeros(1), np.zeros(least.shape, dtype=np.int64)
    for x, e in terms:
        shift = e - least
        if not (shift < 1000).all():
            raise Refused("a number is beyond those of this grade")
        whole = rounding(x * np.ldexp(1.0, shift), x)
        back = whole * np.ldexp(1.0, -shift)  # x, unless it was changed, or lost far below 1
        total, changed = total + whole, changed + (back != x).any(-1, keepdims=True)
    return total * unit, unit, changed


def _rational(x: float, e: int) -> fmpq:
    p, q = x.as_integer_ratio()
    return fmpq(p << e, q) if e >= 0 else fmpq(p, q << -e)


def _below(x: fmpq) -> float:
    """A float at most x."""
    try:
        found = int(x.p) / int(x.q)
    except OverflowError:
        return -inf
    return found if _rational(found, 0) <= x else float(np.nextafter(found, -inf))


_RATIONALS, _FLOATS = np.frompyfunc(_rational, 2, 1), np.frompyfunc(_below, 1, 1)


class Exact(Ball):
    """Rows and boxes are short floats, constants and debts are rationals."""

    name = "exact"

    def __init__(self) -> None:
        super().__init__()
        self._digits: dict[Affine, Terms] = {}

    def unit(self, n: int) -> Any:
        return 0

    def number(self, x: Array) -> Any:
        return _RATIONALS(x, 0) if x.any() else np.full(x.shape, fmpq(0))

    def lift(self, x: Array) -> Any:
        return x, 0

    def slope(self, x: Any) -> Any:
        return np.rint(_GRID * x) / _GRID

    def dot(self, c: Any, v: Array) -> Any:
        v = v if v.ndim == 3 else v[:, None]
        terms = multiplied(super().dot, v.shape[-1], split(c, -1), split(v, -1))
        total: Any = 0
        for y, _ in terms:  # their exponents are 18 apart
            total = (total << _DIGIT) + y.astype(np.int64).astype(object)
        return _RATIONALS(total, terms[-1][1][..., 0])

    def total(self, parts: Any, box: Box) -> tuple[Any, Any]:
        """What a term is off costs half a unit for each entry at most: n max |z| in all."""
        total, unit, changed = gathered(parts, nearest)
        halves = box[0].shape[1] * self.number(largest(box).max(1, keepdims=True)) / 2
        return total, self.number((changed * unit)[..., 0]) * halves

    def _weight(self, op: Affine) -> Terms:
        if op not in self._digits:
            assert op.weight is not None
            self._digits[op] = split(op.weight, None)
        return self._digits[op]

    def transpose(self, op: Affine, c: Any) -> list[Any]:
        """Exactly."""
        rows = c.reshape(-1, c.shape[2])
        terms = [(rows, 0)] if op.weight is None and not op.fan else split(rows, -1)
        if op.weight is not None:
            found = [multiplied(lambda d, w: op.transpose(w, d, np.matmul)[0], op.fan, terms, self._weight(op))]
        else:  # entries are moved, and digits added
            moved = [(op.transpose(None, d, np.matmul), e) for d, e in terms]
            found = [[(parts[i], e) for parts, e in moved] for i in range(len(op.sizes))]
        return [[(y.reshape(*c.shape[:2], -1), np.reshape(e, (*c.shape[:2], 1)) if np.ndim(e) else e) for y, e in part]
                for part in found]  # fmt: skip

    def _forward(self, op: Affine, xs: list[Terms]) -> Terms:
        """A x of arguments that are sums of terms, whose digits are up to 2^18."""
        if op.weight is not None:
            return multiplied(lambda d, w: op.forward(w, [d], np.matmul), 2 * op.terms, xs[0], self._weight(op))
        found = []
        for i, terms in enumerate(xs):
            for x, e in terms:
                args = [x if j == i else np.zeros((len(x), n)) for j, n in enumerate(op.sizes)]
                found.append((op.forward(None, args, np.matmul), e))
        return found

    def image(self, op: Affine, boxes: list[Box]) -> Box:
        """The interval hull of A z + b, rounded outwards: (A m - |A| r) / 2 + b for m = low + high, r = high - low."""
        if not op.terms and op.bias is None and op.bias_spread is None:
            return super().image(op, boxes)
        middles, radii = [], []
        for box in boxes:
            low_high = np.stack(box)
            if op.weight is None:  # entries are moved as they are
                low, high = ((end, 0) for end in low_high)
                middles.append([low, high])
                radii.append([high, (-low[0], 0)])
            else:
                digits = split(low_high, (0, -1))
                middles.append([(d[0] + d[1], e[0]) for d, e in digits])
                radii.append([(d[1] - d[0], e[0]) for d, e in digits])
        middle, radius = self._forward(op, middles), self._forward(self.magnitude(op), radii)
        spread = self.errors(op, boxes)
        if op.bias is not None:
            middle.append((op.bias[None], 1))
        if spread is not None:
            radius.append((spread, 1))
        lower, *_ = gathered(middle + [(-r, e) for r, e in radius], below, _ENDS)
        upper, *_ = gathered(middle + radius, above, _ENDS)
        return checked(lower / 2, upper / 2)

    def errors(self, op: Affine, boxes: list[Box]) -> Array | None:
        found = None if op.spread is None else op.spread * largest(boxes[0])
        if op.bias_spread is not None:
            found = (0 if found is None else found) + op.bias_spread[None]
        return None if found is None else up(found)

    def chord(self, lower: Array, upper: Array) -> tuple[Any, Any]:
        """A short box around each, a short slope s: -s lower and (1 - s) upper are exact."""
        low, high = gathered([(lower, 0)], below)[0], gathered([(upper, 0)], above)[0]
        s = np.clip(self.slope(high / np.maximum(high - low, 2.0**-1022)), 0, 1)
        return s, gathered([(np.maximum(-s * low, (1 - s) * high), 0)], above)[0]

    def least(self, k: Any, debt: Any) -> Array:
        return np.asarray(_FLOATS(k - debt), dtype=np.float64)
