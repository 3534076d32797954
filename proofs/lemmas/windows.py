"""Rows on windows, on lists of neurons and by index: the same functionals as coefficients that are written out.

Small networks with dyadic weights, in double precision. Without a nonlinear op the bounds of each node must be those of
the network's matrix, read off unit inputs; with ReLU, back-substitution on windows must give what it gives on
coefficients written out, for every node, whichever neurons are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from absdomain.domains.deeppoly import DeepPoly
from absdomain.graph import Graph, Node
from absdomain.kinds import Op, Shape
from absdomain.linear import Bounds, Rows, kernel, patches, roots, rows
from absdomain.linear.patches import Columns, Frame, _Scatter
from absdomain.ops import Add, AvgPool, BatchNorm, Concat, Conv, Dense, Pad, ReLU, Reshape, Scale, conv
from absdomain.proofs.kernel.abstract import apart
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import Check, Lemma, Twin
from absdomain.region import Interval
from absdomain.relations import backward
from absdomain.relations.backward import Relation
from absdomain.relations.slopes import adaptive, parallel

HOW = "shipped code on dyadic numbers, against coefficients that are written out"
_BATCH = 3
_NEAR = 1e-12  # sums of a few dozen products in double precision


def numbers(*shape: int, start: int = 1) -> Tensor:
    """Multiples of 1/8 between -1 and 1, in an order without a pattern that a window could share."""
    k = torch.arange(start, start + prod(shape), dtype=torch.float64)
    return (((k * k * 7 + k * 3) % 17) - 8).view(shape) / 8


class Written(Interval):
    """The same box, for which rows are always written out."""

    any_columns = False


def box(shape: Shape, kind: type[Interval] = Interval) -> Interval:
    """Three boxes around different points, some of their sides of width 0."""
    centre = numbers(_BATCH, *shape, start=5)
    radius = (numbers(_BATCH, *shape, start=11).abs() - 0.25).relu()
    return kind(centre - radius, centre + radius)


def conv2(
    inside: int, out: int, kernel: Shape, stride: Shape = (1, 1), padding: Shape = (0, 0), **more: object
) -> Conv:
    """A convolution with a bias."""
    groups = int(str(more.pop("groups", 1)))
    weight = numbers(out, inside // groups, *kernel, start=3)
    return Conv(weight, numbers(out, start=9), stride, padding, groups=groups, **more)  # type: ignore[arg-type]


def norm(channels: int) -> BatchNorm:
    """Batch norm whose standard deviations are dyadic."""
    ones = torch.ones(channels, dtype=torch.float64)
    return BatchNorm(numbers(channels), 4 * ones - 0.5, numbers(channels, start=4) + 0.0625, numbers(channels), eps=0.5)


def chain(shape: Shape, *ops: Op | tuple[Op, tuple[int, ...]]) -> Graph:
    """Each op reads the one before it, or the nodes whose numbers are given."""
    nodes = [Node("x", None, (), shape)]
    for place, item in enumerate(ops):
        op, args = item if isinstance(item, tuple) else (item, (place,))
        nodes.append(Node(f"n{place + 1}", op, args, op.shape(*(nodes[a].shape for a in args))))
    return Graph.of(nodes)


def close(world: World, found: Bounds, true: Bounds, what: str) -> None:
    """The same bounds, and nothing else of another shape."""
    for side, a, b in (("lower", found.lower, true.lower), ("upper", found.upper, true.upper)):
        same = a.shape == b.shape and bool(((a - b).abs() <= _NEAR).all())
        world.check(same, f"{what}: the {side} ends are {a.tolist()}, not {b.tolist()}")


def of_the_matrix(graph: Graph) -> Check:
    """The bounds of an affine network are A c + b -+ |A| r, with A read off unit inputs, at every node."""

    def check(world: World) -> None:
        shape = graph.input.shape
        region = box(shape)
        units = torch.cat(
            [torch.zeros(1, prod(shape), dtype=torch.float64), torch.eye(prod(shape), dtype=torch.float64)]
        )
        for place in range(1, len(graph.nodes)):
            part = graph.subgraph(end=graph.nodes[place].name)
            value = part(units.view(-1, *shape)).flatten(1)
            matrix, offset = (value[1:] - value[:1]).t(), value[0]
            ends = region.box()
            centre, radius = ends.centre.flatten(1) @ matrix.t() + offset, ends.radius.flatten(1) @ matrix.abs().t()
            true = Bounds(*((centre + s * radius).view(_BATCH, *part.output.shape) for s in (-1, 1)))
            e = replace(element(part, region), exact=None)
            close(world, backward.bounds(e), true, part.output.name)
            asked_alone(world, e, true)

    return check


def element(graph: Graph, region: Interval) -> Relation:
    """The output as a relation, by back-substitution."""
    return DeepPoly().propagate(graph, region).output


def masks(shape: Shape) -> list[Tensor]:
    """Neurons that may be asked: nearly all, few, one of one sample, one of each, none."""
    size = prod(shape)
    place = torch.arange(_BATCH * size).view(_BATCH, *shape)
    return [place % 7 != 3, place % 5 == 1, place == 2 * size - 1, place % (size + 1) == 0, place < 0]


def asked_alone(world: World, e: Relation, true: Bounds) -> None:
    """Entries that are asked have their bounds whichever others are asked; others have these or none."""
    for mask in masks(e.shape):
        found = backward.bounds(e, mask)
        for a, b, none in ((found.lower, true.lower, -torch.inf), (found.upper, true.upper, torch.inf)):
            world.check(bool(((a - b).abs() <= _NEAR)[mask].all()), "an entry that is asked")
            world.check(bool((((a - b).abs() <= _NEAR) | (a == none))[~mask].all()), "an entry that is not")


def as_written_out(graph: Graph, domain: DeepPoly) -> Check:
    """Bounds of every node are those of the same substitution on coefficients that are written out."""

    def check(world: World) -> None:
        shape = graph.input.shape
        for place in range(1, len(graph.nodes)):
            part = graph.subgraph(end=graph.nodes[place].name)
            e = domain.propagate(part, box(shape)).output
            true = backward.bounds(domain.propagate(part, box(shape, Written)).output)
            close(world, backward.bounds(e), true, part.output.name)
            close(world, apart(backward.bounds, e), true, part.output.name)
            asked_alone(world, e, true)

    return check


# --- rows themselves --------------------------------------------------------------------------------------------------


def written(row: Rows, plane: Shape) -> Tensor:
    """Coefficients (K, N, channels, *plane) of rows on windows, entry by entry."""
    frame, columns = row.frame, row.columns
    assert frame is not None and columns is not None
    data = row.data.expand(-1, len(columns.sample), *(-1,) * (row.data.dim() - 2))
    out = torch.zeros(*data.shape[:3], *plane, dtype=torch.float64)
    for n in range(len(columns.sample)):
        start = [int(p[n]) * s - pad for p, s, pad in zip(columns.place, frame.stride, frame.pad, strict=True)]
        for offset in torch.cartesian_prod(*(torch.arange(k) for k in data.shape[3:])).view(-1, len(plane)).tolist():
            at = [a + b for a, b in zip(start, offset, strict=True)]
            if all(0 <= a < size for a, size in zip(at, plane, strict=True)):
                out[(slice(None), n, slice(None), *at)] = data[(slice(None), n, slice(None), *offset)]
    return out


def framed(stride: Shape, pad: Shape, size: Shape, per_column: bool, start: int = 1) -> Rows:
    """Rows over (2, 4, 3) in four columns of two samples, on windows of this size."""
    places = (torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 1]))
    columns = Columns(torch.tensor([0, 1, 0, 1]), places, (2, 2))
    data = numbers(3, 4 if per_column else 1, 2, *size, start=start)
    return Rows(data, (2, 4, 3), columns=columns, frame=Frame(stride, pad, clean=False))


def same_functionals(world: World) -> None:
    """Every operation on windows is the one on the coefficients that they stand for."""
    v, per_channel, per_plane = numbers(2, 2, 4, 3), numbers(2, 1, 1), numbers(4, 3)
    for stride, pad, size in (
        ((1, 1), (1, 1), (3, 2)),
        ((2, 1), (0, 1), (2, 2)),
        ((1, 1), (0, 0), (1, 1)),
        ((2, 2), (2, 3), (5, 4)),
        ((2, 2), (0, 0), (3, 3)),
        ((2, 1), (0, 0), (3, 2)),
    ):
        for per_column in (True, False):
            row = framed(stride, pad, size, per_column)
            c, sample = written(row, (4, 3)), torch.tensor([0, 1, 0, 1])
            for found in (row.dense().data, written(row.cleaned(), (4, 3)), row.cleaned().dense().data):
                equal(world, found, c, "written out, and cleaned")
            clean = row.cleaned().data
            equal(world, clean.abs().sum() * (4 / clean.shape[1]), c.abs().sum(), "nothing outside")
            equal(world, row.dot(v), (c * v[sample]).flatten(2).sum(2), "<c, v>")
            equal(world, row.dot(v[:1]), (c * v[:1]).flatten(2).sum(2), "<c, v> of one sample for all")
            equal(
                world,
                row.dense().dot(v[:1]),
                (c * v[:1]).flatten(2).sum(2),
                "<c, v> written out, of one sample for all",
            )
            for constant in (per_channel, per_plane, torch.tensor(0.5, dtype=torch.float64)):
                equal(world, row.dot(constant), (c * constant).flatten(2).sum(2), "<c, v>, v the same for all samples")
                equal(world, row.times(constant).dense().data, c * constant, "times, the same for all samples")
            equal(world, row.times(v).dense().data, c * v[sample], "times")
            equal(world, row.negated().dense().data, -c, "negated")
            equal(world, row.signed().dense().data, torch.cat([c, -c]), "signed")
            within = Bounds(v - 0.5, v + 0.25)
            true = (c.relu() * (v - 0.5)[sample] - (-c).relu() * (v + 0.25)[sample]).flatten(2).sum(2)
            equal(world, row.minimum(within), true, "minimum")
            equal(
                world, row.maximum(within), -Rows.of(-c).minimum(Bounds(v[sample] - 0.5, v[sample] + 0.25)), "maximum"
            )
            for below in (v - 0.5, None):
                here = Bounds(torch.zeros_like(v) if below is None else below, v + 0.25)
                low, high = row.minima(below, v + 0.25)
                equal(world, low, row.minimum(here), "the minimum of both")
                equal(world, high, row.negated().minimum(here), "the minimum of the negatives")
            equal(world, row.minima(v, None)[0], row.minimum(Bounds(v, torch.zeros_like(v))), "an upper end of 0")
            turned, paid = row.split(v / 2, v, None, v + 1)
            true = c.relu() * (v / 2)[sample] - (-c).relu() * v[sample]
            equal(world, turned.dense().data, true, "split, rows")
            equal(world, paid, -((-c).relu() * (v + 1)[sample]).flatten(2).sum(2), "split, constants")
            turned, paid = row.split(v / 2, v, v - 1, v + 1)
            equal(world, paid, row.minimum(Bounds(v - 1, v + 1)), "split, two constants")
            equal(world, row.reshape((24,)).data, c.flatten(2), "reshaped")
            world.check(row.reshape((2, 4, 3)) is row, "reshaped to what it is")
            for other in (
                framed(stride, pad, size, True, 6),
                framed(stride, (0, 2), (4, 3), False, 6),
                framed((1, 3), (0, 0), (2, 2), True),
            ):
                both = row + other
                equal(world, both.dense().data, c + written(other, (4, 3)), "a sum")
                for one, two in ((row.times(v), other), (row, other.times(v))):
                    held, whole = (one + two).cleaned().data.abs().sum(), (one + two).dense().data.abs().sum()
                    equal(world, held, whole, "a half clean sum, cleaned: nothing outside")
                tidy = row.times(v) + other.times(v)
                equal(world, tidy.dense().data, (c + written(other, (4, 3))) * v[sample], "a sum of clean rows")


def equal(world: World, found: Tensor, true: Tensor, what: str) -> None:
    """The same numbers, where one size stands for many."""
    gap = (found - true).abs()
    world.check(
        gap.shape == true.shape and bool((gap <= _NEAR).all()), f"{what}: {found.tolist()}, not {true.tolist()}"
    )


def by_index(world: World) -> None:
    """Rows that index are the unit vectors that they name: one for all samples, one a column, and a channel's."""
    like, v, constant = numbers(2, 3, 2), numbers(2, 3, 2), numbers(3, 2)
    units = Rows.units(torch.tensor([4, 1]), (3, 2), like)
    equal(world, units.data, torch.eye(6, dtype=torch.float64)[[4, 1]].view(2, 1, 3, 2), "units")
    listed = Rows(None, (3, 2), unit=torch.tensor([[4, 1, 2]]), like=like, columns=Columns(torch.tensor([1, 0, 1])))
    equal(world, listed.data, torch.eye(6, dtype=torch.float64)[[4, 1, 2]].view(1, 3, 3, 2), "listed")
    for row, sample in ((units, None), (listed, [1, 0, 1])):
        seen = v if sample is None else v[sample]
        equal(world, row.dot(v), (row.data * seen).flatten(2).sum(2), "<e_k, v>")
        equal(world, row.dot(v[:1]), (row.data * v[:1]).flatten(2).sum(2), "<e_k, v> of one sample for all")
        flat = (row.data * constant).flatten(2).sum(2)
        equal(world, row.dot(constant), flat, "<e_k, v>, v the same for all samples")
        equal(world, row.times(v).data, row.data * seen, "times")
        equal(world, row.reshape((6,)).data, row.data.flatten(2), "reshaped")
        world.check(row.entries == 0 and row.times(v).entries == row.times(v).data.numel(), "entries that are held")
    channel = Rows(None, (3, 2), unit=torch.tensor([[2, 0]]), like=like, frame=Frame.points(1),
                   columns=Columns(torch.tensor([1, 0]), (torch.tensor([1, 0]),), (2,)))  # fmt: skip
    true = torch.zeros(1, 2, 3, 2, dtype=torch.float64)
    true[0, 0, 2, 1] = true[0, 1, 0, 0] = 1
    equal(world, channel.dense().data, true, "a channel's entry at a place")
    equal(world, channel.dot(v), (true * v[[1, 0]]).flatten(2).sum(2), "<e_k, v> of a channel")
    equal(
        world, channel.dot(constant), (true * constant).flatten(2).sum(2), "<e_k, v> of a channel, v the same for all"
    )


# --- the networks -----------------------------------------------------------------------------------------------------

PLAIN = chain((2, 5, 4), conv2(2, 3, (3, 3), padding=(1, 1)), conv2(3, 2, (3, 2), (2, 1), (1, 0)), conv2(2, 1, (2, 2)))
MIXED = chain(
    (2, 5, 4), Pad((1, 0, 0, 2)), conv2(2, 2, (3, 2), (2, 1)), norm(2), AvgPool((2, 2), (1, 2), (1, 1)),
    Scale(numbers(2, 4, 3)), conv2(2, 2, (2, 1)), AvgPool((2, 2), (1, 1), (1, 1), count_include_pad=False),
    Reshape((32,)), Dense(numbers(3, 32), numbers(3)),
)  # fmt: skip
BRANCHED = chain(
    (2, 4, 4), conv2(2, 2, (3, 3), padding=(1, 1)), (conv2(2, 2, (1, 1)), (0,)), (Add(), (1, 2)), (Concat(1), (3, 0)),
    (Concat(2), (4, 4)), AvgPool((2, 2), (2, 2), divisor=3), conv2(4, 2, (2, 2), groups=2),
    conv2(2, 8, (2, 1)), Pad((0, 0, 0, 0, 1, 0)), conv2(9, 1, (2, 1)),
)  # fmt: skip
SPREAD = chain(
    (1, 7, 3),
    conv2(1, 6, (2, 2), (2, 1), dilation=(2, 1)),
    conv2(6, 2, (2, 1), groups=2),
    Pad((1, 0)),
    conv2(2, 5, (1, 1)),
)
LINES = chain(
    (2, 6), Conv(numbers(3, 2, 3), numbers(3), (1,), (1,), (1,)), Conv(numbers(1, 3, 2), None, (2,), (0,), (1,))
)
FLAT = chain((5,), Dense(numbers(6, 5), numbers(6)), Dense(numbers(4, 6)), Dense(numbers(7, 4), numbers(7)))
ACTIVE = chain(
    (2, 5, 4), conv2(2, 3, (3, 3), padding=(1, 1)), ReLU(), conv2(3, 2, (3, 2), (2, 1), (1, 0)), norm(2), ReLU(),
    Pad((1, 0, 0, 0)), conv2(2, 2, (2, 2)), ReLU(), Reshape((12,)), Dense(numbers(2, 12), numbers(2)),
)  # fmt: skip
RESIDUAL = chain(
    (2, 4, 4), conv2(2, 2, (3, 3), padding=(1, 1)), ReLU(), conv2(2, 2, (3, 3), padding=(1, 1)), (Add(), (3, 0)),
    ReLU(),
    AvgPool((2, 2), (2, 2)), (conv2(2, 2, (2, 2), (2, 2)), (2,)), (Concat(1), (6, 7)), conv2(4, 1, (1, 2)),
)  # fmt: skip
NETWORKS: Sequence[Graph] = (PLAIN, MIXED, BRANCHED, SPREAD, LINES, FLAT)


def half_a_window(world: World) -> None:
    """The twin: rows on windows are the coefficients inside the first half of each."""
    row = framed((1, 1), (1, 1), (3, 2), True)
    equal(world, row.with_data(row.dense().data).data, written(row.times(numbers(2, 2, 4, 3)), (4, 3)), "another row")


PATCHES: tuple[Callable, ...] = (
    Columns.own, Frame.points, Frame.before, Frame.inside, Frame.reach, Frame.windows, Frame.scattered, Frame.widened,
    _Scatter.forward, patches._places,
)  # fmt: skip
ROWS = (
    Rows.of, Rows.units, Rows.data, Rows.entries, Rows.window, Rows.with_data, Rows.framed, Rows._same, Rows.seen,
    Rows.times, Rows._over, Rows.cleaned, Rows.dense, Rows.dot, Rows._dot_per_sample, Rows._listed, Rows.minimum,
    Rows.minima, Rows.maximum, Rows.split, Rows.negated, Rows.signed, Rows.__add__, Rows.reshape, rows._per_channel,
    kernel.SignSplit.forward, kernel.BoxMinimum.forward, kernel.BoxMinima.forward, kernel.pair, kernel._least,
    kernel._parts,
)  # fmt: skip

LEMMAS = (
    Lemma(
        "windows",
        "rows on windows, by index or in columns of their own are the functionals that they stand for, through every "
        "affine op and ReLU: back-substitution gives the bounds of the matrix, and those of coefficients that are "
        "written out, whichever neurons are asked",
        (*PATCHES, *ROWS, roots.units, roots.pairs, roots.windows, Conv.adjoint, conv.fits, conv.spread, conv._extent,
         AvgPool.adjoint, Pad.adjoint, Concat.adjoint),
        (same_functionals, by_index, *map(of_the_matrix, NETWORKS),
         *(as_written_out(graph, DeepPoly(slopes=policy)) for graph in (ACTIVE, RESIDUAL)
           for policy in (adaptive, parallel))),
        (Twin("another row", half_a_window, {}),),
        HOW, "the networks of these cases stand for all; the lemmas affine, relu, deeppoly and back-substitution",
        leaves="networks other than the cases'; the derivatives of `SignSplit`, `BoxMinimum`, `BoxMinima` and "
               "`_Scatter`, which are tested by finite differences; speed and memory",
    ),
)  # fmt: skip
