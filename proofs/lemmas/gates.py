"""Gated activations: where they bend, shown by formulas and by interval arithmetic."""

from __future__ import annotations

import sympy
from torch import Tensor

from absdomain.linear import Bounds
from absdomain.ops import GELU, GELUTanh, HardSwish, SiLU
from absdomain.proofs.kernel import intervals
from absdomain.proofs.kernel.exact import assume, number, prove_zero, real
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import FORMULAS, SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.calculus import GENERIC, LOGISTIC, POSITIVE, bends, derivative_is_true, derived, equal
from absdomain.proofs.lemmas.enclosures import X
from absdomain.proofs.lemmas.extrema import EXTREMA

BELL = sympy.exp(-(X**2) / 2) / sympy.sqrt(2 * sympy.pi)


def silu_turns(world: World) -> None:
    """2 - x tanh(x / 2) falls for x > 0, from 2 through 0 at the break; it is even."""
    edge = SiLU.curvature.breaks[1]
    intervals.falls_once(world, intervals.silu_factor, intervals.silu_factor_slope, edge, 2 * edge)
    falling = sympy.diff(X * sympy.tanh(X / 2), X).rewrite(sympy.cosh).subs(X, POSITIVE)
    rate = sympy.tanh(POSITIVE / 2) + POSITIVE / (2 * sympy.cosh(POSITIVE / 2) ** 2)
    equal(world, falling, rate, "the slope of x tanh(x / 2)")
    world.check(rate.is_positive is True, "x tanh(x / 2) grows for all x > 0")


def tanh_gelu_turns(world: World) -> None:
    """The factor of f'' changes its sign once for x > 0, at the break; it is even."""
    edge = GELUTanh.curvature.breaks[1]
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


LEMMAS = (
    Lemma(
        "silu", "silu'' has the sign of 2 - x tanh(x / 2), which is positive between the breaks and negative outside",
        (SiLU.derivative, SiLU.__call__),
        (derivative_is_true(SiLU()), bends(SiLU(), 2 - X * sympy.tanh(X / 2), LOGISTIC), silu_turns, *EXTREMA["silu"]),
        (Twin("the sign of the factor", bends(SiLU(), X * sympy.tanh(X / 2) - 2, LOGISTIC), {}),),
        f"{FORMULAS}; interval arithmetic", GENERIC + " and tangents; a break within 1e-9 of the inflection",
        leaves="the inflection within 1e-9 of the break; float32",
    ),
    Lemma(
        "gelu", "gelu'' = phi(x) (2 - x^2): positive between -sqrt 2 and sqrt 2, negative outside",
        (GELU.derivative, GELU.__call__), (derivative_is_true(GELU()), bends(GELU(), 2 - X**2, BELL), *EXTREMA["gelu"]),
        (Twin("another inflection", bends(GELU(), 3 - X**2, BELL), {}),), FORMULAS, GENERIC + " and tangents",
        leaves="the inflection within rounding of the break; cancellation in the left tail, which `forward_error` "
               "charges; float32",
    ),
    Lemma(
        "gelu_tanh", "f'' is positive between the breaks and negative outside",
        (GELUTanh.derivative, GELUTanh.__call__),
        (derivative_is_true(GELUTanh()), tanh_gelu_turns, *EXTREMA["gelu_tanh"]),
        (Twin("another break", turned_at(1.4), {}),), f"{FORMULAS}; interval arithmetic",
        GENERIC + " and tangents; a break within 1e-9 of the inflection",
        leaves="the inflection within 1e-9 of the break; float32",
    ),
    Lemma(
        "hard_swish", "f' grows by 1/3 per unit between the kinks -3 and 3 and is constant outside; f'(p) = s at the "
        "third critical point",
        (HardSwish.critical, HardSwish.derivative, HardSwish.__call__),
        (hard_swish(HardSwish()), *EXTREMA["hard_swish"]),
        (Twin("another vertex", hard_swish(_AnotherVertex()), {"x": 0, "h": 0, "s": "2/3"}),), SYMBOLS,
        "real arithmetic; the lemma elementwise",
        leaves="float32",
    ),
)  # fmt: skip
