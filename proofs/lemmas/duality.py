"""Weak duality for the dual network, which slopes are dual feasible, and an optimum that both sides certify."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from absdomain.domain import Domain
from absdomain.domains.box import Box
from absdomain.domains.deeppoly import DeepPoly
from absdomain.domains.dual import Dual
from absdomain.graph import Graph, Node
from absdomain.kinds import Elementwise, Line, Nonlinear, Piece, PiecewiseLinear, Slopes
from absdomain.linear import Bounds, Rows
from absdomain.ops import Abs, Clamp, Dense, ReLU
from absdomain.proofs.kernel.exact import Exact, assume, number, numbers, prove, prove_zero, real, reals
from absdomain.proofs.kernel.polynomial import Poly, Rational
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import OPTIMA, SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.domains import over_endless_boxes, shares_where_parallel
from absdomain.proofs.lemmas.substitution import DEEP, FANNED, as_by_hand, dual_by_hand, projected
from absdomain.proofs.lemmas.vertices import one as interval
from absdomain.proofs.lemmas.vertices import relu_cases, relu_pieces
from absdomain.region import Linf
from absdomain.relations import backward
from absdomain.relations.slopes import Rule, adaptive, one, parallel, zero


def unstable(world: World) -> tuple[Bounds, Tensor]:
    """Any box with l < 0 < u, and the slope u / (u - l) of its chord."""
    lower, upper = real(world, "l"), real(world, "u")
    assume(world, -lower, upper, strict=True)
    box = Bounds(lower, upper)
    chord = upper / (upper - lower)
    assume_unit(world, chord)
    return box, chord


def assume_unit(world: World, chord: Tensor) -> None:
    """0 <= u / (u - l) <= 1, derived once."""
    world.derive(number(chord), "the chord rises")
    world.derive(1 - number(chord), "by at most 1")


def feasible(least: int = 0) -> Check:
    """A slope alpha in [0, 1] is a point of the triangle program's dual, and back-substitution is its value.

    min c h + <rest> over h >= 0 (mu), h >= z (tau), h <= s (z - l) (lambda) has the Lagrangian
    (c - mu - tau + lambda) h + (tau - lambda s) z + lambda s l. The multipliers mu = (1 - alpha) c+, tau = alpha c+ and
    lambda = -c- are >= 0 and leave no h; the rest is what the shipped lines pull back.
    """

    def check(world: World) -> None:
        box, s = unstable(world)
        c, alpha = real(world, "c"), real(world, "alpha")
        assume(world, alpha - least, 1 - alpha)
        plus, minus = c.relu(), -(-c).relu()
        mu, tau, lam = (1 - alpha) * plus, alpha * plus, -minus
        prove(world, mu, "mu >= 0")
        prove(world, tau, "tau >= 0")
        prove(world, lam, "lambda >= 0")
        prove_zero(world, c - mu - tau + lam, "no h is left")
        below, above = ReLU().lines((alpha,), (s,), (box,))
        (rows,), constant = ReLU().split(Rows.of(c.unsqueeze(0)), below, above)
        prove_zero(world, rows.data[0] - (tau - lam * s), "the coefficient of z")
        prove_zero(world, constant - lam * s * box.lower, "the constant")

    return check


def triangle(op: PiecewiseLinear) -> Check:
    """The bands at ReLU's facets are h >= 0, h >= z and h <= s (z - l), and no more: the triangle."""

    def check(world: World) -> None:
        box, s = unstable(world)
        z, h = real(world, "z"), real(world, "h")
        assume(world, z - box.lower, box.upper - z, h, h - z, s * (z - box.lower) - h)
        for slopes in op.facets((box,)):
            band = op.band(slopes, (box,))
            prove(world, h - slopes[0] * z - band.lower, "a point of the triangle is above")
            prove(world, band.upper - h + slopes[0] * z, "and below")

    return check


def splits(world: World) -> None:
    """<c+, below> + <c-, above>, for lines with both intercepts, with one of them, and with none."""
    c, (a, b, s, t) = reals(world, "c", 1, 1, 1), (real(world, name) for name in ("a", "b", "s", "t"))
    plus, minus = c[0].relu(), -(-c[0]).relu()
    for low in (None, b):
        for high in (None, t):
            (rows,), constant = ReLU().split(Rows.of(c), Line((a,), low), Line((s,), high))
            prove_zero(world, rows.data[0] - plus * a - minus * s, "the rows")
            paid = (0 if low is None else plus * low) + (0 if high is None else minus * high)
            prove_zero(world, constant - paid, "the constant")


def one_below(world: World) -> None:
    """The policies' own slopes: 1 below, 0 below, the chord twice, and the nearer of 0 and 1."""
    for box, (chord, support) in {(-1.0, 3.0): (0.75, 1.0), (-3.0, 1.0): (0.25, 0.0), (-2.0, 2.0): (0.5, 0.0)}.items():
        within = (interval(box),)
        for rule, below in ((one, 1.0), (zero, 0.0), (parallel, chord), (adaptive, support)):
            (low,), (high,) = rule(ReLU(), within)
            near = abs(float(low) - below) < 1e-7 and abs(float(high) - chord) < 1e-7
            world.check(near and (low is high) == (rule is parallel), f"{rule} over {box}: {float(low)}, {float(high)}")


def sides(world: World) -> None:
    """The facets' slopes are those of all chords between two corners: of |x|, of a clamp, and of ReLU over [-1, 3]."""
    for op, box, wanted in (
        (ReLU(), (-1.0, 3.0), (0.0, 0.75, 1.0)), (Abs(), (-1.0, 3.0), (-1.0, 0.5, 1.0)),
        (Abs(), (-3.0, -1.0), (-1.0, -1.0, -1.0)),
        (Clamp(0.0, 2.0), (-2.0, 3.0), (0.0, 0.5, 0.4, 1.0, 2 / 3, 0.0)), (Abs(), (1.0, 3.0), (1.0, 1.0, 1.0)),
        (Abs(), (-0.25, 0.5), (-1.0, 1 / 3, 1.0)),
    ):  # fmt: skip
        found = [float(slopes[0]) for slopes in op.facets((interval(box),))]
        near = len(found) == len(wanted) and all(abs(a - b) < 1e-7 for a, b in zip(found, wanted, strict=True))
        world.check(near, f"{op} over {box}: slopes {found}, not {wanted}")
        (chord,) = op.chord((interval(box),))
        values = op(torch.tensor(box)).tolist()
        rise = (values[1] - values[0]) / (box[1] - box[0]) if box[1] > box[0] else float(chord)
        world.check(abs(float(chord) - rise) < 1e-7, f"{op} over {box}: the chord is {float(chord)}")


def on_a_piece(op: PiecewiseLinear) -> Check:
    """On the line of a piece in whose domain x lies, y is f(x): the exact program has no other points."""

    def check(world: World) -> None:
        x, lower, upper = real(world, "x"), real(world, "l"), real(world, "u")
        assume(world, x - lower, upper - x)
        box = Bounds(lower, upper)
        world.split(*numbers(lower), *numbers(upper), *numbers(x))
        for piece in op.pieces((box,)) or ():
            (domain,) = piece.domain
            if bool((x >= domain.lower).all()) and bool((x <= domain.upper).all()):
                assert piece.line.intercept is not None
                prove_zero(world, op(x) - piece.line.slopes[0] * x - piece.line.intercept, "on the piece's line")

    return check


class _Exchanged(ReLU):
    def pieces(self, boxes: tuple[Bounds, ...]) -> tuple[Piece, ...] | None:
        first, second = super().pieces(boxes) or ()
        return Piece(first.line, second.domain), Piece(second.line, first.domain)


class _Narrow(ReLU):
    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return super().sup(slopes, boxes) / 2


# --- one network, all bounds ------------------------------------------------------------------------------------------

WEIGHTS = ((1, 1), (1, -1))
OFFSET = (Fraction(12, 5), Fraction(0))
BOUNDS: Mapping[str, tuple[Domain[Any], Rational]] = {
    "IBP": (Box(), Fraction(-3, 5)),
    "zero": (DeepPoly(slopes=zero), Fraction(-3, 5)),
    "one": (DeepPoly(slopes=one), Fraction(-1, 10)),
    "adaptive": (DeepPoly(slopes=adaptive), Fraction(-1, 10)),
    "parallel": (DeepPoly(slopes=parallel), Fraction(3, 20)),
    "dual": (Dual(), Fraction(3, 20)),
}


def matrix(world: World, rows: Any) -> Exact:
    """Rational constants as a tensor."""
    made = np.empty(np.shape(rows), dtype=object)
    for place in np.ndindex(*made.shape):
        value = rows
        for index in place:
            value = value[index]
        made[place] = Poly.of(value)
    return Exact(world, made)


def margin(world: World) -> Graph:
    """x -> z_0 - z_1 for z = relu(W x) + (12/5, 0), the margin fused."""
    first, last = Dense(matrix(world, WEIGHTS)), Dense(matrix(world, ((1, -1),)), matrix(world, (OFFSET[0],)))
    nodes = [Node("input", None, (), (2,)), Node("z", first, (0,), (2,)), Node("h", ReLU(), (1,), (2,))]
    return Graph.of([*nodes, Node("margin", last, (2,), (1,))])


def ball(world: World) -> Linf:
    """|x - (1, 0)| <= 1."""
    return Linf(matrix(world, ((1, 0),)), matrix(world, ((1, 1),)))


def worked(world: World) -> None:
    """The bounds of six domains on one network, to the last digit."""
    here = World(values={})  # nothing is free: plain rational arithmetic
    for name, (domain, value) in BOUNDS.items():
        found = number(domain.propagate(margin(here), ball(here)).lower)
        world.check(found.constant == value, f"{name} is {found}, not {value}")


def optimal(world: World) -> None:
    """The dual's bound 3/20 is the optimum of the triangle program: a rational primal point attains it."""
    point, claimed = _solution(), world
    world = World(values={})
    x, h = matrix(world, (point[:2],)), matrix(world, (point[2:],))
    box = Box().propagate(margin(world), ball(world), keep=True).at("z")
    z, region = Dense(matrix(world, WEIGHTS))(x), ball(world).box()
    prove(world, torch.cat([x - region.lower, region.upper - x]), "x in the ball")
    for slopes in ReLU().facets((box,)):
        band = ReLU().band(slopes, (box,))
        prove(world, h - slopes[0] * z - band.lower, "above the facet")
        prove(world, band.upper - h + slopes[0] * z, "below the facet")
    value = h[:, :1] - h[:, 1:] + matrix(world, ((OFFSET[0],),))
    prove_zero(world, value - Dual().propagate(margin(world), ball(world)).lower, "primal value = dual bound")
    claimed.claims += world.claims


def _solution() -> list[Fraction]:
    """A solution (x, h) of the triangle program, by cvxpy, as the rationals of small denominators that it rounds.

    Its rows are the shipped facets' bands over the shipped interval bounds.
    """
    import cvxpy

    world = World(values={})
    box = Box().propagate(margin(world), ball(world), keep=True).at("z")
    x, h = cvxpy.Variable(2), cvxpy.Variable(2)
    z = np.array(WEIGHTS, dtype=float) @ x
    rows = [x >= np.array([0.0, -1.0]), x <= np.array([2.0, 1.0])]
    for (slopes,) in ReLU().facets((box,)):
        band = ReLU().band((slopes,), (box,))
        s, low, high = (
            np.array([float(p.constant or 0) for p in numbers(t)]) for t in (slopes, band.lower, band.upper)
        )
        rows += [h - cvxpy.multiply(s, z) >= low, h - cvxpy.multiply(s, z) <= high]
    cvxpy.Problem(cvxpy.Minimize(h[0] - h[1] + float(OFFSET[0])), rows).solve(solver=cvxpy.HIGHS)
    return [Fraction(float(v)).limit_denominator(1000) for v in np.concatenate([x.value, h.value])]


def dual_is_loose(world: World) -> None:
    """The twin: IBP's bound is the optimum."""
    gap = Dual().propagate(margin(world), ball(world)).lower - Box().propagate(margin(world), ball(world)).lower
    prove_zero(world, gap, "IBP = dual")


def rule_step(rule: Rule) -> Check:
    """J(nu) <= <c, z>: the dual of the whole worked network is a lower bound at every point of the ball."""

    def check(world: World) -> None:
        graph, region = margin(world), ball(world)
        x = matrix(world, ((1, 0),)) + _offset(world)
        prove(world, graph(x) - DeepPoly(slopes=rule).propagate(graph, region).lower, "weak duality")

    return check


def _offset(world: World) -> Tensor:
    d = [world.real("d0"), world.real("d1")]
    for p in d:
        world.assume(1 - p)
        world.assume(1 + p)
    entries = np.empty((1, 2), dtype=object)
    entries[0] = d
    return Exact(world, entries)


LEMMAS = (
    Lemma(
        "alpha_is_dual_feasible",
        "for an unstable ReLU and every alpha in [0, 1], back-substitution with lower slope alpha is the value of a "
        "feasible point of the triangle program's dual: mu, tau, lambda >= 0 with no h left; hence weak duality, a "
        "lower bound for every alpha, Wong and Kolter's being alpha = s",
        (ReLU.lines, ReLU.split, backward.minimum),
        (feasible(), rule_step(parallel), rule_step(adaptive), relu_cases, splits, as_by_hand(DEEP, adaptive)),
        (Twin("alpha < 0", feasible(-1), {"l": -1, "u": 1, "c": 1, "alpha": "-1/2"}),),
        SYMBOLS,
        "real arithmetic; J(nu) as a whole: the lemmas dual and back-substitution",
        leaves="other ops than ReLU; that the supremum is attained",
    ),
    Lemma(
        "lp",
        "over an unstable box, every point of the triangle h >= 0, h >= z, h <= s (z - l) lies within ReLU's bands at "
        "its facets, and the values of f do by the op's own lemma: the program is the triangle relaxation",
        (PiecewiseLinear.facets, PiecewiseLinear.chord, PiecewiseLinear._corners, Elementwise.chord, Nonlinear.band),
        (triangle(ReLU()), sides),
        (Twin("a facet whose band is too narrow", triangle(_Narrow()), {"l": -1, "u": 1, "z": 0, "h": "1/2"}),),
        SYMBOLS,
        "real arithmetic; that the solver's program has these rows is tested against a program written by hand",
        leaves="that the solver's program has these rows, and the solver: bounds are what its multipliers prove",
    ),
    Lemma(
        "exact",
        "y is on the line of a piece whose domain holds x only if y = f(x) (relu, abs); x is in the domain of some "
        "piece by relu's lemma",
        (PiecewiseLinear.pieces, PiecewiseLinear._corners),
        (on_a_piece(ReLU()), on_a_piece(Abs()), relu_pieces),
        (Twin("the pieces in the wrong places", on_a_piece(_Exchanged()), {"x": 1, "l": -1, "u": 1}),),
        SYMBOLS,
        "real arithmetic; the solver's proven bound is taken at its word, less its tolerance",
        leaves="the solver's branching; ops that are not piecewise linear",
    ),
    Lemma(
        "worked_bounds",
        "on z = relu(W x) + (12/5, 0) over |x - (1, 0)| <= 1 the margin is bounded by -3/5 (IBP, zero), -1/10 (one, "
        "adaptive) and 3/20 (parallel, dual) exactly, and 3/20 is the optimum of the triangle program: cvxpy's primal "
        "point, made rational, is feasible and attains the dual bound",
        (DeepPoly.relax, Dual.relax, ReLU.lines, adaptive, one, parallel, zero,
         ReLU.tight_slopes),
        (worked, optimal, relu_cases, as_by_hand(FANNED, zero), as_by_hand(DEEP, parallel), dual_by_hand(DEEP),
         projected, one_below, shares_where_parallel, over_endless_boxes),
        (Twin("IBP's bound is the optimum", dual_is_loose, {}),),
        OPTIMA,
        leaves="other networks",
    ),
)  # fmt: skip
