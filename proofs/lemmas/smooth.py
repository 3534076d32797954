"""Elementwise operations: any op whose critical points are all, and that each shipped op gives all of them.

An elementwise band is the least and the greatest of f(p) - s p at the ends and at the critical points p. Between two
neighbouring ones f - s x is monotone, if they are all that there are; so it suffices that f' takes every value at most
once on each piece between two breaks (f'' keeps its sign there), and that `critical` solves f'(x) = s on each. Ops
without a closed solution bracket it, and close the bracket by tangents.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from math import inf
from typing import Any

import sympy
import torch
from torch import Tensor

from absdomain.kinds import Curvature, Elementwise, Nonlinear, Smooth
from absdomain.linear import Bounds
from absdomain.ops import ELU, Cos, Exp, Log, Pow, Sigmoid, Sin, Softplus, Tanh, periodic
from absdomain.ops.formula import Formula, from_sympy
from absdomain.proofs.kernel.formulas import Formulas, expression, read
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import CASES, FORMULAS, Check, Lemma, Twin
from absdomain.proofs.lemmas.calculus import (  # fmt: skip
    GENERIC,
    LOGISTIC,
    NEGATIVE,
    POSITIVE,
    S,
    bends,
    derivative_is_true,
    derived,
    equal,
    says,
    solves,
)
from absdomain.proofs.lemmas.enclosures import X, tight
from absdomain.proofs.lemmas.extrema import BOXES, EXTREMA, POWERS, RIGHT, SLOPES, whole
from absdomain.proofs.lemmas.vertices import endless, nowhere, one

# --- the shipped ops --------------------------------------------------------------------------------------------------


def turns_at_zero(world: World) -> None:
    """tanh has the sign of its argument: sigmoid and tanh are convex before 0 and concave after it."""
    world.check(sympy.tanh(POSITIVE / 2).is_positive is True, "tanh > 0 on the right")
    world.check(sympy.tanh(NEGATIVE / 2).is_negative is True, "tanh < 0 on the left")


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
        op = from_sympy(formula)
        assert isinstance(op, Formula)
        for side, bend in ((NEGATIVE, op.curvature.bends[0]), (POSITIVE, op.curvature.bends[-1])):
            value, rate = derived(op, side)
            expected = formula.subs(X, side)
            equal(world, value, expected, f"{text}: the value")
            equal(world, rate, sympy.diff(expected, side), f"{text}: the derivative")
            second = sympy.simplify(curvature(sympy.diff(expected, side, 2)) * bend)
            world.check(bend != 0 and second.is_positive is True, f"{text}: f'' = {second} times {bend} for {side}")
        breaks = op.curvature.breaks
        world.check(breaks in ((), (0.0,)), f"{text}: breaks {breaks}")

    return check


Y = 1 + sympy.Symbol("y", nonnegative=True)  # cosh of something
BELOW = (20 - X, 20 - 2 * X)  # below the threshold


def level_below_zero(exponent: float) -> Check:
    """The band of max(x, 0)^e is that of the ends, of 0, and of the one x > 0 with e x^(e - 1) = s; and its f'."""

    def check(world: World) -> None:
        op = Pow(exponent, 0.0)
        for (low, high), s in product((*BOXES, *RIGHT), SLOPES):
            turn = (s / exponent) ** (1 / (exponent - 1)) if s > 0 else 0.0
            points = (low, high, *(p for p in (0.0, turn) if low < p < high))
            values = [max(p, 0.0) ** exponent - s * p for p in points]
            band = op.band((torch.full((1, 1), s, dtype=torch.float64),), (one((low, high)),))
            gap = max(abs(float(band.lower) - min(values)), abs(float(band.upper) - max(values)))
            world.check(gap < 1e-14, f"{op} over [{low}, {high}] at {s}: off by {gap}")
        x = torch.tensor([[-1.0, 0.0, 0.25, 4.0]], dtype=torch.float64)
        rates = [0.0, 0.0, exponent * 0.25 ** (exponent - 1), exponent * 4.0 ** (exponent - 1)]
        world.check(op.derivative(x).tolist() == [rates], f"{op}: f' at {x.tolist()} is {op.derivative(x).tolist()}")
        least = op.derivative(torch.full_like(x, 5e-324))
        upright = bool((least == inf).all())
        world.check(upright == (exponent < 1), f"{op}: f' beside 0 is {least.tolist()}")
        world.check(bool(op(x * torch.nan).isnan().all()), f"{op}: NaN stays")

    return check


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


def elu_says(alpha: float, jump: int) -> Check:
    """Convex below 0, affine above, and how f' jumps there."""
    return says(lambda: ELU(alpha), Curvature((0.0,), (1, 0), (jump,), increasing=True))


def pow_says(given: tuple[float, ...], told: Curvature) -> Check:
    """What a power of these parameters declares."""
    return says(lambda: Pow(*given), told)


HALF: tuple[float, float] = (0.0, inf)
BENT: tuple[tuple[tuple[float, ...], Curvature], ...] = (
    ((2.0,), Curvature(bends=(1,))), ((3.0,), Curvature((0.0,), (-1, 1), (0,))),
    ((-1.0,), Curvature((0.0,), (-1, 1), (0,), HALF)), ((-2.0,), Curvature((0.0,), (1, 1), (-1,), HALF)),
    *(((e,), Curvature(bends=(sign,), domain=HALF)) for e, sign in ((0.5, -1), (1.5, 1), (-0.5, 1))),
    ((0.5, 0.75), Curvature((0.75,), (0, -1), (1,))), ((-1.0, 0.75), Curvature((0.75,), (0, 1), (-1,))),
    ((2.0, 0.75), Curvature((0.75,), (0, 1), (1,))), ((0.5, 0.0), Curvature((0.0,), (0, -1), (1,))),
    ((1.5, 0.0), Curvature((0.0,), (0, 1), (0,))),
)  # fmt: skip
WAVE = (periodic._Wave.critical, periodic._Wave.inf, periodic._Wave.sup, periodic._far)

LEMMAS = (
    Lemma(
        "smooth", "the band of a smooth op is that of its critical points; where f overflows, a bound is the largest "
        "float or infinite, on the safe side, and where f is not defined the band is infinite",
        (Smooth.inf, Smooth.sup, Smooth._bound, Smooth._least_of, Smooth.image, Elementwise._gaps, Elementwise._known,
         Elementwise.defined, Elementwise.image, Nonlinear.image, Nonlinear.band),
        (*EXTREMA["smooth"], nowhere, endless),
        (Twin("half of the solution", tight(_WrongBranch(), whole(1 / (1 + sympy.exp(-X))), BOXES, SLOPES), {}),),
        CASES, "the lemma elementwise; the boxes and slopes of these cases stand for all",
        leaves="boxes and slopes other than those of the cases, but by the symbolic lemmas; `chord`, `tight_slopes`, "
               "`_hull`, `_tangent`: hints; float32",
    ),
    Lemma(
        "sigmoid", "critical() holds all x with sigmoid'(x) = s; f' is monotone on either side of 0",
        (Sigmoid.critical, Sigmoid.derivative, Sigmoid.__call__),
        (derivative_is_true(Sigmoid()), bends(Sigmoid(), -sympy.tanh(X / 2), LOGISTIC), turns_at_zero,
         solves(Sigmoid(), LOGISTIC, X, SIGMOID_SLOPE, 2, SIGMOID_KNOWN), *EXTREMA["sigmoid"]),
        (Twin("half of the solution", solves(_WrongBranch(), LOGISTIC, X, SIGMOID_SLOPE, 2, SIGMOID_KNOWN), {}),),
        FORMULAS, GENERIC,
        leaves="float32; rounding near saturation",
    ),
    Lemma(
        "tanh", "critical() holds all x with tanh'(x) = s; f' is monotone on either side of 0",
        (Tanh.critical, Tanh.derivative, Tanh.__call__),
        (derivative_is_true(Tanh()), bends(Tanh(), -2 * sympy.tanh(X), 1 / sympy.cosh(X) ** 2), turns_at_zero,
         solves(Tanh(), 1 / sympy.cosh(X) ** 2, X, TANH_SLOPE, 2, (1 - TANH_SLOPE,)), *EXTREMA["tanh"]),
        (Twin("convex and concave the other way round", bends(Tanh(), 2 * sympy.tanh(X), 1 / sympy.cosh(X) ** 2), {}),),
        FORMULAS, GENERIC,
        leaves="float32; rounding near saturation",
    ),
    Lemma(
        "exp", "exp'(log s) = s, and f' grows", (Exp.critical, Exp.derivative, Exp.__call__, Exp.curvature),
        (derivative_is_true(Exp()), bends(Exp(), 1, sympy.exp(X)), solves(Exp(), sympy.exp(X), X, S, 1),
         says(Exp, Curvature(bends=(1,), increasing=True)),
         says(lambda: Exp(0.5), Curvature((0.5,), (1, 0), (-1,), increasing=True)), *EXTREMA["exp"]),
        (Twin("another derivative", solves(Exp(), 2 * sympy.exp(X), X, S, 1), {}),), FORMULAS, GENERIC,
        leaves="float32; rounding; overflow is in `smooth`",
    ),
    Lemma(
        "log", "log'(1 / s) = s, and f' falls for x > 0",
        (Log.critical, Log.derivative, Log.__call__, Log.curvature),
        (derivative_is_true(Log(), POSITIVE), bends(Log(), -1, 1 / POSITIVE**2, POSITIVE),
         solves(Log(), 1 / POSITIVE, POSITIVE, S, 1),
         says(Log, Curvature(bends=(-1,), domain=(0.0, inf), increasing=True)),
         says(lambda: Log(0.5), Curvature((0.5,), (0, -1), (1,), increasing=True)), *EXTREMA["log"]),
        (Twin("another derivative", derivative_is_true(_Cubed(), POSITIVE), {}),), FORMULAS,
        GENERIC + "; with a floor: flat below it, a kink there, log above",
        leaves="float32; rounding near 0",
    ),
    Lemma(
        "softplus", "softplus'(logit(s) / beta) = s, and f' grows",
        (Softplus.critical, Softplus.derivative, Softplus.__call__),
        (derivative_is_true(Softplus(), X, BELOW), derivative_is_true(Softplus(beta=2.0), X, BELOW),
         bends(Softplus(), 1, LOGISTIC, X, BELOW),
         solves(Softplus(), 1 / (1 + sympy.exp(-X)), X, 1 / (1 + S), 1, (1 - 1 / (1 + S), *BELOW)),
         *EXTREMA["softplus"]),
        (Twin("beta forgotten", solves(Softplus(beta=2.0), 1 / (1 + sympy.exp(-X)), X, 1 / (1 + S), 1,
                                       (1 - 1 / (1 + S), *BELOW)), {}),),
        FORMULAS, GENERIC + "; below the threshold, whose two sides are critical points; beta 1 and 2",
        leaves="a beta other than 1 and 2 in the symbolic part; rounding of beta x at the threshold beyond four "
               "units",
    ),
    Lemma(
        "elu", "elu'(log(s / (scale alpha))) = s below 0, f' grows there, and 0 is a critical point",
        (ELU.critical, ELU.derivative, ELU.__call__, ELU.curvature),
        (*(elu_says(a, jump) for a, jump in ((0.5, 1), (1.0, 0), (2.0, -1))),
         derivative_is_true(ELU(), NEGATIVE), derivative_is_true(ELU(0.5, 2.0), NEGATIVE),
         derivative_is_true(ELU(0.5, 2.0), POSITIVE), bends(ELU(0.5, 2.0), 1, sympy.exp(NEGATIVE), NEGATIVE),
         *EXTREMA["elu"]),
        (Twin("scale forgotten", bends(ELU(0.5, 2.0), sympy.Rational(1, 2), sympy.exp(NEGATIVE), NEGATIVE), {}),),
        FORMULAS, GENERIC + "; alpha, scale = 1, 1 and 1/2, 2",
        leaves="other alpha and scale than those of the cases; float32",
    ),
    Lemma(
        "pow", "f'(p) = s at p = +-|s / e|^(1 / (e - 1)), and f' is monotone on either side of 0",
        (Pow.critical, Pow.derivative, Pow.__call__, Pow.curvature, Pow.defined, Pow._whole),
        (*map(power_solves, POWERS), *(pow_says(given, told) for given, told in BENT),
         level_below_zero(0.5), level_below_zero(1.5), *EXTREMA["pow"]),
        (Twin("the exponent's root instead of that of one less", power_solves(2.0, _RootOfTheExponent), {}),), FORMULAS,
        GENERIC + "; exponents 2, 3, 5, -1, -2 and 1/2; negative x by symmetry",
        leaves="exponents other than 2, 3, 5, -1, -2 and 1/2; negative x symbolically (by cases); float32",
    ),
    Lemma(
        "sin", "sin' takes the value s at +-acos(s) + 2 pi k; of each family the first and the last are extreme",
        (Sin.stationary, Sin.derivative, Sin.__call__, *WAVE),
        (derivative_is_true(Sin()), wave(Sin()), *EXTREMA["sin"]),
        (Twin("asin instead of acos", wave(_Mirrored()), {}),), FORMULAS,
        GENERIC + "; that these are all solutions of cos x = s",
        leaves="arguments beyond eps^(-1/2), where only -1 <= f <= 1 is claimed; that these are all solutions of "
               "cos x = s",
    ),
    Lemma(
        "cos", "cos' takes the value s at -asin(s) and asin(s) + pi, + 2 pi k; of each family the first and the last "
        "are extreme", (Cos.stationary, Cos.derivative, Cos.__call__, *WAVE),
        (derivative_is_true(Cos()), wave(Cos()), *EXTREMA["cos"]),
        (Twin("the sine's solutions", wave(_OfTheSine()), {}),), FORMULAS,
        GENERIC + "; that these are all solutions of -sin x = s",
        leaves="arguments beyond eps^(-1/2), where only -1 <= f <= 1 is claimed; that these are all solutions of "
               "-sin x = s",
    ),
    Lemma(
        "formula",
        "an op made of a formula has its value and its derivative, and f'' keeps the declared sign on each piece",
        (from_sympy, Formula.derivative, Formula.__call__, Formula._joined),
        (of_formula("log(1 + exp(x))"), of_formula("x**3"), of_formula("exp(x) + x**2"), of_formula("tanh(x)"),
         *EXTREMA["formula"]),
        (Twin("f'' with the other sign", of_formula("x**3", lambda f: -f), {}),), FORMULAS,
        GENERIC + " and tangents; four formulas stand for all: each is derived anew, by sympy and interval arithmetic",
        leaves="formulas other than those of the checks: `absdomain.ops.formula` derives each anew, and its derivation "
               "(branches, signs, compiled functions) is tested, not proved; overflow inside a formula",
    ),
)  # fmt: skip
