"""The band of any elementwise operation, given its critical points, and the tangents that close a bracket.

An elementwise band is the least and the greatest of f(p) - s p at the ends and at the critical points p. Between two
neighbouring ones f - s x is monotone, if they are all that there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from unittest.mock import patch

import torch
from torch import Tensor

from absdomain.kinds import Bracketed, Elementwise, Smooth, stationary
from absdomain.linear import Bounds
from absdomain.ops.formula import from_sympy
from absdomain.proofs.kernel.exact import assume, number, numbers, prove, real, tensor
from absdomain.proofs.kernel.polynomial import Poly
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.enclosures import X
from absdomain.proofs.lemmas.extrema import EXTREMA
from absdomain.proofs.lemmas.vertices import ABS, CLAMP


@dataclass(frozen=True, eq=False)
class Curve(Elementwise):
    """f of which only its values at named points are known, with one critical point c."""

    world: World
    _values: dict[Poly, Poly] = field(default_factory=dict)

    def __call__(self, *xs: Tensor) -> Tensor:
        (p,) = numbers(xs[0])
        if p not in self._values:
            self._values[p] = self.world.real(f"f{len(self._values)}")
        return tensor(self.world, self._values[p])

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return (real(self.world, "c"),)


class _Unclamped(Curve):
    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return ()


def between(make: Callable[[World], Curve]) -> Check:
    """f(x) - s x lies in the band, if between the ends and the critical point it is monotone."""

    def check(world: World) -> None:
        op = make(world)
        x, lower, upper, slope, c = (real(world, name) for name in ("x", "l", "u", "s", "c"))
        assume(world, x - lower, upper - x)
        world.split(*numbers(c - lower), *numbers(upper - c), *numbers(x - c))
        inside = torch.minimum(torch.maximum(c, lower), upper)
        left, right = (lower, inside) if bool((x <= inside).all()) else (inside, upper)
        g = [op(p) - slope * p for p in (left, x, right)]
        rises = world.holds(number(g[2] - g[0]))
        low, high = (g[0], g[2]) if rises else (g[2], g[0])
        assume(world, g[1] - low, high - g[1])  # monotone between neighbours
        band = op.band((slope,), (Bounds(lower, upper),))
        prove(world, g[1] - band.lower, "inf")
        prove(world, band.upper - g[1], "sup")

    return check


# --- brackets and tangents --------------------------------------------------------------------------------------------


def closed_by_tangents(trust: bool) -> Check:
    """`least` is below g = f - s x, convex on [low, high], if g falls at p or p = 0, and rises at q or q = 1."""

    def check(world: World) -> None:
        low, high, x = (real(world, name) for name in ("low", "high", "x"))
        p, q, slope = (real(world, name) for name in ("p", "q", "s"))
        assume(world, high - low, x - low, high - x, p, q - p, 1 - q)
        points = {number(low + t * (high - low)): i for i, t in enumerate((p, q))}
        f = [real(world, f"f{i}") for i in range(2)]
        steep = [real(world, f"d{i}") for i in range(2)]
        value = real(world, "fx")
        for i, t in enumerate((p, q)):  # convex: above its tangents
            at = low + t * (high - low)
            assume(world, value - f[i] - steep[i] * (x - at))
            other = low + (q if i == 0 else p) * (high - low)
            assume(world, f[1 - i] - f[i] - steep[i] * (other - at))
        if not bool((p == 0).all()) and trust:
            assume(world, slope - steep[0])
        if not bool((q == 1).all()) and trust:
            assume(world, steep[1] - slope)
        with patch.object(stationary, "bracket", lambda *_: (p, q)):
            found = stationary.least(
                lambda at: f[points[number(at)]], lambda at: steep[points[number(at)]], slope, low, high, 1
            )
        if world.known(-number(p)) and world.known(number(q - 1)):  # both ends are the piece's: nothing is claimed
            (bound,) = found.entries.reshape(-1)  # type: ignore[attr-defined]
            world.check(bound == -inf, f"least of a bracket that is the whole piece: {bound}")
        else:
            prove(world, value - slope * x - found, "least")

    return check


def kept_by_a_step(world: World) -> None:
    """After a bisection step g falls at p or p = 0, and rises at q or q = 1; the other steps differ in t alone."""
    low, high, slope = (real(world, name) for name in ("low", "high", "s"))
    assume(world, high - low, strict=True)
    rates: dict[Poly, Tensor] = {}

    def derivative(at: Tensor) -> Tensor:
        return rates.setdefault(number(at), real(world, f"d{len(rates)}"))

    with patch.object(stationary, "_STEPS", 1):
        p, q = stationary.bracket(derivative, slope, low, high, 1)
    for t, end, sign in ((p, 0, -1), (q, 1, 1)):
        world.claims += 1
        if number(t).constant != end:
            at = number(low + t * (high - low))
            prove(world, sign * (rates[at] - slope), f"the side of {t}")
    prove(world, q - p, "in order")


def stationary_points(world: World) -> None:
    """The critical points of a bracketed op are its breaks, and on either side of each root of f' = s one near it.

    For x^3 - 3 x + 1, which bends at 0, and s = 3 k^2 - 3: the roots are -k and k.
    """
    op, k = from_sympy(X**3 - 3 * X + 1), torch.tensor([[0.5], [1.0], [1.75]], dtype=torch.float64)
    box = Bounds(torch.full_like(k, -2.0), torch.full_like(k, 3.0))
    points = torch.stack(op.critical(3 * k * k - 3, box))
    for root in (k, -k):
        gap = (points - root).abs().amin(0).max()
        world.check(bool(gap < 1e-9), f"the root {root.tolist()} is missed by {gap}")
    for mark in (-2.0, 0.0, 3.0):
        world.check(bool((points == mark).any(0).all()), f"{mark} is no critical point")
    level = from_sympy(2 * X + 1)
    ends = torch.stack(level.critical(k, box))
    world.check(bool(((ends == -2) | (ends == 3)).all()), "an affine piece has points inside")


LEMMAS = (
    Lemma(
        "elementwise",
        "the band of an elementwise op encloses f(x) - s x if that is monotone between its ends and its clamped "
        "critical points, whatever f is",
        (Elementwise.inf, Elementwise.sup, Elementwise.band),
        (between(Curve), *ABS, *CLAMP),
        (Twin("the critical point is left out", between(_Unclamped),
              {"x": 0, "l": -1, "u": 1, "s": 0, "c": 0, "f0": 0, "f1": -1, "f2": 0}),),
        SYMBOLS,
        "real arithmetic; one critical point stands for all (each is one more term of the same minimum)",
        leaves="that an op's `critical` declares all critical points: the op's own lemma; plug-ins, which "
               "`check_op` tries",
    ),
    Lemma(
        "tangents",
        "on a piece where f is convex, least() is below f(x) - s x: g falls at p or p = 0, and rises at q or q = 1, "
        "which a step of the bracket keeps",
        (stationary.least, stationary.bracket, Bracketed.critical, Bracketed._bound, Bracketed._pieces, Smooth._marks),
        (closed_by_tangents(True), kept_by_a_step, *EXTREMA["tangents"], stationary_points),
        (Twin("a bracket of which nothing is known", closed_by_tangents(False),
              {"low": 0, "high": 1, "x": 0, "p": "1/2", "q": "3/4", "s": 0, "f0": 1, "f1": "5/4", "d0": 1, "d1": 1,
               "fx": "1/2"}),),
        SYMBOLS,
        "real arithmetic; the first bisection step stands for all steps, which differ in where t lies; concave pieces "
        "by the sign",
        leaves="how fast the bracket closes: any bracket is sound, and the cases ask for 1e-11 on a few curves; "
               "convex pieces of plug-ins",
    ),
)  # fmt: skip
