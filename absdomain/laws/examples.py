"""Random problems: a branching graph of all ops, a region of any kind, a specification or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from random import Random

import torch
from torch import Tensor

from absdomain.graph import Graph, Node
from absdomain.kinds import Op, Shape
from absdomain.laws import drawing
from absdomain.laws.drawing import LARGEST, MAKERS, Maker, arguments, normal, weights
from absdomain.ops import Add, Concat, Dense, Max, Reshape
from absdomain.region import L1, L2, Interval, Linf, Region
from absdomain.spec import Spec, halfspaces, margins, targeted


@dataclass(frozen=True, eq=False)
class Example:
    """One problem for a domain: bound graph, or C graph + d, over the region."""

    graph: Graph
    region: Region
    spec: Spec | None = None

    @property
    def whole(self) -> Graph:
        """The graph with its specification."""
        return self.graph if self.spec is None else self.spec.of(self.graph)


class _Growth:
    """A graph under construction; every node but dead branches leads to the newest."""

    def __init__(self, rng: Random, shape: Shape, makers: Sequence[Maker]) -> None:
        self.rng, self.makers = rng, makers
        self.nodes = [Node("x", None, (), shape)]

    def add(self, op: Op, *args: int) -> int:
        """The place of a new node."""
        shape = op.shape(*(self.nodes[a].shape for a in args))
        place = len(self.nodes)
        self.nodes.append(Node(f"{type(op).__name__.lower()}_{place}", op, args, shape))
        return place

    def apply(self, make: Maker, place: int) -> int | None:
        """A new node by this maker on one place, or None where it does not suit."""
        arg = self.nodes[place].shape
        alike = [p for p, node in enumerate(self.nodes) if node.shape == arg]
        args = [place, *self.rng.choices(alike, k=arguments(make) - 1)]  # x + x is one of them
        op = make(self.rng, arg)
        if op is None or prod(op.shape(*[arg] * len(args))) > LARGEST * 3:
            return None
        made = self.add(op, *args)
        return self.add(Max(-3), made) if make is drawing.pool_windows else self.shrunk(made)

    def shrunk(self, place: int) -> int:
        """The place, or one after it where the activation is small again."""
        shape = self.nodes[place].shape
        if prod(shape) <= LARGEST:
            return place
        m = self.rng.randint(2, 8)
        matrix = weights(self.rng, m, prod(shape), fan=prod(shape))
        return self.add(Dense(matrix, normal(self.rng, m)), self.flat(place))

    def step(self, place: int) -> int:
        """One more op on this place."""
        while True:
            made = self.apply(self.rng.choice(self.makers), place)
            if made is not None:
                return made

    def fork(self, place: int) -> int:
        """Two branches that start here, or the second at any earlier node, and meet again."""
        left = self.step(place)
        start = place if self.rng.random() < 0.7 else self.rng.randrange(len(self.nodes))
        right = self.step(start) if self.rng.random() < 0.6 else start
        return self.join(left, right)

    def join(self, left: int, right: int) -> int:
        """A sum where the shapes allow it, else a concatenation."""
        one, other = self.nodes[left].shape, self.nodes[right].shape
        if one == other and self.rng.random() < 0.7:
            again = (left,) if self.rng.random() < 0.1 else ()  # x + y + x
            return self.add(Add(), left, right, *again)
        axes = [i for i in range(len(one)) if len(one) == len(other) and _without(i, one) == _without(i, other)]
        if axes:
            return self.shrunk(self.add(Concat(self.rng.choice(axes) + 1), left, right))
        return self.shrunk(self.add(Concat(1), self.flat(left), self.flat(right)))

    def flat(self, place: int) -> int:
        """The place, or its flattening after it."""
        shape = self.nodes[place].shape
        return place if len(shape) == 1 else self.add(Reshape((prod(shape),)), place)


def _without(i: int, shape: Shape) -> Shape:
    return shape[:i] + shape[i + 1 :]


def graph(
    rng: Random, *, makers: Sequence[Maker] = MAKERS, first: Maker | None = None, size: int | None = None
) -> Graph:
    """A graph of about `size` ops of these kinds, about two thirds with branches; `first` is in it for certain."""
    size = rng.randint(2, 9) if size is None else size
    forks = rng.random() < 0.7
    place, growth = _beginning(rng, rng.choice(makers) if first is None else first, makers)
    while len(growth.nodes) <= size:
        place = growth.fork(place) if forks and rng.random() < 0.4 else growth.step(place)
    return Graph(growth.nodes)


def _beginning(rng: Random, first: Maker, makers: Sequence[Maker]) -> tuple[int, _Growth]:
    """A growth that ends in an op of the first maker, on the input or after one other op."""
    while True:
        growth = _Growth(rng, drawing.shape(rng), makers)
        made = growth.apply(first, growth.step(0) if rng.random() < 0.5 else 0)
        if made is not None:
            return made, growth


def branching(graph: Graph) -> bool:
    """Whether an activation that the output depends on has two readers."""
    alive = ancestors(graph)
    read = [a for place in alive for a in graph.nodes[place].args]
    return len(set(read)) < len(read)


def ancestors(graph: Graph) -> set[int]:
    """The places on which the output depends, its own among them."""
    alive = {len(graph.nodes) - 1}
    for place in range(len(graph.nodes) - 1, -1, -1):
        if place in alive:
            alive.update(graph.nodes[place].args)
    return alive


def radius(rng: Random, batch: int, shape: Shape) -> Tensor | float:
    """A number, or a tensor over some axes, with or without the batch; zeros and wide ones among them."""
    size = rng.choice((0.0, 1e-7, 0.03, 0.1, 0.3, 0.3, 1.0, 1.0, 3.0))
    if rng.random() < 0.5:
        return size
    sizes = [n if rng.random() < 0.7 else 1 for n in shape]
    r = size * normal(rng, rng.choice((1, batch)), *sizes).abs()
    return r * (normal(rng, *r.shape) > -1)


def linf(rng: Random, batch: int, shape: Shape) -> Region:
    """An unclipped ball."""
    return Linf(normal(rng, batch, *shape), radius(rng, batch, shape))


def clipped(rng: Random, batch: int, shape: Shape) -> Region:
    """A ball around a point of [0, 1], clipped to it."""
    centre = torch.rand(batch, *shape, dtype=torch.float64, generator=drawing.generator(rng))
    return Linf(centre.round() if rng.random() < 0.2 else centre, radius(rng, batch, shape), clip=(0.0, 1.0))


def interval(rng: Random, batch: int, shape: Shape) -> Region:
    """Any two ends, equal for some entries."""
    lower = normal(rng, batch, *shape)
    width = rng.choice((0.1, 1.0, 3.0)) * normal(rng, batch, *shape).abs()
    return Interval(lower, lower + width * (normal(rng, batch, *shape) > -0.8))


def l2(rng: Random, batch: int, shape: Shape) -> Region:
    """A Euclidean ball, or an ellipsoid."""
    return L2(normal(rng, batch, *shape), radius(rng, batch, shape))


def l1(rng: Random, batch: int, shape: Shape) -> Region:
    """A cross-polytope."""
    return L1(normal(rng, batch, *shape), radius(rng, batch, shape))


RegionMaker = Callable[[Random, int, Shape], Region]
REGIONS: tuple[RegionMaker, ...] = (linf, clipped, interval, l2, l1)


def spec(rng: Random, batch: int, outputs: int) -> Spec:
    """Margins, targets, half-spaces, or any functionals, per sample or shared, with an offset."""
    labels = torch.randint(outputs, (batch,), generator=drawing.generator(rng))
    if outputs > 1 and rng.random() < 0.5:
        targets = (labels + 1) % outputs
        return margins(labels, outputs) if rng.random() < 0.7 else targeted(labels, targets, outputs)
    rows = rng.randint(1, 3)
    if rng.random() < 0.3:
        return halfspaces(weights(rng, rows, outputs, fan=outputs), weights(rng, rows))
    shared = rng.choice((1, batch))
    return Spec(weights(rng, shared, rows, outputs, fan=outputs), weights(rng, rng.choice((1, batch)), rows))


def example(
    rng: Random,
    *,
    makers: Sequence[Maker] = MAKERS,
    first: Maker | None = None,
    region: RegionMaker | None = None,
    batch: int = 2,
    size: int | None = None,
) -> Example:
    """A graph, a region of its inputs, and for half of them a specification."""
    drawn = graph(rng, makers=makers, first=first, size=size)
    make = rng.choice(REGIONS) if region is None else region
    over = make(rng, batch, drawn.input.shape)
    asked = spec(rng, batch, prod(drawn.output.shape)) if rng.random() < 0.5 else None
    return Example(drawn, over, asked)
