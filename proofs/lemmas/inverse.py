"""Inverse functions on their domains: the derivative, where it is monotone, and all points where it has a value."""

from __future__ import annotations

from math import inf
from typing import Any

import sympy
from torch import Tensor

from absdomain.kinds import Curvature, Smooth
from absdomain.linear import Bounds
from absdomain.ops import Acosh, Asin, Logit, Tan, inverse
from absdomain.proofs.kernel.formulas import Formulas, expression, read
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import FORMULAS, Check, Lemma, Twin
from absdomain.proofs.lemmas.calculus import GENERIC, S, derived, equal, says

T = sympy.Symbol("t", positive=True)


def bends_along(op: Smooth, place: Any, bend: int) -> Check:
    """For the x = place(t), t > 0: f' is the derivative, and f'' has this sign."""

    def check(world: World) -> None:
        value, rate = derived(op, place)
        run = sympy.diff(place, T)
        equal(world, sympy.diff(value, T), rate * run, f"{type(op).__name__}.derivative at {place}")
        second = sympy.simplify(bend * sympy.diff(rate, T) / run)
        world.check(second.is_positive is True, f"{type(op).__name__}'' at {place}: {second} times {bend}")

    return check


def solved(op: Smooth, slope: Any, count: int) -> Check:
    """f'(p) = s at so many critical points p, which are all: f' is even around the middle, or monotone."""

    def check(world: World) -> None:
        at = expression(Formulas(), slope)
        found = op.critical(at, Bounds(at, at))
        world.check(len(found) == count, f"{len(found)} points, not {count}")
        points = [read(point) for point in found]
        for point in points:
            rate = read(op.derivative(expression(Formulas(), point)))
            world.check(sympy.simplify(rate - slope) == 0, f"f'({point}) = {rate}, and not {slope}")
        world.check(len({sympy.simplify(p) for p in points}) == count, f"the points {points} are one")

    return check


def before_the_pole(world: World) -> None:
    """The domain of the tangent ends before pi / 2, by less than a millionth."""
    gap = sympy.pi / 2 - sympy.Rational(*inverse._POLE.as_integer_ratio())
    world.check(0 < gap < sympy.Rational(1, 10**6), f"pi / 2 is {sympy.N(gap, 5)} beyond the end")


class _Halved(Asin):
    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        x, other = super().critical(slope, box)
        return x / 2, other


class _Mirrored(Logit):
    def derivative(self, x: Tensor) -> Tensor:
        return (x * (1 + x)).reciprocal()


class _Flat(Acosh):
    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return (slope.reciprocal(),)


class _Sine(Tan):
    def derivative(self, x: Tensor) -> Tensor:
        return x.cos()


INSIDE, HALF = T / sympy.sqrt(1 + T**2), T / (2 * (1 + T))  # these run from 0 to 1, and to 1 / 2
MIDDLE = sympy.Rational(1, 2)
LEAVES = "float32; rounding near the ends of the domain, where f' is infinite"

LEMMAS = (
    Lemma(
        "asin", "critical() holds all x with asin'(x) = s; f' falls before 0 and grows after it",
        (Asin.critical, Asin.derivative, Asin.__call__),
        (bends_along(Asin(), INSIDE, 1), bends_along(Asin(), -INSIDE, -1), solved(Asin(), 1 + T, 2),
         says(Asin, Curvature((0.0,), (-1, 1), (0,), (-1.0, 1.0), increasing=True))),
        (Twin("half of the solution", solved(_Halved(), 1 + T, 2), {}),), FORMULAS, GENERIC, leaves=LEAVES,
    ),
    Lemma(
        "acosh", "critical() holds the x with acosh'(x) = s; f' falls for x > 1",
        (Acosh.critical, Acosh.derivative, Acosh.__call__),
        (bends_along(Acosh(), 1 + T, -1), solved(Acosh(), S, 1),
         says(Acosh, Curvature(bends=(-1,), domain=(1.0, inf), increasing=True))),
        (Twin("1 / s", solved(_Flat(), S, 1), {}),), FORMULAS, GENERIC, leaves=LEAVES,
    ),
    Lemma(
        "logit", "critical() holds all x with logit'(x) = s; f' falls before 1 / 2 and grows after it",
        (Logit.critical, Logit.derivative, Logit.__call__),
        (bends_along(Logit(), MIDDLE + HALF, 1), bends_along(Logit(), MIDDLE - HALF, -1), solved(Logit(), 4 + T, 2),
         says(Logit, Curvature((0.5,), (-1, 1), (0,), (0.0, 1.0), increasing=True))),
        (Twin("another derivative", bends_along(_Mirrored(), MIDDLE + HALF, 1), {}),), FORMULAS, GENERIC, leaves=LEAVES,
    ),
    Lemma(
        "tan", "critical() holds all x with tan'(x) = s between the poles; f' falls before 0 and grows after it",
        (Tan.critical, Tan.derivative, Tan.__call__),
        (bends_along(Tan(), sympy.atan(T), 1), bends_along(Tan(), -sympy.atan(T), -1), solved(Tan(), 1 + T, 2),
         before_the_pole,
         says(Tan, Curvature((0.0,), (-1, 1), (0,), (-inverse._POLE, inverse._POLE), increasing=True))),
        (Twin("another derivative", bends_along(_Sine(), sympy.atan(T), 1), {}),), FORMULAS, GENERIC, leaves=LEAVES,
    ),
)  # fmt: skip
