"""Every domain: what its elements stand for holds the image, whatever the operation, given the operation's lemma."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from absdomain.domain import Domain, argumentwise
from absdomain.domains import dual as dual_network
from absdomain.domains.box import Box
from absdomain.domains.deeppoly import DeepPoly
from absdomain.domains.dual import Dual
from absdomain.kinds import Affine, Curvature, Diagonal, Line, Linearised, Nonlinear, Slopes
from absdomain.linear import Bounds, Rows, bounds
from absdomain.ops import Abs, Add, Dense, Exp, Product, Scale
from absdomain.proofs.kernel.abstract import AnyDomain, AnyOp, apart, held, unknown_op, within
from absdomain.proofs.kernel.exact import prove, prove_zero, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas import windows
from absdomain.proofs.lemmas.slope_range import moved
from absdomain.proofs.lemmas.substitution import DEEP, FANNED, GRAPHS, dual_by_hand, projected
from absdomain.region import L2, BoxRegion, Interval
from absdomain.relations import backward
from absdomain.relations.backward import Constant, Relation
from absdomain.relations.search import Ascent
from absdomain.relations.slopes import Pair, adaptive, parallel


def point(world: World) -> Interval:
    """A region of one axis; its place does not matter."""
    return Interval(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))


# --- Box --------------------------------------------------------------------------------------------------------------


def box_relaxes(domain: Box) -> Check:
    """The image's box holds f(x)."""

    def check(world: World) -> None:
        op, x = unknown_op(world, 1)
        box = within(world, x)
        image = op.image((box,))
        for found in (domain.relax(op, (box,), None), domain.relax(op, (point(world),), (box,))):
            held(world, op.y, domain.bounds(found), "relax")
            same_box(world, domain.bounds(found), image, "the image over the boxes that are given, or its own")

    return check


def box_maps(domain: Box) -> Check:
    """The box of op(x) holds it, for one argument and for two."""

    def check(world: World) -> None:
        x, y = reals(world, "x", 1, 2), reals(world, "y", 1, 2)
        first, second = AnyDomain(world, "x").bounds(x), AnyDomain(world, "y").bounds(y)
        op, weight = Dense(reals(world, "w", 1, 2), reals(world, "b", 1)), torch.full((2,), 2.0, dtype=torch.float64)
        for value, mapped, hull in (
            (op(x), domain.affine(op, first), op.image(first)),
            (x + y, domain.affine(Add(), first, second), Add().image(first, second)),
            (
                2 * x,
                domain.affine(Scale(weight), Interval(first.lower, first.upper)),
                Scale(weight).image(first),
            ),
            (op(x), domain.affine(op, Interval(first.lower, first.upper)), op.image(first)),
        ):
            held(world, value, domain.bounds(mapped), "affine")
            same_box(world, domain.bounds(mapped), hull, "the hull")
        region = Interval(first.lower, first.upper)
        world.check(domain.lift(region) is region, "a region is its own element")

    return check


def same_box(world: World, found: Bounds, true: Bounds, what: str) -> None:
    """The two are one box."""
    prove_zero(world, found.lower - true.lower, f"{what}: lower end")
    prove_zero(world, found.upper - true.upper, f"{what}: upper end")


class _AtTheCentre(Box):
    def relax(self, op: Nonlinear, args: tuple[Bounds, ...], boxes: tuple[Bounds, ...] | None) -> Bounds:  # type: ignore[override]
        band = super().relax(op, args, boxes).box()
        return Bounds(band.centre, band.centre)


class _LowerEndTwice(Box):
    def affine(self, op: Affine, *args: Bounds) -> Bounds:  # type: ignore[override]
        found = super().affine(op, *args).box()
        return Bounds(found.lower, found.lower)


# --- domains that substitute backwards --------------------------------------------------------------------------------


def unknown(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """Two slopes of which nothing is known."""
    (box,) = boxes
    world = box.lower.world  # type: ignore[attr-defined]
    return (reals(world, "a", *box.lower.shape),), (reals(world, "s", *box.lower.shape),)


def unknown_parallel(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """One slope of which nothing is known, for both lines."""
    below, _ = unknown(op, boxes)
    return below, below


class _Settled(AnyOp):
    """An op that is affine over the box of its first entry, of the chord's slope."""

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        (chord,), settled = self.chord(boxes), torch.tensor([[True, False]])
        return (Bounds(torch.where(settled, chord, -torch.inf), torch.where(settled, chord, torch.inf)),)


@dataclass(frozen=True, eq=False)
class _Plain(Diagonal):
    """A diagonal map that splits and pulls rows as others do."""

    adjoint = Linearised.adjoint
    split = Linearised.split


class _Coupled(AnyOp):
    """An op of which is not used that it acts on every entry alone."""

    def linearised(self, slopes: Slopes) -> Linearised:
        return _Plain(slopes[0])


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


def as_asked(make: type[AnyOp]) -> Check:
    """The lines have the slopes that are asked, or the chord where the op is settled; parallel ones are one tensor."""

    def check(world: World) -> None:
        op, x = unknown_op(world, 2, make)
        box = (within(world, x),)
        (a,), (s,), (chord,) = *unknown(op, box), op.chord(box)
        settled = torch.tensor([[make is _Settled, False]])
        for below, above in ((a, s), (a, a)):
            low, high = op.lines((below,), (above,), box)
            for line, given in ((low, below), (high, above)):
                prove_zero(world, line.slopes[0] - torch.where(settled, chord, given), "the slope that was asked")
            world.check((low.slopes[0] is high.slopes[0]) is (below is above), "parallel lines share their slope")
            assert low.intercept is not None and high.intercept is not None
            prove_zero(world, low.intercept - op.inf(low.slopes, box), "the intercept below")
            prove_zero(world, high.intercept - op.sup(high.slopes, box), "the intercept above")

    return check


def given(below: Slopes, above: Slopes, op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """These slopes, whatever the op."""
    return below, above


class Free(Product):
    """The product, its slopes as they are asked."""

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        return None


def shares_where_parallel(world: World) -> None:
    """Both signs are served at once only where all slopes are shared; lines through the origin pay no constant."""
    boxes = (Bounds(-torch.ones(1, 1), torch.ones(1, 1)), Bounds(torch.ones(1, 1), 2 * torch.ones(1, 1)))
    first, second, other = (torch.full((1, 1), v) for v in (1.5, 0.25, 0.5))
    for pair, both in (((first, second), True), ((first, other), False), ((other, second), False)):
        rule = partial(given, (first, second), pair)
        source = backward.source(point(world))
        e = DeepPoly(slopes=rule).relax(Free(), (source, source), boxes)
        world.check((e.share is not None) is both, "shared rows")
        kept = e.relaxation
        assert kept is not None
        world.check(
            (kept.boxes, kept.below, kept.above) == (boxes, (first, second), pair), "a search starts from these"
        )
        assert e.pull is not None
        parts, _ = e.pull(Rows.of(torch.ones(1, 1, 1)))
        for part, slope in zip(parts, (first, second), strict=True):
            world.check(torch.equal(part.data[0], slope), "the slopes below, one for each argument")
    op, x = unknown_op(world, 2)
    c, (a,), (s,) = Rows.of(reals(world, "c", 1, 1, 2)), *unknown(op, (within(world, x),))
    (rows,), constant = op.split(c, Line((a,), None), Line((s,), None))
    prove_zero(world, constant, "no constant")
    prove_zero(world, rows.data[0] - (c.data[0].relu() * a - (-c.data[0]).relu() * s), "the rows")


def searched(world: World) -> None:
    """A search of one step asks with the slopes of the relaxations, for bounds and for boxes."""
    plain, domain = DeepPoly(), DeepPoly(search=Ascent(steps=1, intermediate=True))
    e = plain.propagate(DEEP, windows.box(DEEP.input.shape)).output
    windows.close(world, domain.bounds(e), plain.bounds(e), "bounds")
    windows.close(world, domain.boxes(Abs(), (e,))[0], plain.boxes(Abs(), (e,))[0], "boxes")


def over_endless_boxes(world: World) -> None:
    """Over a box without ends a bound is infinite or holds the values, however lines are chosen; it is never NaN."""
    region = Interval(torch.tensor([[-3.0, 0.5]], dtype=torch.float64), torch.tensor([[1.0, 2.0]], dtype=torch.float64))
    box = Bounds(*(torch.tensor([ends], dtype=torch.float64) for ends in ([-torch.inf, 0.5], [1.0, 2.0])))
    for policy in (adaptive, parallel):
        e = DeepPoly(slopes=policy).relax(Abs(), (backward.source(region),), (box,))
        world.check(
            (e.share is not None) is (policy is parallel), f"{policy}: rows are shared where lines are parallel"
        )
        found, single = backward.bounds(e), apart(backward.bounds, e)
        for ends in (found, single):
            world.check(bool((ends.lower <= torch.tensor([[0.0, 0.5]])).all()), f"{policy}: lower ends {ends.lower}")
            world.check(ends.upper.tolist() == [[torch.inf, 2.0]], f"{policy}: upper ends {ends.upper}")
            world.check(float(ends.lower[0, 1]) == 0.5, f"{policy}: an entry with ends keeps its own, {ends.lower}")


def endless(domain: Domain[Any]) -> Check:
    """The same of a domain that takes one slope: its bounds, those that are asked, and those after another op."""

    def check(world: World) -> None:
        inf = torch.inf
        region = Interval(
            torch.tensor([[-3.0, 0.5]], dtype=torch.float64), torch.tensor([[1.0, 2.0]], dtype=torch.float64)
        )
        box = Bounds(*(torch.tensor([ends], dtype=torch.float64) for ends in ([-inf, 0.5], [1.0, 2.0])))
        y = domain.relax(Abs(), (domain.lift(region),), (box,))
        ends = apart(domain.bounds, y)
        for found in (domain.bounds(y), ends, domain.bounds(y, torch.tensor([[True, True]]))):
            world.check(float(found.lower[0, 0]) <= 0 and found.upper.tolist() == [[inf, 2.0]], f"{domain}: {found}")
            world.check(float(found.lower[0, 1]) == 0.5, f"{domain}: an entry with ends keeps its own, {found.lower}")
        for op in (
            Dense(torch.tensor([[1.0, 1.0], [0.0, 2.0]], dtype=torch.float64)),
            Dense(torch.eye(2).double() * 2),
        ):
            z = domain.bounds(domain.affine(op, y))
            world.check(float(z.lower[0, 0]) <= 0.5 and float(z.upper[0, 0]) == inf, f"{domain}: after another op {z}")
            world.check(float(z.upper[0, 1]) >= 4 and float(z.lower[0, 1]) <= 1, f"{domain}: after another op {z}")

    return check


class Larger(Product):
    """max(x, y), which says of itself that it has affine pieces."""

    curvature = Curvature(bends=(0,))

    def __call__(self, *xs: Tensor) -> Tensor:
        return torch.maximum(*xs)

    def image(self, boxes: tuple[Bounds, ...]) -> Bounds:
        return Bounds(self(*(b.lower for b in boxes)), self(*(b.upper for b in boxes)))


def both_at_once(world: World) -> None:
    """The rows of the dual network serve both signs, over boxes without ends too."""
    for high in (1.0, torch.inf):
        e = Dual().relax(Abs(), (Dual().lift(point(world)),), (Bounds(-torch.ones(1, 1), torch.full((1, 1), high)),))
        world.check(e.dual.share is not None, f"over [-1, {high}] the signs are told apart")


def told_to_be_endless(world: World) -> None:
    """An image with an infinite end is told as one, so that what comes after it does not subtract infinities."""
    for op, ends in ((Abs(), (-torch.inf, 1.0)), (Exp(), (0.0, 1000.0)), (Abs(), (-2.0, 1.0)), (Exp(), (-2.0, 1.0))):
        box = Bounds(*(torch.tensor([[end]], dtype=torch.float64) for end in ends))
        given = box if bool(box.width.isfinite().all()) else bounds.Endless(box.lower, box.upper)
        for image in (
            Box().relax(op, (given,), None),
            Box().relax(op, (box,), (given,)),
            Box().relax(op, (given,), (box,)),
        ):
            assert isinstance(image, Bounds)
            finite = bool(image.lower.isfinite().all() and image.upper.isfinite().all())
            world.check(image.bounded is finite, f"{op} over {ends}: bounded is {image.bounded}")
            world.check(finite is (ends[0] == -2), f"{op} over {ends}: {image}")
    near, far = Bounds(-torch.ones(1, 1), torch.ones(1, 1)), bounds.Endless(torch.zeros(1, 1), torch.ones(1, 1) / 0)
    for pair in ((near, far), (far, near), (far, far), (near, near)):
        image = Box().relax(Larger(), pair, None)
        assert isinstance(image, Bounds)
        world.check(image.bounded is (far not in pair), f"max(x, y) over {pair}: bounded is {image.bounded}")


def round_regions(world: World) -> None:
    """A ball stays one under a diagonal op, and has its hull under another; the element of the region is itself."""
    ball = L2(torch.tensor([[1.0, -2.0]]), torch.tensor([0.5, 2.0]))
    stretched = Box().affine(Scale(torch.tensor([-2.0, 1.0]), torch.ones(2)), Box().lift(ball))
    world.check(isinstance(stretched, L2), "a ball's image")
    square = Box().lift(Interval(*ball.box().__dict__.values()))
    for op, kept in (
        (Scale(torch.tensor([-2.0, 1.0]), torch.ones(2)), True),
        (Dense(torch.tensor([[3.0, 1.0]])), False),
    ):
        world.check(isinstance(Box().affine(op, square), BoxRegion) is kept, f"{op}: a box stays a region, {kept}")
    ends, mapped = stretched.box(), Box().affine(Dense(torch.tensor([[3.0, 1.0]])), ball).box()
    world.check(ends.lower.tolist() == [[-2.0, -3.0]] and ends.upper.tolist() == [[0.0, 1.0]], f"its box {ends}")
    world.check([mapped.lower.item(), mapped.upper.item()] == [-1.5, 3.5], f"the hull of another op: {mapped}")


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
    def relax(self, op: Nonlinear, args: tuple[Relation, ...], boxes: tuple[Bounds, ...] | None) -> Relation:
        assert boxes is not None
        below, above = op.lines(*self.slopes(op, boxes), boxes)
        return backward.relaxed(args, op.shape(*(e.shape for e in args)), lambda rows: op.split(rows, above, below))


class _ConjugateForgotten(Dual):
    def relax(self, op: Nonlinear, args: tuple[Any, ...], boxes: tuple[Bounds, ...] | None) -> Any:
        layer = super().relax(op, args, boxes)
        pull = layer.dual.pull
        assert pull is not None
        free = backward.relaxed(layer.dual.args, layer.dual.shape, lambda rows: (pull(rows)[0], None))
        return type(layer)(free, None)


SLOPE = {"x00": 0, "x01": 0, "y00": 0, "y01": 0, "lx00": 0, "lx01": 0, "ux00": 0, "ux01": 0, "a00": 0, "a01": 0,
         "s00": 0, "s01": 0, "c000": 1, "c001": 0, "inf0_00": -1, "inf0_01": 0, "sup1_00": 1, "sup1_01": 0}  # fmt: skip
CHORD = {"x00": 0, "x01": 0, "y00": 0, "y01": 0, "lx00": 0, "lx01": 0, "ux00": 0, "ux01": 0, "chord00": 0,
         "chord01": 0, "c000": 1, "c001": 0, "inf0_00": 0, "inf0_01": 0, "sup1_00": 1, "sup1_01": 0}  # fmt: skip

LEMMAS = (
    Lemma(
        "box",
        "op(x) lies in the box of the image, for affine ops of one and two arguments and for every nonlinear op whose "
        "band encloses",
        (Box.lift, Box.affine, Box.relax, Box.bounds, Bounds.box, Bounds.image, BoxRegion.image),
        (box_maps(Box()), box_relaxes(Box()), round_regions, told_to_be_endless),
        (
            Twin("the image is the band's centre", box_relaxes(_AtTheCentre()),
                 {"lx": 0, "ux": 0, "inf0_": -1, "sup1_": 2, "x": 0, "y": 0}),
            Twin("the lower end twice", box_maps(_LowerEndTwice()),
                 {"x00": 1, "x01": 0, "y00": 0, "y01": 0, "lx00": 0, "lx01": 0, "ux00": 1, "ux01": 0, "ly00": 0,
                  "ly01": 0, "uy00": 0, "uy01": 0, "w00": 1, "w01": 0, "b": 0}),
        ),
        SYMBOLS,
        "real arithmetic; the lemmas of affine ops, of the nonlinear op and of the region",
        leaves="gradients; ops of three arguments and more",
    ),
    Lemma(
        "deeppoly",
        "<c, f(x)> >= <c', x> + d for every c, every op whose band encloses and every two slopes, and in both signs "
        "where two parallel lines share c'; for affine ops with equality",
        (DeepPoly.lift, DeepPoly.affine, DeepPoly.relax, DeepPoly.boxes, DeepPoly.bounds, DeepPoly.planes,
         backward.parallel, argumentwise, Nonlinear.lines, Nonlinear.split, Nonlinear.clamped,
         Linearised.split, Linearised.adjoint, Diagonal.split, Diagonal.transpose),
        (
            *GRAPHS, moved(Abs(), ((-2.0, 3.0),)), as_asked(AnyOp), as_asked(_Settled),
            shares_where_parallel, over_endless_boxes, searched,
            pulled(DeepPoly(slopes=unknown), own, itself, _Settled),
            pulled(DeepPoly(slopes=unknown_parallel), own, itself, _Settled),
            pulled(DeepPoly(slopes=unknown), own, itself),
            pulled(DeepPoly(slopes=unknown_parallel), own, itself),
            pulled(DeepPoly(slopes=unknown), own, itself, _Coupled),
            mapped(DeepPoly(), own, itself),
        ),
        (Twin("the lower and the upper line swapped", pulled(_LinesSwapped(slopes=unknown), own, itself), SLOPE),),
        SYMBOLS,
        "real arithmetic; the lemmas of back-substitution, of the ops and of the region",
        leaves="that slopes are good: any are sound; gradients; searched slopes (the lemma `ascent`)",
    ),
    Lemma(
        "dual",
        "<c, f(x)> >= <s c, x> + min <c, w> over the band w, for every c and every slope s, in both signs at once; for "
        "affine ops with equality: every step of J(nu) keeps a lower bound",
        (Dual.lift, Dual.affine, Dual.relax, Dual.boxes, Dual.bounds, Dual.planes, Dual.traits,
         dual_network._box, dual_network._relaxed, dual_network._sketches, Diagonal.adjoint),
        (pulled(Dual(), own, dual), mapped(Dual(), own, dual), *map(dual_by_hand, (DEEP, FANNED)), projected,
         endless(Dual()), both_at_once),
        (Twin("the conjugate term is forgotten", pulled(_ConjugateForgotten(), own, dual),
              CHORD | {"y00": -1, "inf0_00": -1}),),
        SYMBOLS,
        "real arithmetic; the lemmas of back-substitution, of the ops and of the region; no random projections",
        leaves="random projections: their boxes are statistical; gradients",
    ),
)  # fmt: skip
