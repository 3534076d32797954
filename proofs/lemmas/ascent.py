"""alpha-CROWN: each row between lines of its own is a bound whatever the slopes, and the best that was met is kept."""

from __future__ import annotations

from math import log

import torch

from absdomain.domains.deeppoly import DeepPoly
from absdomain.graph import Graph
from absdomain.kinds import Line, Nonlinear, Slopes, Ties
from absdomain.linear import Bounds, Rows
from absdomain.ops import Dense, LeakyReLU, MatMul, Product, ReLU, Sigmoid, Softplus
from absdomain.proofs.kernel.abstract import AnyOp, apart, unknown_op, within
from absdomain.proofs.kernel.exact import prove, prove_zero, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.domains import point, unknown
from absdomain.proofs.lemmas.substitution import DEEP, FANNED
from absdomain.proofs.lemmas.windows import HOW, box, chain, close, equal, numbers
from absdomain.relations import ascent, backward, search, tied
from absdomain.relations.adam import Adam
from absdomain.relations.ascent import Pace
from absdomain.relations.backward import Relation, Relaxation
from absdomain.relations.search import Ascent, Search, Table
from absdomain.relations.slopes import adaptive, parallel, zero

_NEAR = 1e-9
SMOOTH = chain((3,), Dense(numbers(3, 3), numbers(3)), Sigmoid(), Dense(numbers(3, 3, start=5)), LeakyReLU(0.25),
               (Product(), (4, 2)), Dense(numbers(2, 3)))  # fmt: skip
UPSIDE = chain((3,), Dense(numbers(3, 3), numbers(3)), LeakyReLU(2.0), Dense(numbers(2, 3, start=5)))


def rows_of_their_own(world: World) -> None:
    """<c_k, f(x)> >= <c'_k, x> + d_k for every row between two lines of its own, and c', d are those of the lines."""
    x = reals(world, "x", 1, 1)
    op = AnyOp(world, x.expand(2, 1), reals(world, "y", 1, 1).expand(2, 1))
    (box,) = (within(world, x),)
    source = backward.source(point(world))
    node = DeepPoly(slopes=unknown).relax(op, (source,), (box,))
    c = Rows.of(reals(world, "c", 2, 1, 1))
    slopes = reals(world, "p", 2, 1, 1), reals(world, "q", 2, 1, 1)
    lines = ascent._lines(node, slopes, detached=True)
    for line, given, end in zip(lines, slopes, (op.inf, op.sup), strict=True):
        prove_zero(world, line.slopes[0] - given, "the slopes that were asked")
        assert line.intercept is not None
        for k in range(2):
            prove_zero(
                world, line.intercept[k] - end((given.squeeze(1),), (box,))[k : k + 1], "each row's own intercept"
            )
    (rows,), constant = ascent._pull(node, *lines)(c)
    assert constant is not None
    for k in range(2):
        gap = (c.data[k] * op.y[:1]).sum() - (rows.data[k] * x).sum() - constant[k].sum()
        prove(world, gap, "the row's plane")
        below, above = (line.slopes[0][k] for line in lines)
        prove_zero(world, rows.data[k] - c.data[k].relu() * below + (-c.data[k]).relu() * above, "the row")


def without_intercepts(world: World) -> None:
    """Lines through the origin pay no constant."""
    (a, s), c = reals(world, "a", 2, 1, 1, 2).unbind(0), Rows.of(reals(world, "c", 1, 1, 2))
    op, x = unknown_op(world, 2)
    node = DeepPoly(slopes=unknown).relax(op, (backward.source(point(world)),), (within(world, x),))
    (rows,), constant = ascent._pull(node, Line((a.unsqueeze(0),), None), Line((s.unsqueeze(0),), None))(c)
    assert constant is not None
    prove_zero(world, constant, "no constant")
    prove_zero(world, rows.data[0] - c.data[0].relu() * a + (-c.data[0]).relu() * s, "the row")


def output(graph: Graph, start: object = adaptive) -> Relation:
    """The last node by back-substitution."""
    return DeepPoly(slopes=start).propagate(graph, box(graph.input.shape)).output  # type: ignore[arg-type]


def at_its_start(graph: Graph) -> Check:
    """With the slopes of the relaxations themselves the bounds are those of back-substitution, chunk by chunk."""

    def check(world: World) -> None:
        for start in (adaptive, parallel, zero):
            e = output(graph, start)
            true = backward.bounds(e)
            index = torch.arange(e.shape[0])
            for sign, end in ((1, true.lower), (-1, -true.upper)):
                chunks = ascent.roots(e, sign, index)
                equal(
                    world,
                    torch.cat([rows.data for rows in chunks])[:, 0],
                    sign * torch.eye(e.shape[0]).double(),
                    "unit rows",
                )
                for rows in chunks:
                    kept = [ascent._started(node, len(rows.data)) for node in ascent.searched(e)]
                    world.check([tuple(s.shape) for one in kept for s in one] == ascent.shapes(e, rows), "their shapes")
                    found = ascent.minimum(e, rows, kept)
                    world.check(bool(((found.t() - end).abs() <= _NEAR).all()), f"{start}: {found.t()}, not {end}")
            world.check(ascent.roots(e, 1, index[:0]) == [], "nothing is asked")

    return check


def improves(graph: Graph) -> Check:
    """The bounds hold the network, are never looser than at the start, and tighter somewhere; every slope holds it."""

    def check(world: World) -> None:
        region, before = box(graph.input.shape), backward.bounds(output(graph))
        domain = DeepPoly(search=Ascent(steps=8))
        e = domain.propagate(graph, region).output
        after = domain.bounds(e)
        close(world, apart(domain.bounds, e), after, "ends and bounds")
        holds(world, graph, after)
        world.check(
            bool((after.lower >= before.lower - _NEAR).all() and (after.upper <= before.upper + _NEAR).all()), "looser"
        )
        world.check(bool((after.width < before.width - 1e-4).any()), "no bound is tighter")
        wild = [tuple(numbers(*s.shape, start=9) * 3 for s in ascent._kept(node)) for node in ascent.searched(e)]
        units = Rows.of(torch.eye(e.shape[0], dtype=torch.float64).unsqueeze(1))
        given = [tuple(s.expand(e.shape[0], *s.shape) for s in one) for one in wild]
        low, high = (ascent.minimum(e, rows, given).t() for rows in (units, units.negated()))
        holds(world, graph, Bounds(low, -high))

    return check


def holds(world: World, graph: Graph, found: Bounds) -> None:
    """The bounds hold the network's values at a grid of the region's points."""
    ends = box(graph.input.shape).box()
    for share in torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)] * graph.input.shape[0]):
        y = graph(ends.lower + share * ends.width)
        world.check(
            bool((y >= found.lower - _NEAR).all() and (y <= found.upper + _NEAR).all()), f"{y} is outside {found}"
        )


def the_best_is_kept(world: World) -> None:
    """Row by row and sample by sample the slopes of the higher bound, and that bound."""
    old: list[Slopes] = [(numbers(2, 3, 4),)]
    new: list[Slopes] = [(numbers(2, 3, 4, start=7),)]
    low, high = numbers(2, 3), numbers(2, 3, start=5)
    first, kept = ascent._better(None, low, old, new)
    world.check(first is low and kept is old, "the first bound has the slopes that it was made with")
    best, (found,) = ascent._better(low, high, old, new)
    for k in range(2):
        for b in range(3):
            mine = new[0][0] if high[k, b] > low[k, b] else old[0][0]
            equal(world, best[k, b], torch.maximum(low[k, b], high[k, b]), "the higher bound")
            equal(world, found[0][k, b], mine[k, b], "its slopes")


def which_are_searched(world: World) -> None:
    """A settled relaxation is not searched; of a convex op the line below is, of a concave one that above, or both."""
    e = output(
        chain(
            (2,), Dense(torch.tensor([[1.0, 0.0]]).double(), torch.tensor([9.0]).double()), ReLU(), Dense(numbers(1, 1))
        )
    )
    world.check(ascent.searched(e) == [], "a relaxation that is settled for every sample")
    units = Rows.of(torch.ones(1, 1, 1, dtype=torch.float64))
    world.check(ascent.ascended(e, units, Pace(3, 0.25, 0.9)) == [], "nothing to look for")
    unsettled = output(DEEP)
    world.check(len(ascent.searched(unsettled)) == 2, "relaxations that are not")
    for op, count in ((ReLU(), 1), (LeakyReLU(2.0), 1), (Sigmoid(), 2), (Product(), 4)):
        arguments = 2 if isinstance(op, Product) else 1
        boxes = tuple(Bounds(-torch.ones(1, 1), 2 * torch.ones(1, 1)) for _ in range(arguments))
        source = backward.source(point(world))
        relaxation = DeepPoly().relax(op, (source,) * arguments, boxes).relaxation
        assert relaxation is not None
        sides = ascent._sides(relaxation, relaxation.below, relaxation.above)
        want: Slopes = (
            relaxation.below
            if op.curvature.convex
            else relaxation.above
            if op.curvature.concave
            else (*relaxation.below, *relaxation.above)
        )
        same = len(sides) == count and all(a is b for a, b in zip(sides, want, strict=True))
        world.check(same, f"{op}: the sides that are searched")


def moved_and_stepped(world: World) -> None:
    """One step goes along the gradient from the slopes to which the op moved; the first is beside the start."""
    slope = torch.tensor([[[0.5, -2.0]]], dtype=torch.float64, requires_grad=True)
    ascent._leave([slope])
    equal(world, slope.detach(), torch.tensor([[[0.50015, -1.9997]]], dtype=torch.float64), "a little beside")
    optimiser = Adam([slope])
    gradient = (torch.tensor([[[2.0, -4.0]]]).double(),)
    ascent._step(optimiser, 0.25, [slope], [torch.tensor([[[1.0, 0.0]]]).double()], gradient)
    near = (slope.detach() - torch.tensor([[[1.25, -0.25]]]).double()).abs().max() < 1e-6
    world.check(bool(near), f"a step of 1/4 along the gradient from (1, 0): {slope.tolist()}")
    sizes = optimiser.means[0].abs()  # 1 - 0.9 of it
    equal(world, 10 * sizes, torch.tensor([[[0.5, 1.0]]]).double(), "the gradient, relative to the row's largest")


def in_units(world: World) -> None:
    """A slope is measured in the range of f', or of the hull on its side; in 1 where that is a point or not known."""
    source = backward.source(point(world))

    def units(op: Nonlinear, low: float, high: float) -> Slopes:
        box = Bounds(*(torch.full((1, 1), end, dtype=torch.float64) for end in (low, high)))
        return ascent._units(DeepPoly().relax(op, (source,), (box,)))

    for op, low, high, wanted in (
        (ReLU(), -1.0, 3.0, (1.0,)), (LeakyReLU(2.0), -1.0, 3.0, (1.0,)), (LeakyReLU(0.25), -1.0, 3.0, (0.75,)),
        (Softplus(), -log(3), log(3), (0.25,)), (Softplus(), 1.0, 1.0, (1.0,)),
    ):  # fmt: skip
        found = torch.cat(units(op, low, high)).flatten()
        world.check(bool((found - torch.tensor(wanted).double()).abs().max() < _NEAR), f"{op}: {found}, not {wanted}")
    below, above = units(Sigmoid(), -3.0, 3.0)
    x = torch.linspace(-3, 3, 9, dtype=torch.float64)
    y = x.sigmoid()
    left, right = (y[1:] - y[0]) / (x[1:] - x[0]), (y[-1] - y[:-1]) / (x[-1] - x[:-1])
    equal(world, below.flatten(), ((right.max() - left.min()) / 2).view(1), "the convex hull's slopes")
    equal(world, above.flatten(), ((left.max() - right.min()) / 2).view(1), "the concave hull's slopes")
    (narrow, _) = units(Sigmoid(), 1.0, 3.0)  # concave there: the hull below has one slope
    world.check(bool(0 < narrow < 0.01), f"the least unit: {narrow}")
    any_op, x = unknown_op(world, 2)
    unranged = ascent._units(DeepPoly(slopes=unknown).relax(any_op, (source,), (within(world, x),)))
    for unit in unranged:
        prove_zero(world, unit - 1, "of an op whose slopes are not known")
    (measured,) = ascent._measured([(numbers(2, 1, 3),)], [(numbers(1, 3, start=4),)])
    equal(world, measured[0], numbers(2, 1, 3) / numbers(1, 3, start=4), "in these units")


def moved_together(world: World) -> None:
    """Tied slopes go along the edge between two planes, inside it; others for themselves, and what is fixed stays."""
    numbers_of = Relaxation(Product(), (interval(1.0, 3.0), interval(-1.0, 1.0)), (), ())
    gradients = [torch.full((1, 1, 1), value, dtype=torch.float64) for value in (1.0, 2.0, 3.0, 5.0)]
    wanted = [torch.full((1, 1, 1), value, dtype=torch.float64) for value in (3.0, 3.0, -2.0, 2.0)]
    for found, want in zip(tied.along(numbers_of, gradients), wanted, strict=True):
        equal(world, found, want, "along the edge")
    half_fixed = Relaxation(Product(), (interval(2.0, 2.0), interval(-1.0, 1.0)), (), ())  # so is the slope of y
    for found, value in zip(tied.along(half_fixed, gradients), (1.0, 1.0, 3.0, -3.0), strict=True):
        equal(world, found, torch.full((1, 1, 1), value, dtype=torch.float64), "a slope whose range is a point")
    x, y = numbers(1, 2, 3), numbers(1, 3, 4, start=5)
    boxes = Bounds(x, x + 1), Bounds(y, y + 2)
    below, above = x.sum(-2) + y.sum(-1), x.sum(-2) - y.sum(-1)
    edges = tied.along(Relaxation(MatMul(), boxes, (), ()), [x, y, x, y])
    for got, total, axis in zip(edges, (below, below, above, -above), (-2, -1, -2, -1), strict=True):
        equal(world, got, total.unsqueeze(axis).expand_as(got), "one number for each k")
    slopes = tuple(torch.full((1, 1), value, dtype=torch.float64) for value in (-1.0, 9.0, 0.25, 1.0))
    units = tuple(torch.full((1, 1), value, dtype=torch.float64) for value in (2.0, 2.0, 1.0, 1.0))
    tied.inside(numbers_of, slopes, units)
    near = torch.tensor([(-1 + 2e-4) / 2, (3 - 2e-4) / 2, 0.25, 1 + 2e-4], dtype=torch.float64)
    world.check(bool((torch.cat(slopes).flatten() - near).abs().max() < _NEAR), f"inside the ranges: {slopes}")
    free = Relaxation(ReLU(), (interval(-1.0, 1.0),), (), ())
    world.check(tied.along(free, gradients[:1]) == tuple(gradients[:1]), "each for itself")
    outside = (torch.full((1, 1), 9.0),)
    tied.inside(free, outside, units[:1])
    one, two = (torch.full((1, 1, 1), value, dtype=torch.float64, requires_grad=True) for value in (1.0, 2.0))
    left, right = ascent._gradients(3 * one.view(1, 1) + two.view(1, 1) ** 2, [(one,), (two,)], [free, free])
    equal(world, left, torch.full_like(left, 3.0), "the derivative by the first slope")
    equal(world, right, torch.full_like(right, 4.0), "the derivative by the second slope")
    world.check(outside[0].item() == 9.0 and not tied.tied(free) and tied.tied(numbers_of), "free slopes are left")


def interval(low: float, high: float) -> Bounds:
    """One number's."""
    return Bounds(*(torch.full((1, 1), end, dtype=torch.float64) for end in (low, high)))


def remembered(graph: Graph) -> Check:
    """A table of the slopes that were found gives the same bounds without a search, for intermediate boxes too."""

    def check(world: World) -> None:
        region = box(graph.input.shape)
        for found in (Ascent(steps=4), Ascent(steps=3, intermediate=True)):
            e = DeepPoly(search=found).propagate(graph, region).output
            again = DeepPoly(search=found.table(e)).propagate(graph, region).output
            close(world, again_bounds(found.table(e), again), DeepPoly(search=found).bounds(e), "the same bounds")

    return check


def where_asked(world: World) -> None:
    """Of the entries that are asked, and of no others, the bounds are sought."""
    e, asker = output(DEEP), Ascent(steps=3, intermediate=True)
    (whole,) = asker.boxes(ReLU(), (e,))
    mask = torch.tensor([[True, False, False], [True, False, False], [False, False, False]])
    (part,) = asker.boxes(ReLU(), (e,), (mask,))
    close(world, Bounds(part.lower[:, :1], part.upper[:, :1]), Bounds(whole.lower[:, :1], whole.upper[:, :1]), "asked")
    world.check(bool((part.lower[:, 1:] == -torch.inf).all() and (part.upper[:, 1:] == torch.inf).all()), "not asked")


def again_bounds(table: Table, e: Relation) -> Bounds:
    """Bounds by a table, whose two ends are asked one by one, too."""
    both, single = table.bounds(e), apart(table.bounds, e)
    return Bounds(torch.maximum(both.lower, single.lower), torch.minimum(both.upper, single.upper))


def lines_of_another_row(world: World) -> None:
    """The twin: row 0 between the lines of row 1."""
    e = output(DEEP)
    units = Rows.of(torch.eye(3, dtype=torch.float64).unsqueeze(1))
    found = ascent.ascended(e, units, Pace(6, 0.25, 0.9))
    turned = [tuple(s.roll(1, 0) for s in one) for one in found]
    equal(world, ascent.minimum(e, units, turned), ascent.minimum(e, units, found), "rows exchanged")


FUNCTIONS = tuple(getattr(ascent, name) for name in (
    "searched", "roots", "shapes", "ascended", "minimum", "_leave", "_gradients", "_step", "_relaxation", "_settled",
    "_sides", "_kept", "_units", "_hulls", "_measured",
    "_started", "_lines", "_per_row", "_substituted", "_pull", "_better"))  # fmt: skip
TIED = (tied.tied, tied.along, tied.inside, tied._ranges, Ties.along, Ties._side)
LEMMAS = (
    Lemma(
        "ascent",
        "each row between lines of its own is bounded, whatever their slopes; bounds by the slopes found are never "
        "looser than those of the start, and a table of them gives the same bounds again",
        (*FUNCTIONS, *TIED, backward.with_pulls, backward.relaxations, backward._under, search._bounds, search._end,
         search._asked,
         Search.bounds, Search.boxes, Search.box, Ascent.table, Ascent._record, Ascent.choice, Table.choice, Table.box),
        (rows_of_their_own, without_intercepts, *map(at_its_start, (DEEP, FANNED, SMOOTH, UPSIDE)),
         *map(improves, (FANNED, SMOOTH)), the_best_is_kept, which_are_searched, moved_and_stepped, in_units,
         moved_together, remembered(DEEP), where_asked),
        (Twin("row 0 between the lines of row 1", lines_of_another_row, {}),),
        f"{SYMBOLS}; {HOW}", "the lemmas deeppoly and back-substitution; the networks of these cases stand for all",
        leaves="that the ascent finds good slopes: it is only shown to keep the best; chunks that the budget cuts; "
               "gradients through the bounds",
    ),
)  # fmt: skip
