"""How relaxations compare: zero slopes against intervals, parallel slopes against the dual."""

from __future__ import annotations

import torch

from absdomain.domains.deeppoly import DeepPoly
from absdomain.domains.dual import Dual
from absdomain.linear import Bounds, Rows
from absdomain.ops import Dense, ReLU
from absdomain.proofs.kernel.exact import assume, number, numbers, prove, prove_zero, real, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.domains import over_endless_boxes, shares_where_parallel
from absdomain.proofs.lemmas.substitution import DEEP, FANNED, as_by_hand, dual_by_hand, projected
from absdomain.proofs.lemmas.vertices import RELU
from absdomain.region import Interval
from absdomain.relations import backward
from absdomain.relations.slopes import Rule, adaptive, parallel, zero


def least(rows: Rows, constant: backward.Constant, box: Bounds) -> torch.Tensor:
    """min of <c, x> + d over the box."""
    found = rows.minimum(box)
    return found if constant is None else found + constant


def unit_chord(world: World, op: ReLU, box: Bounds) -> None:
    """The chord's slope lies in [0, 1]: derived once, for the steps that clamp it."""
    (slope,) = op.chord((box,))
    world.derive(number(slope), "the chord rises")
    world.derive(1 - number(slope), "by at most 1")


def through_relu(rule: Rule) -> Check:
    """What back-substitution through ReLU leaves over [l, u] is at least the minimum over [relu l, relu u]."""

    def check(world: World) -> None:
        lower, upper = real(world, "l"), real(world, "u")
        assume(world, upper - lower)
        op, box = ReLU(), Bounds(lower, upper)
        world.split(*numbers(lower), *numbers(upper))
        unit_chord(world, op, box)
        source = backward.source(Interval(lower, upper))
        e = DeepPoly(slopes=rule).relax(op, (source,), (box,))
        c = Rows.of(real(world, "c").unsqueeze(0))
        assert e.pull is not None
        (rows,), constant = e.pull(c)
        prove(world, least(rows, constant, box) - c.minimum(op.image((box,))), "through ReLU")

    return check


def through_affine(sign: int = 1) -> Check:
    """The minimum over a box, pulled back through an affine op, is at least that over the op's interval hull."""

    def check(world: World) -> None:
        lower, upper = real(world, "l"), real(world, "u")
        assume(world, upper - lower)
        op, box = Dense(reals(world, "w", 2, 1), reals(world, "b", 2)), Bounds(lower, upper)
        c = Rows.of(reals(world, "c", 1, 1, 2))
        world.split(*numbers(c.data), *numbers(op.weight))
        (rows,), constant = op.pull(c, (1,))
        prove(world, sign * (least(rows, constant, box) - c.minimum(op.image(box))), "through an affine op")

    return check


def same_step(rule: Rule) -> Check:
    """DeepPoly's and the dual's step through ReLU are the same rows and constants."""

    def check(world: World) -> None:
        lower, upper = real(world, "l"), real(world, "u")
        assume(world, upper - lower, strict=True)  # over [0, 0] the two take different slopes, to the same effect
        op, box = ReLU(), Bounds(lower, upper)
        world.split(*numbers(lower), *numbers(upper))
        unit_chord(world, op, box)
        region = Interval(lower, upper)
        primal = DeepPoly(slopes=rule).relax(op, (backward.source(region),), (box,))
        dual = Dual().relax(op, (Dual().lift(region),), (box,)).dual
        c = Rows.of(real(world, "c").unsqueeze(0))
        world.split(*numbers(c.data))
        assert primal.pull is not None and dual.pull is not None
        (ours,), constant = primal.pull(c)
        (theirs,), conjugate = dual.pull(c)
        assert constant is not None and conjugate is not None
        prove_zero(world, ours.data - theirs.data, "rows")
        prove_zero(world, constant - conjugate, "constants")

    return check


LEMMAS = (
    Lemma(
        "zero_slope",
        "CROWN with lower slope 0 is never looser than interval bounds: over [l, u] a ReLU leaves at least the minimum "
        "over its image, and an affine op pulled back at least the minimum over its hull; so by induction from the "
        "output down, with intermediate bounds no looser than intervals",
        (DeepPoly.relax, zero, ReLU.lines, ReLU.chord, ReLU.__call__),
        (through_relu(zero), through_affine(), *RELU, as_by_hand(DEEP, zero), shares_where_parallel,
         over_endless_boxes),
        (
            Twin("adaptive slopes (intervals give 0, CROWN -1, for relu over [-1, 3])", through_relu(adaptive),
                 {"l": -1, "u": 3, "c": 1}),
            Twin("parallel slopes (Fast-Lin, as SingleProp's text claims)", through_relu(parallel),
                 {"l": -1, "u": 3, "c": 1}),
            Twin("never tighter", through_affine(-1),
                 {"l": 0, "u": 1, "w00": 1, "w10": 1, "b0": 0, "b1": 0, "c000": 1, "c001": -1}),
        ),
        SYMBOLS,
        "real arithmetic; neurons and inputs one by one, as their minima add up; the lemmas affine and "
        "back-substitution",
        leaves="other ops than ReLU; gradients",
    ),
    Lemma(
        "parallel_is_dual",
        "back-substitution through ReLU with parallel slopes is the dual network's step: Fast-Lin's bound is "
        "Wong and Kolter's",
        (DeepPoly.relax, Dual.relax, parallel),
        (same_step(parallel), as_by_hand(FANNED, parallel), dual_by_hand(FANNED), projected, shares_where_parallel,
        over_endless_boxes),
        (Twin("adaptive slopes", same_step(adaptive), {"l": -1, "u": 3, "c": 1}),),
        SYMBOLS,
        "real arithmetic; l < u",
        leaves="other ops than ReLU",
    ),
)  # fmt: skip
