"""From one operation to a graph: propagate composes transfers just as the graph composes operations.

The shipped `Domain.propagate` and `Graph.__call__` run in the free algebra, where an element is the term that made it.
Terms are equal only if they are built alike, so that equal terms mean equal values under every reading of the letters;
read as sets, with the domain's lemma for each letter, graph(x) lies in gamma(output) for every x of the region. The
step is the same for every node, so that the induction over the schedule needs the graphs of few nodes alone: all of
them are run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from absdomain.domain import Domain, Trace, Traits
from absdomain.graph import Graph, Node
from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine, Nonlinear, Op, Shape, Slopes
from absdomain.linear import Bounds, Ends
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import TERMS, Check, Lemma, Twin
from absdomain.region import Interval, Region

Term = tuple[Any, ...]
_OPS = 3  # nodes of the graphs that are enumerated


class Symbol(Tensor):
    """The input's term: a tensor, as graphs are given, that is equal to itself alone."""

    def __eq__(self, other: object) -> Any:
        return self is other

    __hash__ = Tensor.__hash__


X = Symbol()


@dataclass(frozen=True, eq=False)
class Letter(Affine):
    """An affine op as a letter: its value is the term."""

    name: str = ""

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        raise NotImplementedError("a letter has no matrix")

    def shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def __call__(self, *xs: Any) -> Any:
        return (self.name, *xs)


@dataclass(frozen=True, eq=False)
class Glyph(Nonlinear):
    """A nonlinear op as a letter."""

    name: str = ""

    def shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def __call__(self, *xs: Any) -> Any:
        return (self.name, *xs)

    def _nothing(self, *_: Any) -> Any:
        raise NotImplementedError("a letter has no band")

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return self._nothing()

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return self._nothing()

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        return self._nothing()


@dataclass(frozen=True)
class Terms(Domain[Term]):
    """The domain whose element is the term of what it stands for."""

    def lift(self, region: Region) -> Any:
        return X

    def affine(self, op: Affine, *args: Any) -> Any:
        return op(*args)

    def relax(self, op: Nonlinear, args: tuple[Any, ...], boxes: tuple[Bounds, ...] | None) -> Any:
        return op(*args)

    def bounds(self, e: Any, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        raise NotImplementedError("a term has no bounds")


def graphs(ops: int) -> Iterator[Graph]:
    """Every graph of so many nodes, of one or two arguments each, with ops of both kinds."""
    choices = []
    for place in range(1, ops + 1):
        args = [(a,) for a in range(place)] + [(a, b) for a in range(place) for b in range(place)]
        choices.append([(make, arg) for make in (Letter, Glyph) for arg in args])
    for chosen in product(*choices):
        nodes = [Node("input", None, (), (1,))]
        nodes += [Node(f"f{i}", make(name=f"f{i}"), args, (1,)) for i, (make, args) in enumerate(chosen)]
        yield Graph.of(nodes)


def homomorphic(run: Callable[[Graph, Region], Trace[Term]]) -> Check:
    """The element of the output is the term that evaluating the graph makes, and a kept trace has every node's."""

    def check(world: World) -> None:
        region = Interval(torch.zeros(1, 1), torch.zeros(1, 1))
        for graph in (graph for ops in range(1, _OPS + 1) for graph in graphs(ops)):
            world.check(run(graph, region).output == graph(X), f"{graph.nodes}: another term than the graph's")

    return check


def told_apart(world: World) -> None:
    """Transfer sends an affine op to `affine` and a nonlinear one to `relax`, with the arguments in their order."""
    domain, given = Terms(), ("x", "y")
    ops: tuple[Op, ...] = (Letter(name="f"), Glyph(name="g"))
    for op, name in zip(ops, ("f", "g"), strict=True):
        world.check(domain.transfer(op, *given) == (name, *given), f"transfer of {name}")  # type: ignore[arg-type]


def kept_and_promised(world: World) -> None:
    """A trace keeps every node's element just where that is asked; its promise is the weaker of the two."""
    region, weak = Interval(torch.zeros(1, 1), torch.zeros(1, 1)), _Weak(torch.zeros(1, 1), torch.zeros(1, 1))
    for graph in graphs(2):
        kept = Terms().propagate(graph, region, keep=True)
        whole: list[Any] = [X]
        for node in graph.nodes[1:]:
            whole.append(node.op(*(whole[a] for a in node.args)))  # type: ignore[misc]
        world.check(kept._elements == whole, f"{graph.nodes}: the elements that are kept")
        dead = {a for node in graph.nodes for a in node.args}
        left = [None if place in dead else e for place, e in enumerate(whole)]
        world.check(Terms().propagate(graph, region)._elements == left, "nothing that was read is kept unasked")
        world.check(kept.guarantee is Guarantee.SOUND, "a sound domain over a sound region")
        world.check(Terms().propagate(graph, weak).guarantee is Guarantee.HEURISTIC, "over a region that is not")
        world.check(_Hopeful().propagate(graph, region).guarantee is Guarantee.STATISTICAL, "of a domain that is not")


class _Weak(Interval):
    @property
    def whole(self) -> Region:
        return Interval(self.lower, self.upper + 1)


class _Hopeful(Terms):
    traits = Traits(Guarantee.STATISTICAL)


def forgetful(graph: Graph, region: Region) -> Trace[Term]:
    """The twin: a run that gives a node's first argument twice."""

    class Backwards(Terms):
        def affine(self, op: Affine, *args: Any) -> Any:
            return super().affine(op, *args[:1] * len(args))

        def relax(self, op: Nonlinear, args: tuple[Any, ...], boxes: tuple[Bounds, ...] | None) -> Any:
            return super().relax(op, args[:1] * len(args), boxes)

    return Backwards().propagate(graph, region)


LEMMAS = (
    Lemma(
        "composition",
        "the element that propagate computes at every node is made by the same operations, in the same order and from "
        "the same arguments, as the node's value: op(gamma(e)) <= gamma(transfer(op, e)) at every step gives "
        "graph(x) in gamma(output) for every x of the region, by induction over the schedule",
        (Domain.propagate, Domain.transfer, Graph.__call__),
        (
            homomorphic(lambda graph, region: Terms().propagate(graph, region)),
            homomorphic(lambda graph, region: Terms().propagate(graph, region, keep=True)),
            told_apart,
            kept_and_promised,
        ),
        (Twin("a node's first argument is given twice", homomorphic(forgetful), {}),),
        TERMS,
        "the domain's lemma at every step; all graphs of up to three nodes stand for all, the step being the same",
        leaves="graphs of four nodes and more, but by the induction; specs (the lemma `elision`)",
    ),
)
