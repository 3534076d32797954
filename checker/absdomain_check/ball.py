"""Grade `ball`: float64 in which every rounding is paid for.

u = 2^-53, gamma_n = n u / (1 - n u). A sum of n products, computed in any order, with or without fused products, is
within gamma_n sum |x_i y_i| + n eta of the exact one (Higham 2002, section 3.1), eta = 2^-1022, which covers results
below the normal numbers, whether they are rounded or flushed to 0. Computed sums of non-negative terms are within the
same relative bound, and gamma_j + gamma_k + gamma_j gamma_k <= gamma_(j+k) (ibid., lemma 3.3). What overflows becomes
infinite or NaN, and is refused where a box or a bound is made of it.

Theorem (back-substitution). Let f be computed node by node, z_i in its box, m_i >= |z_i| there. A row c at a node
y = A z + b becomes the float row c', |c' - c A|_j <= gamma_n (|c| |A|)_j + n eta. Then  <c, y> >= <c', z> + <c, b> -
<|c|, gamma_n |A| m> - n eta sum m:  the residual is paid where it arises (Neumaier and Shcherbina 2004), so that c' is
exact from there on, and its price is one vector for each node and box, whatever the rows. `errors` is that vector,
with what the bias, the dot products with it, and a spread of A and b may cost.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from absdomain_check.affine import Affine, Array
from absdomain_check.errors import Refused

U, ETA = 2.0**-53, 2.0**-1022
TINY = 2.0**-980  # eta times more products than there are in a sum
DUST = 2.0**-900  # what all sums of one bound may lose below the normal numbers
Box = tuple[Array, Array]  # lower and upper ends (B, n), float64


def gamma(n: int) -> float:
    """n u / (1 - n u), rounded up: n u is exact, and each of the three roundings after it is within u."""
    return n * U / (1 - n * U) * (1 + 8 * U)


def up(x: Array) -> Array:
    """At least the exact value of a number >= 0 that is up to four roundings away, each of 1 + u at most."""
    return x * (1 + 16 * U) + ETA


def checked(lower: Array, upper: Array) -> Box:
    """The box. Errors: Refused where an end is no finite number."""
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise Refused("a bound is beyond the numbers of float64")
    return lower, upper


def largest(box: Box) -> Array:
    """max |z| over a box."""
    return np.maximum(np.abs(box[0]), np.abs(box[1]))


class Ball:
    """Numbers are float64 arrays."""

    name = "ball"

    def __init__(self) -> None:
        self._magnitudes: dict[Affine, Affine] = {}

    def unit(self, n: int) -> float:
        """gamma_n."""
        return gamma(n)

    def number(self, x: Array) -> Any:
        """Floats as numbers, of which constants and debts are made."""
        return x

    def lift(self, x: Array) -> Any:
        """Floats as a part of rows."""
        return x

    def slope(self, x: Any) -> Any:
        """Slopes in [0, 1], where any will do, as those that this grade has."""
        return x

    def total(self, parts: list[Any], box: Box) -> tuple[Any, Any]:
        """(the sum of n parts of a node's rows, within gamma_n of their sizes; what that costs, (B, K))."""
        total, debt = parts[0], np.zeros(parts[0].shape[:2])
        for part in parts[1:]:
            total = total + part
        if len(parts) > 1:
            sizes = self.unit(len(parts)) * largest(box)
            for part in parts:
                debt = debt + self.dot(abs(part), sizes)
        return total, debt

    def dot(self, c: Any, v: Array) -> Any:
        """sum_j c_j v_j, (B, K) of (B, K, n) and (B, n), (B, 1, n) or (B, K, n).

        Within gamma_n sum_j |c_j v_j| + n eta of the exact sum (Higham 2002, section 3.1).
        """
        if v.ndim == 2 or v.shape[1] == 1:
            return np.matmul(c, v.reshape(v.shape[0], -1, 1))[..., 0]
        return (c * v).sum(-1)

    def transpose(self, op: Affine, c: Any) -> list[Any]:
        """c A for rows (B, K, n), within gamma_fan |c| |A| + fan eta (Higham 2002, section 3.5): parts for each A_i."""
        shape = c.shape[:2]
        parts = op.transpose(op.weight, c.reshape(-1, c.shape[2]), np.matmul)
        return [[part.reshape(*shape, -1)] for part in parts]

    def magnitude(self, op: Affine) -> Affine:
        """The operation |A|."""
        if op not in self._magnitudes:
            self._magnitudes[op] = op.magnitude()
        return self._magnitudes[op]

    def reach(self, op: Affine, sizes: list[Array]) -> Array:
        """At least |A| s, for s >= 0.

        The computed sums are at least (1 - gamma_n) |A| s (Higham 2002, section 3.1), which 2 gamma_(n+4) makes up for.
        """
        found = self.magnitude(op)
        total = found.forward(found.weight, sizes, np.matmul)
        return total * (1 + 2 * gamma(op.terms + 4)) + (op.terms + 1) * ETA

    def image(self, op: Affine, boxes: list[Box]) -> Box:
        """A box of A z + b over boxes of z.

        With the middles m and the radii r (Rump 1999, Fast and parallel interval arithmetic): what is computed of
        A m + b is within gamma_(n+1) (|A| |m| + |b|) (Higham 2002, section 3.5), and A z + b within |A| r of A m + b.
        """
        if not op.terms:  # entries are moved, and nothing is rounded but the bias
            ends = [op.forward(op.weight, [box[side] for box in boxes], np.matmul) for side in (0, 1)]
            if op.bias is not None:
                ends = [np.nextafter(end + op.bias, side) for end, side in zip(ends, (-np.inf, np.inf), strict=True)]
            lower, upper = ends
            spread = None if op.bias_spread is None else np.broadcast_to(op.bias_spread, lower.shape)
        else:
            centres = [low / 2 + high / 2 for low, high in boxes]
            radii = [
                np.nextafter(np.maximum(high - m, m - low), np.inf)
                for m, (low, high) in zip(centres, boxes, strict=True)
            ]
            y, g = op.forward(op.weight, centres, np.matmul), gamma(2 * op.terms + 8)
            spread = self.reach(op, [up(r + g * np.abs(m)) for r, m in zip(radii, centres, strict=True)])
            spread = spread + (op.terms + 1) * ETA
            if op.bias is not None:
                y, spread = y + op.bias, spread + g * np.abs(op.bias)
            if op.spread is not None:
                spread = spread + op.spread * largest(boxes[0])
            if op.bias_spread is not None:
                spread = spread + op.bias_spread
            lower = upper = y
        if spread is not None:
            spread = up(spread)
            lower, upper = np.nextafter(lower - spread, -np.inf), np.nextafter(upper + spread, np.inf)
        return checked(lower, upper)

    def errors(self, op: Affine, boxes: list[Box]) -> Array | None:
        """E with <c, A z + b> >= <c', z> + d' - <|c|, E> - ..., d' the computed <c, b>; (B, n); None: nothing."""
        sizes, found = [largest(box) for box in boxes], None
        if op.fan:
            found = gamma(op.fan) * self.reach(op, sizes)
        if op.bias is not None:
            found = (0 if found is None else found) + gamma(op.size + 2) * np.abs(op.bias)[None]
        if op.spread is not None:
            found = found + op.spread * sizes[0]
        if op.bias_spread is not None:
            found = (0 if found is None else found) + op.bias_spread[None]
        return None if found is None else up(found)

    def chord(self, lower: Array, upper: Array) -> tuple[Any, Any]:
        """(s, t) with relu(z) <= s z + t for lower <= z <= upper, lower < 0 < upper; 0 <= s <= 1.

        Any s serves; -s lower and upper - s upper, which t is at least, are two roundings of |lower| and |upper| away.
        """
        s = np.clip(upper / np.maximum(upper - lower, ETA), 0, 1)
        t = np.maximum(-s * lower, upper - s * upper)
        return s, up(t + 16 * U * (np.abs(lower) + np.abs(upper)))

    def least(self, k: Any, debt: Any) -> Array:
        """At most the exact value, as floats, of a sum k' whose errors are at most the exact value of `debt`.

        The computed debt is a sum of non-negative terms with far fewer than 2^40 roundings. What is no number is -inf.
        """
        found = np.nextafter(k - (debt * (1 + 2.0**-10) + DUST), -np.inf)
        return np.where(np.isfinite(found), found, -np.inf)

    def coefficients(self, c: Any) -> tuple[Array, Array]:
        """(at most |c|, the signs) of one row for each box, (B, n) of (B, 1, n)."""
        return np.abs(c[:, 0]), np.sign(c[:, 0])
