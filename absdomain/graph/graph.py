"""A network as a directed acyclic graph of operations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import networkx
from torch import Tensor

from absdomain.errors import check_type
from absdomain.graph.digraph import Node, drawn, ordered
from absdomain.graph.drawing import draw, table
from absdomain.graph.joining import fresh, from_one, into_one
from absdomain.graph.ports import Ports
from absdomain.kinds import Op

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Step:
    """Node number `place`: apply `op` to `args`; after it, no later step reads the activations at `dead`."""

    place: int
    op: Op
    args: tuple[int, ...]
    dead: tuple[int, ...]


class Graph:
    """x -> the output's activation: a frozen view of a networkx digraph, all of whose nodes the output needs.

    A node of the digraph has `op` (an input has none) and `shape`, without the batch; where that is left out, it
    follows from the op. An edge has `args`, the positions at which its end reads its start, (0,) where it has none.
    Here `nodes` are in topological order, the input first and the output last, and refer to each other by place.

    What was given with several inputs has one here, the vector of their entries, of which each named input reads its
    window; several outputs are joined into one vector in the same way. `joined`, `parted` and `named` go between the
    two; `inputs` and `outputs` are the names.
    """

    nodes: tuple[Node, ...]
    schedule: tuple[Step, ...]
    given: Ports  # what the network reads
    gives: Ports  # what it makes

    def __init__(
        self,
        digraph: networkx.DiGraph[str],
        output: str | Sequence[str] | None = None,
        *,
        inputs: Sequence[str] | None = None,
    ) -> None:
        """Reads a copy of the digraph up to `output`, or to several; without it, up to the one node that nobody reads.

        Nodes that are added in an order of evaluation keep it. `inputs` names the nodes without op in the order in
        which they are joined, also those that no output needs; by default those that one needs, as they were added.

        Raises ValueError, with the node's name, for a cycle, no input, two outputs of which none is named, a node
        without op that reads, an argument that is missing or there twice, and a shape that is not its op's.
        """
        nodes, self.given, self.gives = ordered(digraph, [output] if isinstance(output, str) else output, inputs)
        self.nodes = tuple(into_one(from_one(nodes, self.given), self.outputs))
        self.schedule = _schedule(self.nodes)

    @staticmethod
    def of(nodes: Sequence[Node]) -> Graph:
        """x -> the last node's activation, with the nodes that it needs alone; each one's arguments come before it."""
        return Graph(drawn(nodes), nodes[-1].name if nodes else None)

    @staticmethod
    def _made(
        nodes: Sequence[Node],
        given: Ports | None = None,
        gives: Ports | None = None,
        schedule: tuple[Step, ...] | None = None,
    ) -> Graph:
        """The graph of nodes that are known to be in order and needed, and of their schedule where it is known too."""
        graph = Graph.__new__(Graph)
        graph.nodes = tuple(nodes)
        graph.schedule = _schedule(graph.nodes) if schedule is None else schedule
        graph.given = given or Ports(((graph.input.name, graph.input.shape),))
        graph.gives = gives or Ports(((graph.output.name, graph.output.shape),))
        return graph

    @cached_property
    def nx(self) -> networkx.DiGraph[str]:
        """The graph as a networkx digraph, which is frozen: `networkx.DiGraph(graph.nx)` is a copy to work on."""
        return networkx.freeze(drawn(self.nodes))

    @property
    def input(self) -> Node:
        """The node whose activation is the graph's argument."""
        return self.nodes[0]

    @property
    def output(self) -> Node:
        """The node whose activation is the graph's value."""
        return self.nodes[-1]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what the network was given, in the order in which they are joined."""
        return self.given.names

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what it gives, in the order in which they are joined."""
        return self.gives.names

    def joined(self, values: Mapping[str, Tensor]) -> Tensor:
        """The graph's argument, from a tensor (..., *shape) for each name of `inputs`: of several (..., n)."""
        return self.given.joined(values)

    def parted(self, x: Tensor) -> dict[str, Tensor]:
        """{ name -> its part of the graph's argument }: the inverse of `joined`."""
        return self.given.parted(x)

    def named(self, value: Tensor) -> dict[str, Tensor]:
        """{ name -> its part of the graph's value }, for each name of `outputs`."""
        return self.gives.parted(value)

    def ending_at(self, names: Sequence[str]) -> Graph:
        """The graph, from the same inputs, whose outputs are these nodes: inputs and hidden ones too, joined.

        Errors: ValueError for a name that no node of `nx` has, or that is there twice.
        """
        nodes, _, gives = ordered(self.nx, names, [self.input.name])
        return Graph._made(into_one(nodes, gives.names), self.given, gives)

    def with_ports(self, given: Ports, gives: Ports) -> Graph:
        """The same function, what it reads and makes going by these names; ValueError where their shapes are others."""
        if (given.shape, gives.shape) != (self.input.shape, self.output.shape):
            raise ValueError(f"with_ports: {given.shape} -> {gives.shape} are the names' shapes, of {self}")
        return Graph._made(self.nodes, given, gives)

    def __call__(self, x: Tensor) -> Tensor:
        """The value at x, (B, *input shape) -> (B, *output shape)."""
        check_type("Graph", x, Tensor, "give a batch (B, *input shape)")
        values: list[Tensor | None] = [x] + [None] * len(self.schedule)
        for step in self.schedule:
            values[step.place] = step.op(*(values[a] for a in step.args))  # type: ignore[arg-type]
            for place in step.dead:
                values[place] = None
        value = values[-1]
        assert value is not None
        return value

    def then(self, op: Op, name: str | None = None) -> Graph:
        """x -> op(self(x)), the op's node being called `name`."""
        last = len(self.nodes) - 1
        stem = name or type(op).__name__.lower()
        taken = {node.name for node in self.nodes}
        node = Node(fresh(stem, taken | ({stem} if name is None else set())), op, (last,), op.shape(self.output.shape))
        return Graph._made((*self.nodes, node), self.given)

    def ending_in(self, op: Op) -> Graph:
        """The graph with another last operation on the same arguments; its node keeps its name."""
        shapes = [self.nodes[a].shape for a in self.output.args]
        last = replace(self.output, op=op, shape=op.shape(*shapes))
        steps = (*self.schedule[:-1], replace(self.schedule[-1], op=op))
        return Graph._made((*self.nodes[:-1], last), self.given, schedule=steps)

    def with_ops(self, ops: Mapping[str, Op]) -> Graph:
        """The graph with these operations at the nodes of these names, on the same arguments; the shapes follow."""
        unknown = ops.keys() - {node.name for node in self.nodes[1:]}
        if unknown:
            raise ValueError(f"with_ops: no node with an op is called {', '.join(map(repr, sorted(unknown)))}")
        nodes = [self.input]
        for node in self.nodes[1:]:
            op, shapes = ops.get(node.name, node.op), [nodes[a].shape for a in node.args]
            kept = op is node.op and shapes == [self.nodes[a].shape for a in node.args]
            nodes.append(node if kept or op is None else replace(node, op=op, shape=op.shape(*shapes)))
        return Graph._made(nodes, self.given, self.gives if nodes[-1].shape == self.output.shape else None)

    def subgraph(self, start: str | None = None, end: str | None = None) -> Graph:
        """x -> the activation of node `end` where that of node `start` is x; by default the output and the input.

        Raises ValueError where `end` reads something that does not come through `start`, and says what does.
        """
        first = self.input.name if start is None else start
        last = self.output.name if end is None else end
        for name in (first, last):
            if name not in self.nx:
                raise ValueError(f"subgraph: no node is called {name!r}; names are those of graph.nx")
        needed = networkx.ancestors(self.nx, last) | {last}
        if first not in needed:
            raise ValueError(f"subgraph: {last!r} does not depend on {first!r}; name a node before it")
        if first == self.input.name:
            part = self._part(needed)
            return part.with_ports(self.given, self.gives if end is None else part.gives)
        part = needed & (networkx.descendants(self.nx, first) | {first})
        around = [edge for edge in self.nx.in_edges(part - {first}) if edge[0] not in part]
        if around:
            source, reader = min(around)
            raise ValueError(
                f"subgraph: {reader!r} reads {source!r}, which does not come through {first!r}; all that {last!r} "
                f"needs comes through {self._dominator(first, last)!r}, start there"
            )
        return self._part(part)

    def _dominator(self, first: str, last: str) -> str:
        """The last node before `first` that is on every path from the input to `last`."""
        above, before = networkx.immediate_dominators(self.nx, self.input.name), networkx.ancestors(self.nx, first)
        while last not in before:
            last = above[last]
        return last

    def _part(self, names: Collection[str]) -> Graph:
        """The nodes of these names; the first of them, before which the others need nothing, becomes the input."""
        kept = [place for place, node in enumerate(self.nodes) if node.name in names]
        moved = {old: new for new, old in enumerate(kept)}
        start, *rest = (self.nodes[old] for old in kept)
        others = (replace(node, args=tuple(moved[a] for a in node.args)) for node in rest)
        return Graph._made([replace(start, op=None, args=()), *others])

    def draw(self, path: str | Path | None = None) -> Figure:
        """A matplotlib Figure of the operations, layer by layer from left to right.

        With a path it is written, too; the suffix says as what, .svg or .png.

        Errors: ImportError without matplotlib; WriteError where the file cannot be written or is none of ours.
        """
        return draw(self.nx, path)

    def __reduce__(self) -> tuple[Callable[..., Graph], tuple[tuple[Node, ...], Ports, Ports]]:
        return Graph._made, (self.nodes, self.given, self.gives)

    def __str__(self) -> str:
        """A table of the nodes: name, operation, shape, entries of its tensors, and what it reads."""
        return table(self.nodes)

    def __repr__(self) -> str:
        return f"Graph({len(self.schedule)} ops, {self.input.shape} -> {self.output.shape})"


def _schedule(nodes: tuple[Node, ...]) -> tuple[Step, ...]:
    last_reader = {a: place for place, node in enumerate(nodes) for a in node.args}
    steps = []
    for place, node in enumerate(nodes):
        if node.op is not None:
            dead = tuple(a for a in dict.fromkeys(node.args) if last_reader[a] == place)
            steps.append(Step(place, node.op, node.args, dead))
    return tuple(steps)
