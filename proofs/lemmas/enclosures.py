"""The band of an operation against the true extrema, enclosed by interval arithmetic, at given boxes and slopes.

A symbolic lemma shows that a band encloses; it cannot run transcendental functions or an iteration to its end. Here the
shipped code runs as it is, in double precision, and both ends of its band must agree with the least and the greatest
f(x) - s x to 1e-11 of their size: too low fails as well as too high.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf
from typing import Any

import sympy
import torch
from mpmath import iv, mp, mpf

from absdomain.kinds import Elementwise, Smooth
from absdomain.linear import Bounds
from absdomain.proofs.kernel.executed import unwatched
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import Check

X = sympy.Symbol("x", real=True)
Pieces = tuple[tuple[float, float, Any], ...]  # on [low, high], f is this expression in X
Case = tuple[float, float, float]  # a box's ends and a slope

_CLOSE = 1e-11  # of the size of the terms: what evaluation in double precision may cost
_SPLIT = 1e-14  # what an enclosure may lack
_PARTS = 2_000


def _growing(f: Any) -> Any:
    """A function that grows: the ends of its values are those at the ends, within mpmath's last digits."""

    def enclosure(x: Any) -> Any:
        with mp.workdps(30):
            return iv.mpf([f(mpf(x.a)) - mpf(10) ** -25, f(mpf(x.b)) + mpf(10) ** -25])

    return enclosure


_FUNCTIONS: dict[Any, Any] = {
    sympy.exp: iv.exp, sympy.log: iv.log, sympy.sin: iv.sin, sympy.cos: iv.cos,
    sympy.tanh: _growing(mp.tanh), sympy.erf: _growing(mp.erf),
}  # fmt: skip


def enclosed(e: Any, x: Any) -> Any:
    """An interval that holds e at every point of the interval x."""
    if e == X:
        return x
    if e.is_Rational:
        return iv.mpf(e.p) / e.q
    if e is sympy.pi:
        return iv.pi
    if e.is_Add:
        return sum((enclosed(a, x) for a in e.args), start=iv.mpf(0))
    if e.is_Mul:
        product = iv.mpf(1)
        for a in e.args:
            product = product * enclosed(a, x)
        return product
    if e.is_Pow and e.exp.is_Integer:
        return enclosed(e.base, x) ** int(e.exp)
    if e.is_Pow and e.exp == sympy.Rational(1, 2):
        return iv.sqrt(enclosed(e.base, x))
    if e.is_Pow:
        return iv.exp(iv.log(enclosed(e.base, x)) * enclosed(e.exp, x))
    return _FUNCTIONS[e.func](enclosed(e.args[0], x))


@lru_cache(maxsize=10_000)
def least(e: Any, low: float, high: float) -> float:
    """A number below the minimum of e over [low, high] by no more than a rounding error.

    Parts where e is monotone or concave are least at an end; where e is convex, e(x) >= e(c) - e'(c)^2 / (2 m) for
    every c of the part and every m > 0 below e''; others are halved.
    """
    slope = sympy.diff(e, X)
    bend = sympy.diff(slope, X)
    pending, found = [(mpf(low), mpf(high))], list[Any]()
    for _ in range(_PARTS):
        if not pending:
            return float(min(found))
        a, b = pending.pop()
        whole = iv.mpf([a, b])
        rate, curve = enclosed(slope, whole), enclosed(bend, whole)
        if rate.a >= 0 or rate.b <= 0 or curve.b <= 0:
            ends = ([a] if rate.b > 0 or curve.b <= 0 else []) + ([b] if rate.a < 0 or curve.b <= 0 else [])
            found.append(min(enclosed(e, iv.mpf(p)).a for p in ends or [a]))
            continue
        if curve.a > 0:
            c = _flat(slope, bend, a, b)
            gap = (enclosed(slope, c) ** 2 / (2 * curve.a)).b
            if gap <= _SPLIT:
                found.append((enclosed(e, c) - gap).a)
                continue
        middle = (a + b) / 2
        pending += [(a, middle), (middle, b)]
    raise ArithmeticError(f"the minimum of {e} over [{low}, {high}] is not enclosed within {_PARTS} parts")


def _flat(slope: Any, bend: Any, a: Any, b: Any) -> Any:
    """A point near the one where the slope is 0, by Newton's method within [a, b]."""
    c = (a + b) / 2
    for _ in range(8):
        step = float(enclosed(slope, iv.mpf(c)).a) / float(enclosed(bend, iv.mpf(c)).a)
        c = min(max(c - step, a), b)
    return iv.mpf(c)


def extremes(pieces: Pieces, case: Case) -> tuple[float, float]:
    """The least and the greatest f(x) - s x over the box; infinite where no piece holds a part of it."""
    low, high, slope = case
    if not pieces or low < pieces[0][0] or high > pieces[-1][1]:
        return -inf, inf
    line = sympy.Rational(slope) * X
    parts = [(max(a, low), min(b, high), e) for a, b, e in pieces if a <= high and b >= low]
    with unwatched():
        found = [(least(e - line, a, b), -least(line - e, a, b)) for a, b, e in parts]
    return min(f[0] for f in found), max(f[1] for f in found)


def close(world: World, found: float, true: float, size: float, claim: str) -> None:
    """Two numbers are the same, but for rounding in double precision; infinities are themselves."""
    near = found == true or (abs(true) < inf and abs(found - true) <= _CLOSE * (1 + size))
    world.check(near, f"{claim}: {found} is not {true}")


def cases(boxes: Sequence[tuple[float, float]], slopes: Sequence[float]) -> list[Case]:
    """Every box with every slope."""
    return [(low, high, slope) for low, high in boxes for slope in slopes]


def tight(op: Elementwise, pieces: Pieces, boxes: Sequence[tuple[float, float]], slopes: Sequence[float]) -> Check:
    """inf and sup are the extrema of f(x) - s x, and the image's ends those of f."""

    def check(world: World) -> None:
        given = cases(boxes, slopes)
        lower, upper, slope = torch.tensor(given, dtype=torch.float64).unsqueeze(1).unbind(2)
        box = (Bounds(lower, upper),)
        band = op.band((slope,), box)
        image = op.image(box)
        for place, case in enumerate(given):
            for claim, found, at in (("band", band, case), ("image", image, (*case[:2], 0.0))):
                low, high = extremes(pieces, at)
                size = abs(at[2]) * max(abs(at[0]), abs(at[1]))
                size += max(abs(end) if abs(end) < inf else 0.0 for end in extremes(pieces, (*case[:2], 0.0)))
                close(world, float(found.lower[place]), low, size, f"{op}, {at}: {claim}, lower end")
                close(world, float(found.upper[place]), high, size, f"{op}, {at}: {claim}, upper end")

    return check


def rates(op: Smooth, pieces: Pieces, points: Sequence[float]) -> Check:
    """`derivative` is f' strictly inside the pieces."""

    def check(world: World) -> None:
        found = op.derivative(torch.tensor(points, dtype=torch.float64))
        for place, point in enumerate(points):
            (e,) = (e for a, b, e in pieces if a < point < b)
            true = enclosed(sympy.diff(e, X), iv.mpf(point))
            close(world, float(found[place]), float(true.a), abs(float(true.a)), f"{op}'({point})")

    return check
