"""Every domain: what its elements stand for holds the image, whatever the operation, given the operation's lemma."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from absdomain import backward
from absdomain.backward import Constant, Relation
from absdomain.bounds import Bounds
from absdomain.domain import Domain
from absdomain.domains.box import Box
from absdomain.domains.deeppoly import DeepPoly
from absdomain.domains.dual import Dual
from absdomain.kinds import Affine, Elementwise, Line, Nonlinear
from absdomain.ops import Add, Dense
from absdomain.proofs.abstract import AnyDomain, AnyOp, held, unknown_op, within
from absdomain.proofs.exact import assume, prove, prove_zero, real, reals
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.world import World
from absdomain.region import Interval
from absdomain.rows import Rows
from absdomain.slopes import Fixed, Pair


def point(world: World) -> Interval:
    """A region of one axis; its place does not matter."""
    return Interval(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))


# --- Box --------------------------------------------------------------------------------------------------------------


def box_relaxes(domain: Box) -> Check:
    """The image's box holds f(x)."""

    def check(world: World) -> None:
        op, x = unknown_op(world, 1)
        held(world, op.y, domain.bounds(domain.relax(op, (within(world, x),), None)), "relax")

    return check


def box_maps(domain: Box) -> Check:
    """The box of op(x) holds it, for one argument and for two."""

    def check(world: World) -> None:
        x, y = reals(world, "x", 1, 2), reals(world, "y", 1, 2)
        first, second = AnyDomain(world, "x").bounds(x), AnyDomain(world, "y").bounds(y)
        op = Dense(reals(world, "w", 1, 2), reals(world, "b", 1))
        held(world, op(x), domain.bounds(domain.affine(op, first)), "affine, one argument")
        held(world, x + y, domain.bounds(domain.affine(Add(), first, second)), "affine, two arguments")

    return check


class _AtTheCentre(Box):
    def relax(self, op: Nonlinear, args: tuple[Bounds, ...], within: tuple[Bounds, ...] | None) -> Bounds:  # type: ignore[override]
        band = super().relax(op, args, within).box()
        return Bounds(band.centre, band.centre)


class _LowerEndTwice(Box):
    def affine(self, op: Affine, *args: Bounds) -> Bounds:  # type: ignore[override]
        found = super().affine(op, *args).box()
        return Bounds(found.lower, found.lower)


# --- domains that substitute backwards --------------------------------------------------------------------------------


@Fixed
def unknown(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """Two slopes of which nothing is known."""
    (box,) = boxes
    world = box.lower.world  # type: ignore[attr-defined]
    return (reals(world, "a", *box.lower.shape),), (reals(world, "s", *box.lower.shape),)


@Fixed
def unknown_parallel(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """One slope of which nothing is known, for both lines."""
    below, _ = unknown(op, boxes)
    return below, below


class _Coupled(AnyOp):
    """An op that splits rows as those do that are not elementwise."""

    def split(self, rows: Rows, below: Line, above: Line) -> tuple[tuple[Rows, ...], Tensor]:
        return Nonlinear.split(self, rows, below, above)


def pulled(
    domain: Domain,
    element: Callable[[Domain, World], object],
    relation: Callable[[object], Relation],
    make: type[AnyOp] = AnyOp,
) -> Check:
    """<c, f(x)> >= <c', x> + d for every c, and so for both signs where the rows are shared."""

    def check(world: World) -> None:
        op, x = unknown_op(world, 2, make)
        box = within(world, x)
        e = relation(domain.relax(op, (element(domain, world),), (box,)))
        c = Rows.of(reals(world, "c", 1, 1, 2))
        assert e.pull is not None
        above_the_plane(world, c.data[0], op.y, x, e.pull(c), "pull")
        if e.share is not None:
            parts, low, high = e.share(c)
            above_the_plane(world, c.data[0], op.y, x, (parts, low), "share, c")
            minus = tuple(part.negated() for part in parts)
            above_the_plane(world, -c.data[0], op.y, x, (minus, high), "share, -c")

    return check


def above_the_plane(
    world: World, c: Tensor, y: Tensor, x: Tensor, plane: tuple[tuple[Rows, ...], Constant], what: str
) -> None:
    """<c, y> >= <c', x> + d."""
    (rows,), constant = plane
    gap = (c * y).sum() - (rows.data[0] * x).sum()
    prove(world, gap if constant is None else gap - constant.sum(), what)


def mapped(domain: Domain, element: Callable[[Domain, World], object], relation: Callable[[object], Relation]) -> Check:
    """<c, op(x)> = <c', x> + d for an affine op."""

    def check(world: World) -> None:
        op, x = Dense(reals(world, "w", 2, 1), reals(world, "b", 2)), reals(world, "x", 1, 1)
        e = relation(domain.affine(op, element(domain, world)))
        c = Rows.of(reals(world, "c", 1, 1, 2))
        assert e.pull is not None
        (rows,), constant = e.pull(c)
        assert constant is not None
        prove_zero(world, (c.data[0] * op(x)).sum() - (rows.data[0] * x).sum() - constant.sum(), "affine")

    return check


def own(domain: Domain, world: World) -> object:
    """The element of a region's point."""
    return domain.lift(point(world))


def itself(e: object) -> Relation:
    """A DeepPoly element is the relation."""
    assert isinstance(e, Relation)
    return e


def dual(e: object) -> Relation:
    """A layer's dual."""
    found: Relation = e.dual  # type: ignore[attr-defined]
    return found


class _LinesSwapped(DeepPoly):
    def relax(self, op: Nonlinear, args: tuple[Relation, ...], within: tuple[Bounds, ...] | None) -> Relation:
        assert within is not None
        below, above = op.lines(*self.slopes(op, within), within)
        return backward.relaxed(args, op.shape(*(e.shape for e in args)), lambda rows: op.split(rows, above, below))


class _ConjugateForgotten(Dual):
    def relax(self, op: Nonlinear, args: tuple[Any, ...], within: tuple[Bounds, ...] | None) -> Any:
        layer = super().relax(op, args, within)
        pull = layer.dual.pull
        assert pull is not None
        free = backward.relaxed(layer.dual.args, layer.dual.shape, lambda rows: (pull(rows)[0], None))
        return type(layer)(free, None)


@dataclass(frozen=True, eq=False)
class Diamond:
    """Values v0 (the input), v1 and v2 that read it, v3 that reads v1 and v2 and v0 again, bounded by any relations."""

    world: World
    region: Interval
    values: tuple[Tensor, ...]

    @staticmethod
    def any(world: World) -> Diamond:
        """All values unknown; the input in any interval."""
        values = tuple(real(world, f"v{i}") for i in range(4))
        return Diamond(world, Interval(*(AnyDomain(world, "0").bounds(values[0]).__dict__.values())), values)

    def relation(self, place: int, args: tuple[int, ...], made: dict[int, Relation]) -> Relation:
        """<c, v> >= sum <c_i, arg_i> + d for rows c_i and d of which only that is known."""
        asked: list[int] = []

        def pull(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
            asked.append(place)
            name = f"{place}_{len(asked)}_"
            parts = tuple(Rows.of(reals(self.world, f"c{name}{a}_", len(rows.data), 1, 1)) for a in args)
            constant = reals(self.world, f"d{name}", len(rows.data), 1)
            gap = (rows.data[:, 0] * self.values[place]) - constant
            for a, part in zip(args, parts, strict=True):
                gap = gap - part.data[:, 0] * self.values[a]
            assume(self.world, gap)
            return parts, constant

        return backward.relaxed(tuple(made[a] for a in args), (1,), pull)


def substituted(minimum: Callable[[Relation, Rows], Tensor] | None = None) -> Check:
    """Back-substitution through any relations gives a lower bound, at fan-outs and over arguments of unequal depth."""

    def check(world: World) -> None:
        diamond = Diamond.any(world)
        made = {0: backward.source(diamond.region)}
        for place, args in ((1, (0,)), (2, (1, 0)), (3, (2, 1, 0))):
            made[place] = diamond.relation(place, args, made)
        c = Rows.of(real(world, "c").unsqueeze(0))
        prove(world, c.data[0] * diamond.values[3] - (minimum or backward.minimum)(made[3], c), "minimum")
        if minimum is None:
            held(world, diamond.values[3], backward.bounds(made[3]), "bounds")

    return check


def constants_forgotten(e: Relation, rows: Rows) -> Tensor:
    """The twin of back-substitution: the region's part alone, without the constants."""
    to_input, _ = backward.to_input(e, rows)
    return e.region.minimum(to_input)


SLOPE = {"x00": 0, "x01": 0, "y00": 0, "y01": 0, "lx00": 0, "lx01": 0, "ux00": 0, "ux01": 0, "a00": 0, "a01": 0,
         "s00": 0, "s01": 0, "c000": 1, "c001": 0, "inf0_00": -1, "inf0_01": 0, "sup1_00": 1, "sup1_01": 0}  # fmt: skip
CHORD = {"x00": 0, "x01": 0, "y00": 0, "y01": 0, "lx00": 0, "lx01": 0, "ux00": 0, "ux01": 0, "chord00": 0,
         "chord01": 0, "c000": 1, "c001": 0, "inf0_00": 0, "inf0_01": 0, "sup1_00": 1, "sup1_01": 0}  # fmt: skip

LEMMAS = (
    Lemma(
        "box",
        "op(x) lies in the box of the image, for affine ops of one and two arguments and for every nonlinear op whose "
        "band encloses",
        (Box.affine, Box.relax, Box.bounds),
        (box_maps(Box()), box_relaxes(Box())),
        (
            Twin("the image is the band's centre", box_relaxes(_AtTheCentre()),
                 {"lx": 0, "ux": 0, "inf0_": -1, "sup1_": 2, "x": 0, "y": 0}),
            Twin("the lower end twice", box_maps(_LowerEndTwice()),
                 {"x00": 1, "x01": 0, "y00": 0, "y01": 0, "lx00": 0, "lx01": 0, "ux00": 1, "ux01": 0, "ly00": 0,
                  "ly01": 0, "uy00": 0, "uy01": 0, "w00": 1, "w01": 0, "b": 0}),
        ),
        SYMBOLS,
        "real arithmetic; the lemmas of affine ops, of the nonlinear op and of the region",
    ),
    Lemma(
        "back-substitution",
        "if <c, v> >= sum_i <c_i, arg_i> + d at every node, then minimum(c) over the region, with all constants added, "
        "is at most <c, v>: at fan-outs too",
        (backward.minimum, backward.bounds, backward.to_input),
        (substituted(),),
        (Twin("the constants are forgotten", substituted(constants_forgotten),
              {"v0": 0, "v1": 0, "v2": 0, "v3": -1, "l0": 0, "u0": 0, "c": 1, "c3_1_2_": 0, "c3_1_1_": 0, "c3_1_0_": 0,
               "d3_1_": -1, "c2_1_1_": 0, "c2_1_0_": 0, "d2_1_": 0, "c1_1_0_": 0, "d1_1_": 0}),),
        SYMBOLS,
        "real arithmetic; a graph of four nodes with fan-outs, each step being the same for every node",
    ),
    Lemma(
        "deeppoly",
        "<c, f(x)> >= <c', x> + d for every c, every op whose band encloses and every two slopes, and in both signs "
        "where two parallel lines share c'; for affine ops with equality",
        (DeepPoly.affine, DeepPoly.relax, Nonlinear.lines, Nonlinear.split, Elementwise.split),
        (
            pulled(DeepPoly(slopes=unknown), own, itself),
            pulled(DeepPoly(slopes=unknown_parallel), own, itself),
            pulled(DeepPoly(slopes=unknown), own, itself, _Coupled),
            mapped(DeepPoly(), own, itself),
        ),
        (Twin("the lower and the upper line swapped", pulled(_LinesSwapped(slopes=unknown), own, itself), SLOPE),),
        SYMBOLS,
        "real arithmetic; the lemmas of back-substitution, of the ops and of the region",
    ),
    Lemma(
        "dual",
        "<c, f(x)> >= <s c, x> + min <c, w> over the band w, for every c and every slope s, in both signs at once; for "
        "affine ops with equality: every step of J(nu) keeps a lower bound",
        (Dual.affine, Dual.relax, Nonlinear.adjoint, Rows.minimum),
        (pulled(Dual(), own, dual), mapped(Dual(), own, dual)),
        (Twin("the conjugate term is forgotten", pulled(_ConjugateForgotten(), own, dual),
              CHORD | {"y00": -1, "inf0_00": -1}),),
        SYMBOLS,
        "real arithmetic; the lemmas of back-substitution, of the ops and of the region; no random projections",
    ),
)  # fmt: skip
