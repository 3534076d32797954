"""Elementwise operations: any op whose critical points are all, and that each shipped op gives all of them.

An elementwise band is the least and the greatest of f(p) - s p at the ends and at the critical points p. Between two
neighbouring ones f - s x is monotone, if they are all that there are; so it suffices that f' takes every value at most
once on each piece between two breaks (f'' keeps its sign there), and that `critical` solves f'(x) = s on each. Ops
without a closed solution bracket it, and close the bracket by tangents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import sympy
import torch
from torch import Tensor

from absdomain import stationary
from absdomain.bounds import Bounds
from absdomain.formula import Formula
from absdomain.kinds import Elementwise, Smooth
from absdomain.ops import ELU, GELU, Cos, Exp, GELUTanh, HardSwish, Log, Pow, Sigmoid, SiLU, Sin, Softplus, Tanh
from absdomain.proofs.exact import Exact, assume, number, numbers, prove, prove_zero, real
from absdomain.proofs.formulas import Formulas, expression, read
from absdomain.proofs import intervals
from absdomain.proofs.lemma import FORMULAS, SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.polynomial import Poly
from absdomain.proofs.world import World

X = sympy.Symbol("x", real=True)
POSITIVE = sympy.Symbol("x", positive=True)
NEGATIVE = sympy.Symbol("x", negative=True)
S = sympy.Symbol("s", positive=True)


# --- the band of any elementwise op -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Curve(Elementwise):
    """f of which only its values at named points are known, with one critical point c."""

    world: World
    _values: dict[Poly, Poly] = field(default_factory=dict)

    def __call__(self, *xs: Tensor) -> Tensor:
        (p,) = numbers(xs[0])
        if p not in self._values:
            self._values[p] = self.world.real(f"f{len(self._values)}")
        return expression(self.world, self._values[p])

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
    """`least` is below g = f - s x, convex on [low, high], whatever the bracket: g falls at p or p = 0, rises at q or q = 1."""

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
        lookup = {key: i for key, i in points.items()}
        with patch.object(stationary, "bracket", lambda *_: (p, q)):
            found = stationary.least(
                lambda at: f[lookup[number(at)]], lambda at: steep[lookup[number(at)]], slope, low, high, 1
            )
        if any(isinstance(entry, Poly) for entry in found.entries.reshape(-1)):  # type: ignore[attr-defined]
            prove(world, value - slope * x - found, "least")
        else:
            world.claims += 1  # -inf: nothing is claimed of a piece whose ends both end the bracket

    return check


def kept_by_a_step(world: World) -> None:
    """After a bisection step g still falls at p or p = 0, and rises at q or q = 1; the other steps differ in t alone."""
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


# --- the shipped ops --------------------------------------------------------------------------------------------------

Maker = Callable[[], Smooth]


def derived(op: Smooth, x: Any = X, *, known: tuple[Any, ...] = ()) -> tuple[Any, Any]:
    """The op's value and its declared derivative as formulas at x."""
    world = Formulas(signs=list(known))
    at = expression(world, x)
    return read(op(at)), read(op.derivative(at))


def equal(world: World, a: Any, b: Any, claim: str) -> None:
    """Two formulas are the same function."""
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


def turns_at_zero(world: World) -> None:
    """tanh has the sign of its argument: sigmoid and tanh are convex before 0 and concave after it."""
    world.check(sympy.tanh(POSITIVE / 2).is_positive is True, "tanh > 0 on the right")
    world.check(sympy.tanh(NEGATIVE / 2).is_negative is True, "tanh < 0 on the left")


def silu_turns(world: World) -> None:
    """2 - x tanh(x / 2) falls for x > 0, from 2 through 0 at the break; it is even."""
    edge = SiLU.breaks[1]
    intervals.falls_once(world, intervals.silu_factor, intervals.silu_factor_slope, edge, 2 * edge)
    falling = sympy.diff(X * sympy.tanh(X / 2), X).rewrite(sympy.cosh).subs(X, POSITIVE)
    rate = sympy.tanh(POSITIVE / 2) + POSITIVE / (2 * sympy.cosh(POSITIVE / 2) ** 2)
    equal(world, falling, rate, "the slope of x tanh(x / 2)")
    world.check(rate.is_positive is True, "x tanh(x / 2) grows for all x > 0")


def tanh_gelu_turns(world: World) -> None:
    """The factor of f'' changes its sign once for x > 0, at the break; it is even."""
    edge = GELUTanh.breaks[1]
    turned_at(edge)(world)
    intervals.far_out(world, 2 * edge)
    c, k = sympy.Rational(44715, 10**6), sympy.sqrt(2 / sympy.pi)
    u = k * (X + c * X**3)
    rate, bend = sympy.diff(u, X), sympy.diff(u, X, 2)
    factor = rate + X * bend / 2 - X * rate**2 * sympy.tanh(u)
    second = sympy.diff(X * (1 + sympy.tanh(u)) / 2, X, 2)
    world.check(sympy.simplify(second - factor * (1 - sympy.tanh(u) ** 2)) == 0, "f'' = factor sech^2 u")
    value, _ = derived(GELUTanh())
    equal(world, value, X * (1 + sympy.tanh(u)) / 2, "the formula")


def turned_at(edge: float) -> Check:
    """The sign changes of the factor of the tanh form of GELU, at this place."""

    def check(world: World) -> None:
        intervals.falls_once(world, intervals.tanh_gelu_factor, intervals.tanh_gelu_factor_slope, edge, 2 * edge)

    return check


def wave(op: Sin | Cos) -> Check:
    """f' = s at one point of each family; f' has period 2 pi; along a family f - s x changes by -2 pi s a period."""

    def check(world: World) -> None:
        s = sympy.Symbol("s", real=True)
        inside = Formulas()
        value, rate = derived(op)
        for point in op.stationary(expression(inside, s)):
            world.check(sympy.simplify(sympy.expand_trig(rate.subs(X, read(point))) - s) == 0, f"f'({read(point)}) = s")
        world.check(sympy.simplify(rate.subs(X, X + 2 * sympy.pi) - rate) == 0, "f' has period 2 pi")
        change = value.subs(X, X + 2 * sympy.pi) - s * (X + 2 * sympy.pi) - (value - s * X)
        world.check(sympy.simplify(change + 2 * sympy.pi * s) == 0, "one period on, f - s x has fallen by 2 pi s")

    return check


def hard_swish(op: HardSwish) -> Check:
    """Between the kinks f(x + h) = f(x) + f'(x) h + h^2 / 6 and f'(p) = s at the vertex; outside f is affine."""

    def check(world: World) -> None:
        x, h, slope = (real(world, name) for name in ("x", "h", "s"))
        world.split(number(x + 3), number(3 - x))
        inside = bool(((x >= -3) & (x <= 3)).all())
        ends = [x + h + 3, 3 - x - h] if inside else [x + h - 3] if bool((x > 3).all()) else [-3 - x - h]
        assume(world, *ends)
        step = op(x + h) - op(x) - op.derivative(x) * h
        prove_zero(world, step - h * h / 6 if inside else step, "f(x + h)")
        vertex = op.critical(slope, Bounds(x, x))[2]
        if bool(((vertex > -3) & (vertex < 3)).all()):
            prove_zero(world, op.derivative(vertex) - slope, "f'(p) = s")

    return check


class _AnotherVertex(HardSwish):
    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        *kinks, vertex = super().critical(slope, box)
        return *kinks, vertex / 2


class _WrongBranch(Sigmoid):
    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        x, other = super().critical(slope, box)
        return x / 2, other


class _Cubed(Log):
    def derivative(self, x: Tensor) -> Tensor:
        return super().derivative(x) * x


class _RootOfTheExponent(Pow):
    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return ((slope / self.exponent).abs().pow(1 / self.exponent),)


class _OfTheSine(Cos):
    def stationary(self, slope: Tensor) -> tuple[Tensor, Tensor]:
        return Sin().stationary(slope)


class _Mirrored(Sin):
    def stationary(self, slope: Tensor) -> tuple[Tensor, Tensor]:
        x = slope.asin()
        return x, -x


def of_formula(text: str, curvature: Callable[[Any], Any] = lambda f: f) -> Check:
    """An op made of a formula has its value and derivative, and f'' has the declared sign on either side of 0."""

    def check(world: World) -> None:
        formula = sympy.sympify(text, locals={"x": X})
        op = Elementwise.from_sympy(formula)
        assert isinstance(op, Formula)
        for side, bend in ((NEGATIVE, op.bends[0]), (POSITIVE, op.bends[-1])):
            value, rate = derived(op, side)
            expected = formula.subs(X, side)
            equal(world, value, expected, f"{text}: the value")
            equal(world, rate, sympy.diff(expected, side), f"{text}: the derivative")
            second = sympy.simplify(curvature(sympy.diff(expected, side, 2)) * bend)
            world.check(bend != 0 and second.is_positive is True, f"{text}: f'' = {second} times {bend} for {side}")
        world.check(op.breaks in ((), (0.0,)), f"{text}: breaks {op.breaks}")

    return check


Y = 1 + sympy.Symbol("y", nonnegative=True)  # cosh of something
LOGISTIC = 1 / (4 * sympy.cosh(X / 2) ** 2)
BELL = sympy.exp(-(X**2) / 2) / sympy.sqrt(2 * sympy.pi)
BELOW = (20 - X, 20 - 2 * X)  # below the threshold
POWERS = (2.0, 3.0, 5.0, -1.0, -2.0, 0.5)


def quarter(y: Any) -> tuple[Any, tuple[Any, ...]]:
    """A slope of the sigmoid, 1 / (4 y^2) with y >= 1, and that it is at most 1/4."""
    slope = 1 / (4 * y**2)
    return slope, (sympy.Rational(1, 4) - slope,)


def power_solves(exponent: float, make: Callable[[float], Pow] = Pow) -> Check:
    """s = f'(x) for x > 0 gives back x; for whole exponents the sign of x is tried both ways by +-."""

    def check(world: World) -> None:
        e = sympy.Rational(Fraction(exponent).numerator, Fraction(exponent).denominator)
        value, rate = derived(make(exponent), POSITIVE)
        equal(world, value, POSITIVE**e, "the power")
        equal(world, rate, e * POSITIVE ** (e - 1), "its derivative")
        inside = Formulas()
        box = Bounds(expression(inside, POSITIVE), expression(inside, POSITIVE))
        point = read(make(exponent).critical(expression(inside, rate), box)[0])
        world.check(sympy.simplify(point - POSITIVE) == 0, f"exponent {e}: f'(p) = s at {point}")
        second = sympy.diff(rate, POSITIVE)
        world.check(second.is_positive is True or second.is_negative is True, "f' is monotone for x > 0")

    return check


SIGMOID_SLOPE, SIGMOID_KNOWN = quarter(Y)
TANH_SLOPE = 1 / Y**2
REAL = "real arithmetic; constants in floating point are the numbers that they are nearest to"
GENERIC = REAL + "; the lemma elementwise"

LEMMAS = (
    Lemma(
        "elementwise",
        "the band of an elementwise op encloses f(x) - s x if that is monotone between its ends and its clamped "
        "critical points, whatever f is",
        (Elementwise.inf, Elementwise.sup, Elementwise.band),
        (between(Curve),),
        (Twin("the critical point is left out", between(_Unclamped),
              {"x": 0, "l": -1, "u": 1, "s": 0, "c": 0, "f0": 0, "f1": -1, "f2": 0}),),
        SYMBOLS,
        "real arithmetic; one critical point stands for all (each is one more term of the same minimum)",
    ),
    Lemma(
        "tangents",
        "on a piece where f is convex, least() is below f(x) - s x: g falls at p or p = 0, and rises at q or q = 1, "
        "which a step of the bracket keeps",
        (stationary.least, stationary.bracket),
        (closed_by_tangents(True), kept_by_a_step),
        (Twin("a bracket of which nothing is known", closed_by_tangents(False),
              {"low": 0, "high": 1, "x": 0, "p": "1/2", "q": "3/4", "s": 0, "f0": 1, "f1": "5/4", "d0": 1, "d1": 1,
               "fx": "1/2"}),),
        SYMBOLS,
        "real arithmetic; the first bisection step stands for all steps, which differ in where t lies; concave pieces "
        "by the sign",
    ),
    Lemma(
        "sigmoid", "critical() holds all x with sigmoid'(x) = s; f' is monotone on either side of 0",
        (Sigmoid.critical, Sigmoid.derivative, Sigmoid.__call__),
        (derivative_is_true(Sigmoid()), bends(Sigmoid(), -sympy.tanh(X / 2), LOGISTIC), turns_at_zero,
         solves(Sigmoid(), LOGISTIC, X, SIGMOID_SLOPE, 2, SIGMOID_KNOWN)),
        (Twin("half of the solution", solves(_WrongBranch(), LOGISTIC, X, SIGMOID_SLOPE, 2, SIGMOID_KNOWN), {}),),
        FORMULAS, GENERIC,
    ),
    Lemma(
        "tanh", "critical() holds all x with tanh'(x) = s; f' is monotone on either side of 0",
        (Tanh.critical, Tanh.derivative, Tanh.__call__),
        (derivative_is_true(Tanh()), bends(Tanh(), -2 * sympy.tanh(X), 1 / sympy.cosh(X) ** 2), turns_at_zero,
         solves(Tanh(), 1 / sympy.cosh(X) ** 2, X, TANH_SLOPE, 2, (1 - TANH_SLOPE,))),
        (Twin("convex and concave the other way round", bends(Tanh(), 2 * sympy.tanh(X), 1 / sympy.cosh(X) ** 2), {}),),
        FORMULAS, GENERIC,
    ),
    Lemma(
        "exp", "exp'(log s) = s, and f' grows", (Exp.critical, Exp.derivative, Exp.__call__),
        (derivative_is_true(Exp()), bends(Exp(), 1, sympy.exp(X)), solves(Exp(), sympy.exp(X), X, S, 1)),
        (Twin("another derivative", solves(Exp(), 2 * sympy.exp(X), X, S, 1), {}),), FORMULAS, GENERIC,
    ),
    Lemma(
        "log", "log'(1 / s) = s, and f' falls for x > 0", (Log.critical, Log.derivative, Log.__call__),
        (derivative_is_true(Log(), POSITIVE), bends(Log(), -1, 1 / POSITIVE**2, POSITIVE),
         solves(Log(), 1 / POSITIVE, POSITIVE, S, 1)),
        (Twin("another derivative", derivative_is_true(_Cubed(), POSITIVE), {}),), FORMULAS,
        GENERIC + "; with a floor: flat below it, a kink there, log above",
    ),
    Lemma(
        "softplus", "softplus'(logit(s) / beta) = s, and f' grows",
        (Softplus.critical, Softplus.derivative, Softplus.__call__),
        (derivative_is_true(Softplus(), X, BELOW), derivative_is_true(Softplus(beta=2.0), X, BELOW),
         bends(Softplus(), 1, LOGISTIC, X, BELOW),
         solves(Softplus(), 1 / (1 + sympy.exp(-X)), X, 1 / (1 + S), 1, (1 - 1 / (1 + S), *BELOW))),
        (Twin("beta forgotten", solves(Softplus(beta=2.0), 1 / (1 + sympy.exp(-X)), X, 1 / (1 + S), 1,
                                       (1 - 1 / (1 + S), *BELOW)), {}),),
        FORMULAS, GENERIC + "; below the threshold, whose two sides are critical points; beta 1 and 2",
    ),
    Lemma(
        "elu", "elu'(log(s / (scale alpha))) = s below 0, f' grows there, and 0 is a critical point",
        (ELU.critical, ELU.derivative, ELU.__call__),
        (derivative_is_true(ELU(), NEGATIVE), derivative_is_true(ELU(0.5, 2.0), NEGATIVE),
         derivative_is_true(ELU(0.5, 2.0), POSITIVE), bends(ELU(0.5, 2.0), 1, sympy.exp(NEGATIVE), NEGATIVE)),
        (Twin("scale forgotten", bends(ELU(0.5, 2.0), sympy.Rational(1, 2), sympy.exp(NEGATIVE), NEGATIVE), {}),),
        FORMULAS, GENERIC + "; alpha, scale = 1, 1 and 1/2, 2",
    ),
    Lemma(
        "pow", "f'(p) = s at p = +-|s / e|^(1 / (e - 1)), and f' is monotone on either side of 0",
        (Pow.critical, Pow.derivative, Pow.__call__), tuple(map(power_solves, POWERS)),
        (Twin("the exponent's root instead of that of one less", power_solves(2.0, _RootOfTheExponent), {}),), FORMULAS,
        GENERIC + "; exponents 2, 3, 5, -1, -2 and 1/2; negative x by symmetry",
    ),
    Lemma(
        "sin", "sin' takes the value s at +-acos(s) + 2 pi k; of each family the first and the last are extreme",
        (Sin.stationary, Sin.derivative), (derivative_is_true(Sin()), wave(Sin())),
        (Twin("asin instead of acos", wave(_Mirrored()), {}),), FORMULAS,
        GENERIC + "; that these are all solutions of cos x = s",
    ),
    Lemma(
        "cos", "cos' takes the value s at -asin(s) and asin(s) + pi, + 2 pi k; of each family the first and the last "
        "are extreme", (Cos.stationary, Cos.derivative), (derivative_is_true(Cos()), wave(Cos())),
        (Twin("the sine's solutions", wave(_OfTheSine()), {}),), FORMULAS,
        GENERIC + "; that these are all solutions of -sin x = s",
    ),
    Lemma(
        "silu", "silu'' has the sign of 2 - x tanh(x / 2), which is positive between the breaks and negative outside",
        (SiLU.derivative, SiLU.__call__),
        (derivative_is_true(SiLU()), bends(SiLU(), 2 - X * sympy.tanh(X / 2), LOGISTIC), silu_turns),
        (Twin("the sign of the factor", bends(SiLU(), X * sympy.tanh(X / 2) - 2, LOGISTIC), {}),),
        f"{FORMULAS}; interval arithmetic", GENERIC + " and tangents; a break within 1e-9 of the inflection",
    ),
    Lemma(
        "gelu", "gelu'' = phi(x) (2 - x^2): positive between -sqrt 2 and sqrt 2, negative outside",
        (GELU.derivative, GELU.__call__), (derivative_is_true(GELU()), bends(GELU(), 2 - X**2, BELL)),
        (Twin("another inflection", bends(GELU(), 3 - X**2, BELL), {}),), FORMULAS, GENERIC + " and tangents",
    ),
    Lemma(
        "gelu_tanh", "f'' is positive between the breaks and negative outside", (GELUTanh.derivative, GELUTanh.__call__),
        (derivative_is_true(GELUTanh()), tanh_gelu_turns),
        (Twin("another break", turned_at(1.4), {}),), f"{FORMULAS}; interval arithmetic",
        GENERIC + " and tangents; a break within 1e-9 of the inflection",
    ),
    Lemma(
        "formula", "an op made of a formula has its value and its derivative, and f'' keeps the declared sign on each piece",
        (Elementwise.from_sympy, Formula.derivative, Formula.__call__),
        (of_formula("log(1 + exp(x))"), of_formula("x**3"), of_formula("exp(x) + x**2"), of_formula("tanh(x)")),
        (Twin("f'' with the other sign", of_formula("x**3", lambda f: -f), {}),), FORMULAS,
        GENERIC + " and tangents; four formulas stand for all: each is derived anew, by sympy and interval arithmetic",
    ),
    Lemma(
        "hard_swish", "f' grows by 1/3 per unit between the kinks -3 and 3 and is constant outside; f'(p) = s at the "
        "third critical point",
        (HardSwish.critical, HardSwish.derivative, HardSwish.__call__), (hard_swish(HardSwish()),),
        (Twin("another vertex", hard_swish(_AnotherVertex()), {"x": 0, "h": 0, "s": "2/3"}),), SYMBOLS,
        "real arithmetic; the lemma elementwise",
    ),
)  # fmt: skip
