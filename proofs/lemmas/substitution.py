"""Back-substitution: through any relations, and against one that is written down once more for small networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from unittest.mock import patch

import torch
from torch import Tensor

from absdomain.domains.deeppoly import DeepPoly
from absdomain.domains.dual import Dual
from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.linear import Bounds, Ends, Rows, kernel
from absdomain.ops import Add, Dense, ReLU
from absdomain.proofs.kernel.abstract import AnyDomain, apart, held
from absdomain.proofs.kernel.exact import assume, prove, real, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.windows import (
    BRANCHED,
    FLAT,
    HOW,
    Written,
    box,
    chain,
    close,
    equal,
    numbers,
    of_the_matrix,
)
from absdomain.reference import ReferenceSpace
from absdomain.region import L2, Interval
from absdomain.relations import backward
from absdomain.relations.backward import Constant, Relation
from absdomain.relations.slopes import Rule, adaptive, parallel, zero


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

    def relation(self, place: int, args: tuple[int, ...], made: dict[int, Relation], *, both: bool = False) -> Relation:
        """<c, v> >= sum <c_i, arg_i> + d for rows c_i and d of which only that is known; `both`: for -c as well."""
        asked: list[int] = []

        def known(rows: Rows, ends: tuple[int, ...]) -> tuple[tuple[Rows, ...], Sequence[Tensor]]:
            asked.append(place)
            name = f"{place}_{len(asked)}_"
            parts = tuple(Rows.of(reals(self.world, f"c{name}{a}_", len(rows.data), 1, 1)) for a in args)
            constants = [reals(self.world, f"d{name}{'' if end > 0 else 'minus'}", len(rows.data), 1) for end in ends]
            for end, constant in zip(ends, constants, strict=True):
                gap = end * (rows.data[:, 0] * self.values[place]) - constant
                for a, part in zip(args, parts, strict=True):
                    gap = gap - end * part.data[:, 0] * self.values[a]
                assume(self.world, gap)
            return parts, constants

        def pull(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
            parts, (constant,) = known(rows, (1,))
            return parts, constant

        def share(rows: Rows) -> tuple[tuple[Rows, ...], Constant, Constant]:
            parts, (low, high) = known(rows, (1, -1))
            return parts, low, high

        return backward.relaxed(tuple(made[a] for a in args), (1,), pull, share if both else None)


def substituted(minimum: Callable[[Relation, Rows], Tensor] | None = None, both: tuple[int, ...] = ()) -> Check:
    """Back-substitution through any relations gives a lower bound, at fan-outs and over arguments of unequal depth."""

    def check(world: World) -> None:
        diamond = Diamond.any(world)
        made = {0: backward.source(diamond.region)}
        for place, args in ((1, (0,)), (2, (1, 0)), (3, (2, 1, 0))):
            made[place] = diamond.relation(place, args, made, both=place in both)
        c = Rows.of(real(world, "c").unsqueeze(0))
        prove(world, c.data[0] * diamond.values[3] - (minimum or backward.minimum)(made[3], c), "minimum")
        if minimum is None:
            held(world, diamond.values[3], backward.bounds(made[3]), "bounds")

    return check


# --- against another implementation -----------------------------------------------------------------------------------


def by_hand(graph: Graph, within: Bounds, rule: Rule) -> dict[str, Bounds]:
    """Bounds of every node of a graph of Dense, Add and ReLU, by substitution of one row after another."""
    boxes: list[Bounds] = [within]
    for place in range(1, len(graph.nodes)):
        size = graph.nodes[place].shape[0]
        ends = [least(graph, boxes, place, sign * torch.eye(size, dtype=torch.float64), rule) for sign in (1, -1)]
        boxes.append(Bounds(ends[0], -ends[1]))
    return {node.name: b for node, b in zip(graph.nodes, boxes, strict=True)}


def least(graph: Graph, boxes: list[Bounds], place: int, rows: Tensor, rule: Rule) -> Tensor:
    """Lower bounds (B, K) of <c_k, node> from the boxes of earlier nodes, sample by sample."""
    found = []
    for sample in range(len(boxes[0].lower)):
        pending = {i: torch.zeros(len(rows), node.shape[0], dtype=torch.float64) for i, node in enumerate(graph.nodes)}
        pending[place], constant = rows.clone(), torch.zeros(len(rows), dtype=torch.float64)
        for i in range(place, 0, -1):
            op, args, c = graph.nodes[i].op, graph.nodes[i].args, pending[i]
            if isinstance(op, Dense):
                constant = constant + (0 if op.bias is None else c @ op.bias)
                pending[args[0]] = pending[args[0]] + c @ op.weight
            elif isinstance(op, Add):
                for a in args:
                    pending[a] = pending[a] + c
            else:
                low, high = (end[sample] for end in (boxes[args[0]].lower, boxes[args[0]].upper))
                below, above, intercept = relu_lines(low, high, rule)
                constant = constant - (-c).relu() @ intercept
                pending[args[0]] = pending[args[0]] + c.relu() * below - (-c).relu() * above
        low, high = boxes[0].lower[sample], boxes[0].upper[sample]
        found.append(pending[0].relu() @ low - (-pending[0]).relu() @ high + constant)
    return torch.stack(found)


def relu_lines(low: Tensor, high: Tensor, rule: Rule) -> tuple[Tensor, Tensor, Tensor]:
    """Slope below, slope above and intercept above of ReLU over [low, high]."""
    active, dead = low >= 0, high <= 0
    chord = torch.where(active, 1.0, torch.where(dead, 0.0, high / (high - low + (high == low))))
    known: dict[Rule, Tensor] = {
        adaptive: (high > -low).double(),
        parallel: chord,
        zero: torch.zeros_like(low),
    }
    free = known[rule]
    below = torch.where(active, 1.0, torch.where(dead, 0.0, free))
    return below, chord, torch.where(active | dead, 0.0, -chord * low)


DEEP = chain(
    (4,), Dense(numbers(5, 4), numbers(5)), ReLU(), Dense(numbers(5, 5), numbers(5)), ReLU(), Dense(numbers(3, 5))
)
FANNED = chain(
    (4,), Dense(numbers(4, 4), numbers(4)), ReLU(), (Add(), (2, 0)), Dense(numbers(4, 4, start=5)), ReLU(),
    (Add(), (5, 3, 1)), (Dense(numbers(4, 4, start=8), numbers(4)), (2,)), (Add(), (6, 7, 7)), ReLU(),
    Dense(numbers(2, 4)),
)  # fmt: skip


def as_by_hand(graph: Graph, rule: Rule, kind: type[Interval] = Interval) -> Check:
    """Every way of asking for the bounds of a node gives those of the substitution that is written down above."""

    def check(world: World) -> None:
        region = box(graph.input.shape, kind)
        true = by_hand(graph, region.box(), rule)
        domain, deep, wide = DeepPoly(slopes=rule), [0], [prod(graph.input.shape)]
        for place in range(1, len(graph.nodes)):
            name = graph.nodes[place].name
            e = domain.propagate(graph.subgraph(end=name), region).output
            known, args = true[name], graph.nodes[place].args
            deep.append(1 + max(deep[a] for a in args))
            wide.append(max(prod(e.shape), *(wide[a] for a in args)))
            world.check((e.depth, e.widest) == (deep[place], wide[place]), f"{name}: its longest way, its widest")
            free = replace(e, exact=None)
            for one in (e, free):
                for found in (
                    backward.bounds(one), apart(backward.bounds, one), backward.boxes(one),
                    domain.bounds(one), apart(domain.bounds, one), *domain.boxes(ReLU(), (one,)),
                ):  # fmt: skip
                    close(world, found, known, name)
            units = Rows.units(torch.arange(e.shape[0]), e.shape, region.centre)
            ends = Bounds(*(backward.minimum(free, rows).t() for rows in (units, units.negated())))
            close(world, Bounds(ends.lower, -ends.upper), known, f"{name}: minimum")
            low, high = backward.minima(free, units)
            close(world, Bounds(low.t(), -high.t()), known, f"{name}: minima")
            for rows, constant in (backward.above(free), domain.planes(free)):
                equal(world, (rows.maximum(region.box()) + constant).t(), known.upper, f"{name}: planes above")

    return check


def in_parts(check: Check) -> Check:
    """The same with so little room that rows and products are taken in parts."""

    def checked(world: World) -> None:
        with patch.object(backward, "_BUDGET", 24), patch.object(kernel, "_CACHED", 8):
            check(world)

    return checked


def dual_by_hand(graph: Graph) -> Check:
    """For ReLU the dual network is the substitution with parallel lines, however its bounds are asked for."""

    def check(world: World) -> None:
        region, domain = box(graph.input.shape), Dual()
        true = by_hand(graph, region.box(), parallel)
        for place in range(1, len(graph.nodes)):
            name = graph.nodes[place].name
            e = domain.propagate(graph.subgraph(end=name), region).output
            for found in (domain.bounds(e), apart(domain.bounds, e), *domain.boxes(ReLU(), (e,))):
                close(world, found, true[name], name)
            rows, constant = domain.planes(e)
            equal(world, (rows.maximum(region.box()) + constant).t(), true[name].upper, f"{name}: planes above")
            world.check(e.sketch is None, "no projections")

    return check


def projected(world: World) -> None:
    """With projections the bounds are statistical; a box that one op gives exactly is not estimated, others are."""
    region, domain = box((4,)), Dual(projections=2)
    world.check(domain.guarantee is Guarantee.STATISTICAL and Dual().guarantee is Guarantee.SOUND, "the guarantee")
    first = domain.affine(Dense(numbers(5, 4)), domain.lift(region))
    second = domain.affine(Dense(numbers(3, 5)), domain.relax(ReLU(), (first,), None))
    world.check(first.sketch is not None and second.sketch is not None, "estimates are carried")
    close(world, domain.boxes(ReLU(), (first,))[0], backward.boxes(first.dual), "the first layer's box is exact")
    assert second.sketch is not None
    close(world, domain.boxes(ReLU(), (second,))[0], second.sketch.box(), "the second layer's is estimated")


def exact_hulls(world: World) -> None:
    """The first affine op has the region's own hull, after diagonal ops too; but not over a part of the region."""
    ball = L2(numbers(2, 3), 0.5)
    first, second = Dense(numbers(4, 3), numbers(4)), Dense(numbers(3, 4))
    e = backward.affine(first, backward.source(ball))
    close(world, backward.bounds(e), ball.image(first).box(), "the hull of a ball")
    world.check(backward.known(e) is not None and backward.known(backward.affine(second, e)) is None, "known of one op")
    part = ReferenceSpace(ball, numbers(2, 3), numbers(2), -2.0)
    inside = backward.affine(first, backward.source(part))
    world.check(backward.known(inside) is None, "the hull over a part of the ball is not known")
    close(world, backward.boxes(inside), ball.image(first).box(), "boxes are those over the whole ball")
    held(world, first(part.ball.centre), backward.boxes(inside), "and hold the centre")


class Off(Interval):
    """An interval whose minima are off by one, as rounding makes them by less."""

    def minimum(self, c: Rows) -> Tensor:
        return super().minimum(c) + 1


def ends_that_are_asked(world: World) -> None:
    """Ends that were crossed give way to each other; of one end alone nothing is reckoned for the other."""
    region = Off(torch.zeros(1, 2).double(), torch.zeros(1, 2).double())
    e = replace(backward.affine(Dense(torch.eye(2).double()), backward.source(region)), exact=None)
    for ends, wanted in (
        (Ends.BOTH, (-1.0, 1.0)), (Ends.LOWER, (1.0, torch.inf)), (Ends.UPPER, (-torch.inf, -1.0)),
    ):  # fmt: skip
        found = backward.bounds(e, ends=ends)
        told = set(found.lower.flatten().tolist()), set(found.upper.flatten().tolist())
        world.check(told == ({wanted[0]}, {wanted[1]}), f"{ends}: {found}")


def constants_forgotten(e: Relation, rows: Rows) -> Tensor:
    """The twin of back-substitution: the region's part alone, without the constants."""
    to_input, _ = backward.to_input(e, rows)
    return e.region.minimum(to_input)


FUNCTIONS = (
    backward.source, backward.affine, backward.relaxed, backward.mirrored, backward._extent, backward._hull_of,
    backward.bounds, backward._roots, backward._minima_of, backward.boxes,
    backward.minimum, backward.minima, backward._minima, backward.to_input, backward._substituted, backward.above,
    backward.known, backward._joined, backward._chunks, backward._end,
)  # fmt: skip
GRAPHS = tuple(as_by_hand(graph, rule) for graph in (DEEP, FANNED) for rule in (adaptive, parallel, zero))

LEMMAS = (
    Lemma(
        "back-substitution",
        "if <c, v> >= sum_i <c_i, arg_i> + d at every node, then minimum(c) over the region, with all constants added, "
        "is at most <c, v>: at fan-outs too",
        FUNCTIONS,
        (substituted(), substituted(both=(1, 2, 3)), substituted(both=(1, 3)), exact_hulls, ends_that_are_asked,
         *GRAPHS, as_by_hand(FANNED, zero, Written),
         in_parts(as_by_hand(FANNED, adaptive)), of_the_matrix(FLAT), in_parts(of_the_matrix(FLAT)),
         of_the_matrix(BRANCHED)),
        (Twin("the constants are forgotten", substituted(constants_forgotten),
              {"v0": 0, "v1": 0, "v2": 0, "v3": -1, "l0": 0, "u0": 0, "c": 1, "c3_1_2_": 0, "c3_1_1_": 0, "c3_1_0_": 0,
               "d3_1_": -1, "c2_1_1_": 0, "c2_1_0_": 0, "d2_1_": 0, "c1_1_0_": 0, "d1_1_": 0}),),
        f"{SYMBOLS}; {HOW}",
        "real arithmetic; a graph of four nodes with fan-outs, each step being the same for every node",
        leaves="how rows are cut into parts (any cut serves); gradients; graphs of other ops than Dense, Add and "
               "ReLU in the cases",
    ),
)  # fmt: skip
