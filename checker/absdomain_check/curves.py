"""Lines below and above the two curves over a box, and their images: (slope, intercept) as numbers of a grade."""

from __future__ import annotations

from math import inf, tanh
from typing import Any

import numpy as np
from flint import arb, ctx

from absdomain_check.affine import Array
from absdomain_check.ball import Box
from absdomain_check.network import RELU

Line = tuple[Any, Any]  # slopes and intercepts, (B, n) or (B, K, n)


def image(curve: str, box: Box) -> Box:
    """The curve at the ends, rounded outwards: both curves grow."""
    if curve == RELU:
        return np.maximum(box[0], 0), np.maximum(box[1], 0)
    return _ends(box[0], -1), _ends(box[1], 1)


def lines(grade: Any, curve: str, box: Box, below: Array | None) -> tuple[Line, Line]:
    """A line below and one above. `below` has slopes of relu where it is open, (B, n) or (B, K, n); NaN: none."""
    lower, upper = box
    if curve != RELU:
        return _tanh_lines(grade, lower, upper)
    adaptive = np.where(upper > -lower, 1.0, 0.0)
    on, off = lower >= 0, upper <= 0
    crossing = ~(on | off)
    s, t = grade.chord(np.where(crossing, lower, 0.0), np.where(crossing, upper, 0.0))
    settled = np.where(on & ~off, 1.0, 0.0)
    outside = np.where(crossing, 0.0, settled)
    if below is not None:
        wide = below.ndim == 3
        lay = (lambda x: x[:, None]) if wide else (lambda x: x)
        a = np.where(lay(crossing), np.where(np.isnan(below), lay(adaptive), below), lay(settled))
    else:
        a = np.where(crossing, adaptive, settled)
    return (grade.slope(a), None), (s * crossing + outside, t * crossing)


def _ends(x: Array, side: int) -> Array:
    """tanh, below (-1) or above (1)."""
    return np.array([_float(arb(float(v)).tanh(), side) for v in x.flat]).reshape(x.shape)


def _float(value: arb, side: int) -> float:
    """A float below (-1) or above (1) all of a ball."""
    if not value.is_finite():
        return side * inf
    end = value.lower() if side < 0 else value.upper()
    return float(np.nextafter(float(end.mid()), side * inf))


def _tanh_lines(grade: Any, lower: Array, upper: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Chords and tangents of tanh over boxes, entry by entry; intercepts are proved in ball arithmetic (Arb)."""
    ctx.prec = 80
    found = np.array([_both(grade, float(low), float(high)) for low, high in zip(lower.flat, upper.flat, strict=True)])
    a, s, b, t = found.reshape(*lower.shape, 4).transpose(-1, *range(lower.ndim))
    return (a, s), (b, t)


def _both(grade: Any, low: float, high: float) -> tuple[float, float, float, float]:
    """(slope, intercept) of a line below, and of one above: tanh is odd."""
    below, above = _below(grade, low, high), _below(grade, -high, -low)
    return (*below, above[0], -above[1])


def _below(grade: Any, low: float, high: float) -> tuple[float, float]:
    """a z + s <= tanh(z) for low <= z <= high.

    Where z <= 0 the curve is convex: above its tangent at any p <= 0. Where z >= 0 it is concave: above its chords, and
    tanh(z) - a z is least at an end. So s is the least of these at the ends of both parts.
    """
    rise = (tanh(high) - tanh(low)) / (high - low) if high > low else 0.0
    p = (low + high) / 2 if high <= 0 else low  # where the tangent touches
    steep = 1 - tanh(p) ** 2
    a = min(rise, steep) if low < 0 < high else steep if high <= 0 else rise
    a = float(grade.slope(min(max(a, 0.0), 1.0)))
    ends = [arb(v).tanh() - arb(a) * arb(v) for v in ((low, high) if high > 0 or low >= 0 else ())]
    if low < 0:  # the tangent at p, over [low, min(high, 0)]
        touch = arb(min(p, 0.0))
        value, slope = touch.tanh(), 1 - touch.tanh() ** 2
        ends += [value + slope * (arb(v) - touch) - arb(a) * arb(v) for v in (low, min(high, 0.0))]
        if high > 0:
            ends.append(-arb(a) * 0)  # tanh(0) - a 0, an end of the concave part
    least = min(_float(end, -1) for end in ends)
    return a, least
