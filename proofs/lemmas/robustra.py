"""Robustra's multiplier: its step function, the bound for every eta, the best eta, and the closed form of its rule.

The region minimises <c, x>, where the paper maximises <nu, x>: c = -nu, and gamma is the slope of -h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import torch
from torch import Tensor

from absdomain import reference
from absdomain.linear import Rows
from absdomain.linear.axes import spread
from absdomain.proofs.kernel.exact import assume, number, numbers, prove, prove_zero, real, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.duality import matrix
from absdomain.proofs.lemmas.halfspaces import HALFSPACES
from absdomain.reference import MatchedSpace, ReferenceSpace, State
from absdomain.region import Interval, Linf, halfspace
from absdomain.region.halfspace import inner

SIZE = 1  # axes: every statement is a sum over them, or is checked for two where it is not


def box(world: World, size: int) -> Interval:
    """Any box of positive width."""
    lower, upper = reals(world, "l", 1, size), reals(world, "u", 1, size)
    assume(world, upper - lower, strict=True)
    return Interval(lower, upper)


def value(ball: Interval, c: Tensor, q: Tensor, eta: Tensor, need: Tensor) -> Tensor:
    """h(eta) = eta need + min over the ball of <c - eta q, x>."""
    return eta * need + ball.minimum(Rows.of(c - spread(eta, q.dim() - 1) * q))


def every_multiplier(sign: int = 1) -> Check:
    """h(eta) <= <c, x> for every eta >= 0 and every x of the ball with <q, x> + k >= t."""

    def check(world: World) -> None:
        ball = box(world, 2)
        x, q, c = reals(world, "x", 1, 2), reals(world, "q", 1, 2), reals(world, "c", 1, 1, 2)
        eta, need = real(world, "eta"), reals(world, "need", 1)
        assume(world, x - ball.lower, ball.upper - x, sign * eta, inner(q, x) - need)
        prove(world, inner(c[0], x) - value(ball, c, q, eta, need), "h(eta)")

    return check


def shipped_minimum(world: World) -> None:
    """minimum(c) <= <c, x> for every x of the space, with the shipped eta; +inf only where the space is empty."""
    ball = box(world, SIZE)
    x, q, c = reals(world, "x", 1, SIZE), reals(world, "q", 1, SIZE), reals(world, "c", 1, 1, SIZE)
    space = ReferenceSpace(ball, q, reals(world, "k", 1), reals(world, "t", 1))
    assume(world, x - ball.lower, ball.upper - x, space.reference(x) - space.t)
    world.split(*numbers(q), *numbers(c))
    if bool(space.infeasible.any()):
        world.absurd("a space with a point is called infeasible")
    else:
        prove(world, inner(c[0], x) - space.minimum(Rows.of(c)), "minimum")


def step_function(sign: int = 1) -> Check:
    """Theorem 1: gamma grows with eta, is bounded by the ball's ends, and changes at c_i / q_i alone."""

    def check(world: World) -> None:
        ball = box(world, 1)
        q, c = reals(world, "q", 1, 1), reals(world, "c", 1, 1, 1)
        eta, later = real(world, "eta"), real(world, "later")
        assume(world, eta, later - eta)
        world.split(*numbers(q))
        low, high = (inner(q, ball.argmin(c - spread(e, q.dim() - 1) * q)) for e in (eta, later))
        prove(world, sign * (high - low), "nondecreasing")
        ends = torch.maximum(q * ball.lower, q * ball.upper), torch.minimum(q * ball.lower, q * ball.upper)
        for gamma in (low, high):
            prove(world, ends[0].sum(1) - gamma, "bounded above")
            prove(world, gamma - ends[1].sum(1), "bounded below")
        rest = [number(c - spread(e, q.dim() - 1) * q) for e in (eta, later)]
        if all(world.known(p, strict=True) for p in rest) or all(world.known(-p, strict=True) for p in rest):
            prove_zero(world, high - low, "constant between breakpoints")

    return check


def best(rule: Callable[..., Tensor] | None = None) -> Check:
    """Theorem 2: the shipped eta is as good as any other: a breakpoint, or 0 where the half-space is loose."""

    def check(world: World) -> None:
        ball = box(world, SIZE)
        q, c, need = reals(world, "q", 1, SIZE), reals(world, "c", 1, 1, SIZE), reals(world, "need", 1)
        other = real(world, "other")
        assume(world, other)
        most = -ball.minimum(Rows.of(-q.unsqueeze(0)))[0]
        assume(world, most - need)  # otherwise h has no maximum: the space is empty
        world.split(*numbers(q), *numbers(c))
        eta = (rule or halfspace.multipliers)(ball, c, q, need)
        prove(world, value(ball, c, q, eta, need) - value(ball, c, q, other, need), "no eta is better")

    return check


def closed_form(rule: Callable[[MatchedSpace, Rows], Tensor]) -> Check:
    """With t(c) of Robustra's rule, h(eta_med) = <c, x>, and no other eta is better."""

    def check(world: World) -> None:
        ball = box(world, 1)
        q, c, other = reals(world, "q", 1, 1), reals(world, "c", 1, 1, 1), real(world, "other")
        assume(world, other)
        assume(world, q, strict=True)
        space, rows = MatchedSpace(ball, q, reals(world, "k", 1)), Rows.of(c)
        eta = space.multipliers(rows)
        need = space.thresholds(rows)[0] - space.k
        found = rule(space, rows)
        prove_zero(world, found - value(ball, c, q, eta, need), "the closed form is h(eta_med)")
        prove(world, found - value(ball, c, q, other, need), "eta_med is optimal")

    return check


EXPECTED: Mapping[Fraction, tuple[str, State]] = {
    Fraction(-2): ("-3/2", State.LOOSE),
    Fraction(2): ("0", State.TIGHT),
    Fraction(6): ("inf", State.INFEASIBLE),
}


def example(world: World) -> None:
    """nu = (0, -3/2) against q = (1, 3), k = 0 over |x - (1, 0)| <= 1: eta_med = 1/2, t = 2, h = k_f + 0."""
    here = World(values={})
    ball = Linf(matrix(here, ((1, 0),)), matrix(here, ((1, 1),)))
    q, k, c = matrix(here, ((1, 3),)), matrix(here, (0,)), Rows.of(matrix(here, (((0, Fraction(3, 2)),),)))
    matched = MatchedSpace(ball, q, k)
    for name, found, wanted in (
        ("eta_med", matched.multipliers(c), Fraction(1, 2)),
        ("t", matched.thresholds(c), Fraction(2)),
        ("minimum", matched.minimum(c), Fraction(0)),
        ("plain minimum", ball.minimum(c), Fraction(-3, 2)),
    ):
        world.check(number(found).constant == wanted, f"{name} is {number(found)}, not {wanted}")
    for t, (least, state) in EXPECTED.items():
        space = ReferenceSpace(ball, q, k, matrix(here, (t,)))
        world.check(str(number(space.minimum(c))) == least, f"minimum at t = {t} is not {least}")
        world.check(int(space.states(c)) == state, f"state at t = {t} is not {state.name}")


def never(ball: Interval, c: Tensor, q: Tensor, need: Tensor) -> Tensor:
    """The twin: eta = 0 whatever the half-space says."""
    return 0 * halfspace.multipliers(ball, c, q, need)


def printed(space: MatchedSpace, rows: Rows) -> Tensor:
    """The twin: -c, the row with the sign that the paper prints, at the same point."""
    return -space.minimum(rows)


LEMMAS = (
    Lemma(
        "robustra",
        "h(eta) = eta (t - k) + min <c - eta q, x> bounds <c, x> on the reference space for every eta >= 0; gamma is a "
        "nondecreasing step function, bounded, with breakpoints c_i / q_i (theorem 1); the shipped eta is a best one "
        "(theorem 2); at eta_med with its own t the bound is <c, x> in closed form, and eta_med is optimal",
        (halfspace.multipliers, halfspace._of_box, halfspace._of_l2, halfspace.optimum, halfspace.inner,
         Interval.argmin, ReferenceSpace.of, ReferenceSpace._need, ReferenceSpace.infeasible,
         ReferenceSpace.multipliers,
         ReferenceSpace.minimum, ReferenceSpace.argmin, ReferenceSpace.states, MatchedSpace.of,
         MatchedSpace.multipliers,
         MatchedSpace.argmin, MatchedSpace.minimum, MatchedSpace.thresholds, MatchedSpace.at, MatchedSpace.states,
         reference._Part.reference, reference._Part.centre, reference._Part.whole, reference._plane_above),
        (every_multiplier(), closed_form(lambda space, rows: space.minimum(rows)), example, shipped_minimum,
         step_function(), best(), *HALFSPACES),
        (
            Twin("eta < 0", every_multiplier(-1),
                 {"l00": 0, "l01": 0, "u00": 1, "u01": 1, "x00": 1, "x01": 0, "q00": 1, "q01": 0, "c000": 0,
                  "c001": 0, "eta": -1, "need": -1}),
            Twin("gamma falls", step_function(-1), {"l": 0, "u": 1, "q": 1, "c": 1, "eta": 0, "later": 2}),
            Twin("eta = 0 is always best", best(never),
                 {"l": 0, "u": 1, "q": 1, "c": 1, "need": "1/2", "other": 1}),
            Twin("the row with the printed sign", closed_form(printed),
                 {"l": 0, "u": 1, "q": 1, "c": 1, "k": 0, "other": 0}),
        ),
        SYMBOLS,
        "real arithmetic (allowances for rounding are 0); one axis stands for all where sums over axes are compared; "
        "q > 0 for the closed form (x -> -x gives the rest)",
        leaves="that training with it helps; `sample`, `project` and `constraints`; balls of other norms than 1, 2 "
               "and infinity",
    ),
)  # fmt: skip
