"""What a smooth operation's lemma is made of: its derivative, where that is monotone, and where it takes a value.

Checked on the shipped `__call__`, `derivative` and `critical`, run on sympy expressions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy

from absdomain.kinds import Curvature, Elementwise, Smooth
from absdomain.linear import Bounds
from absdomain.proofs.kernel.executed import unwatched
from absdomain.proofs.kernel.formulas import Formulas, expression, read
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import Check
from absdomain.proofs.lemmas.enclosures import X

POSITIVE = sympy.Symbol("x", positive=True)
NEGATIVE = sympy.Symbol("x", negative=True)
S = sympy.Symbol("s", positive=True)
LOGISTIC = 1 / (4 * sympy.cosh(X / 2) ** 2)
REAL = "real arithmetic; constants in floating point are the numbers that they are nearest to"
GENERIC = REAL + "; the lemma elementwise"


def says(make: Callable[[], Elementwise], told: Curvature) -> Check:
    """What an op declares of its curvature: hints, and the domain, of which bands depend."""

    def check(world: World) -> None:
        op = make()
        world.check(op.curvature == told, f"{op} says {op.curvature}, and not {told}")

    return check


def derived(op: Smooth, x: Any = X, *, known: tuple[Any, ...] = ()) -> tuple[Any, Any]:
    """The op's value and its declared derivative as formulas at x."""
    world = Formulas(signs=list(known))
    at = expression(world, x)
    return read(op(at)), read(op.derivative(at))


def equal(world: World, a: Any, b: Any, claim: str) -> None:
    """Two formulas are the same function; one that differs at a point is told at once."""
    at = dict.fromkeys((a - b).free_symbols, sympy.Rational(3, 7))
    with unwatched():
        known = sympy.N(sympy.sympify(a - b).subs({s: -v if s.is_negative else v for s, v in at.items()}), 30)
    world.check(not abs(known) > 1e-20, f"{claim}: {a} is not {b} at {at}")
    with unwatched():
        gap = sympy.simplify(sympy.expand((a - b).rewrite(sympy.exp)))
    world.check(gap == 0, f"{claim}: {a} - {b} = {gap}")


def derivative_is_true(op: Smooth, x: Any = X, known: tuple[Any, ...] = ()) -> Check:
    """`derivative` is the derivative."""

    def check(world: World) -> None:
        value, rate = derived(op, x, known=known)
        equal(world, sympy.diff(value, x), rate, f"{type(op).__name__}.derivative")

    return check


def bends(op: Smooth, factor: Any, positive: Any, x: Any = X, known: tuple[Any, ...] = ()) -> Check:
    """f'' = factor * positive, with a positive second part: f'' has the signs of the factor."""

    def check(world: World) -> None:
        value, _ = derived(op, x, known=known)
        equal(world, sympy.diff(value, x, 2), factor * positive, f"{type(op).__name__}''")
        world.check(sympy.sympify(positive).is_positive is True, f"{positive} is positive")

    return check


def solves(op: Elementwise, rate: Any, x: Any, slope: Any, count: int, known: tuple[Any, ...] = ()) -> Check:
    """f'(p) = s at the first `count` critical points; `rate` is f' in a form in which sympy sees it."""

    def check(world: World) -> None:
        inside = Formulas(signs=list(known))
        at = expression(inside, slope)
        found = op.critical(at, Bounds(expression(inside, sympy.Integer(-1)), expression(inside, sympy.Integer(1))))
        assert isinstance(op, Smooth)
        for form in (read(op.derivative(expression(inside, x))),):
            equal(world, form, rate, f"f' of {type(op).__name__}")
        for point in found[:count]:
            world.check(sympy.simplify(rate.subs(x, read(point)) - slope) == 0, f"f'({read(point)}) = {slope}")

    return check
