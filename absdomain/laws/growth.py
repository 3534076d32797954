"""Random graphs, grown op by op along points of the input, so that neurons can be put where they are undecided."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from random import Random

import torch
from torch import Tensor

from absdomain.graph import Graph, Node
from absdomain.kinds import Affine, Nonlinear, Op, Shape
from absdomain.laws import drawing
from absdomain.laws.activations import STEEP, product
from absdomain.laws.choices import apart, normal, uniform
from absdomain.laws.drawing import LARGEST, NONLINEAR, Maker, arguments, weights
from absdomain.linear import Bounds
from absdomain.ops import Add, Clamp, Concat, Dense, Max, Product, Reshape, Scale
from absdomain.region import Region


class Growth:
    """A graph under construction, and its activations at some points; all but dead branches leads to the newest."""

    def __init__(self, rng: Random, makers: Sequence[Maker], points: Tensor, box: Bounds) -> None:
        self.rng, self.makers = rng, makers
        self.nodes = [Node("x", None, (), tuple(points.shape[1:]))]
        self.values = [points]
        self.hulls = {0: box}  # interval bounds, (1, *shape), of the places where they were asked for

    @staticmethod
    def over(rng: Random, makers: Sequence[Maker], region: Region) -> Growth:
        """A graph of the input alone, along points of a region of several samples."""
        points, box = region.sample(8, torch.Generator().manual_seed(0)).flatten(0, 1), region.box()
        whole = Bounds(box.lower.amin(0, keepdim=True), box.upper.amax(0, keepdim=True))
        return Growth(rng, makers, points, whole)

    def add(self, op: Op, *args: int) -> int:
        """The place of a new node."""
        value, place = op(*(self.values[a] for a in args)), len(self.nodes)
        self.nodes.append(Node(f"{type(op).__name__.lower()}_{place}", op, args, tuple(value.shape[1:])))
        self.values.append(value)
        return place

    def hull(self, place: int) -> Bounds:
        """Interval bounds of a place."""
        if place not in self.hulls:
            op, args = self.nodes[place].op, self.nodes[place].args
            assert op is not None
            self.hulls[place] = interval(op, tuple(self.hull(a) for a in args))
        return self.hulls[place]

    def apply(self, make: Maker, place: int) -> int | None:
        """A new node by this maker on one place, or None where it does not suit."""
        arg = self.nodes[place].shape
        alike = [p for p, node in enumerate(self.nodes) if node.shape == arg]
        args = [place, *(self.rng.choice(alike) for _ in range(arguments(make) - 1))]  # x + x is one of them
        op = make(self.rng, arg)
        if op is None or prod(op.shape(*[arg] * len(args))) > LARGEST * 3:
            return None
        if make in STEEP:
            args[0] = self.add(Clamp(-2.0, 2.0), args[0])
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
        """One more op on this place; before a nonlinear one, often, a shift that leaves its entries undecided."""
        while True:
            apart(self.rng)
            make = self.rng.choice(self.makers)
            if make not in NONLINEAR:
                made = self.apply(make, place)
            elif isinstance(self.nodes[place].op, Nonlinear) and self.rng.random() < 0.8:
                made = None  # mostly settled: rarely
            else:
                made = self.apply(make, self.shifted(place) if self.rng.random() < 0.6 else place)
            if made is not None:
                return made

    def shifted(self, place: int) -> int:
        """The place less a level in each entry's range: undecided entries, dead ones, and barely alive or dead ones.

        The last are near an end of interval bounds, by a share of the width that is log-uniform: relaxations then have
        slopes that are log-uniform near 0 and near 1.
        """
        low, high = self.values[place].amin(0), self.values[place].amax(0)
        kind = self.rng.random()
        level = uniform(self.rng, *low.shape)
        if kind < 0.2:
            level = level.round()
        elif kind < 0.4 and bool(((hull := self.hull(place)).lower.isfinite() & hull.upper.isfinite()).all()):
            near = 10 ** (-9 * level)
            level = torch.where(uniform(self.rng, *low.shape) < 0.5, near, 1 - near)
            low, high = hull.lower[0], hull.upper[0]
        return self.add(Scale(None, 0.0 - torch.lerp(low, high, level)), place)

    def fork(self, place: int) -> int:
        """Two branches that start here, or the second at any earlier node, and meet again."""
        left = self.step(place)
        start = place if self.rng.random() < 0.7 else self.rng.randrange(len(self.nodes))
        right = self.step(start) if self.rng.random() < 0.6 else start
        return self.join(left, right)

    def join(self, left: int, right: int) -> int:
        """A sum where the shapes allow it, at times a gate (a product), else a concatenation."""
        one, other = self.nodes[left].shape, self.nodes[right].shape
        if one == other and product in self.makers and self.rng.random() < 0.15:
            return self.add(Product(), left, right)
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

    def grown(self, first: Maker | None, size: int) -> Graph | None:
        """A graph of about `size` ops, one of them by `first`; None where `first` does not suit."""
        place = self.step(0) if first is None or self.rng.random() < 0.5 else 0
        made = place if first is None else self.apply(first, place)
        if made is None:
            return None
        forks = self.rng.random() < 0.77
        while len(self.nodes) <= size:
            made = self.fork(made) if forks and self.rng.random() < 0.4 else self.step(made)
        return Graph.of(self.nodes)


def interval(op: Op, args: tuple[Bounds, ...]) -> Bounds:
    """Interval bounds of an op over boxes."""
    match op:
        case Affine():
            return op.image(*args)
        case Nonlinear():
            return op.image(args)
    raise TypeError(f"{type(op).__name__} is neither Affine nor Nonlinear (absdomain.kinds)")


def _without(i: int, shape: Shape) -> Shape:
    return shape[:i] + shape[i + 1 :]


def branching(graph: Graph) -> bool:
    """Whether an activation is read twice."""
    read = [a for node in graph.nodes for a in node.args]
    return len(set(read)) < len(read)
