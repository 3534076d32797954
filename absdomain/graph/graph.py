"""A network as a directed acyclic graph of operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from absdomain.kinds import Op, Shape
from absdomain.runtime.precision import no_autocast

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True, eq=False)
class Node:
    """One operation, applied to the activations of the nodes at these places; the input has no op."""

    name: str
    op: Op | None
    args: tuple[int, ...]
    shape: Shape  # of the output, without the batch


@dataclass(frozen=True, eq=False)
class Step:
    """Node number `place`: apply `op` to `args`; after it, no later step reads the activations at `dead`."""

    place: int
    op: Op
    args: tuple[int, ...]
    dead: tuple[int, ...]


class Graph:
    """x -> the last node's activation: a frozen sequence of nodes in topological order, the input first.

    Node k's arguments come before it. `nx` is the same as a networkx digraph, and `from_nx` reads one back.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        if not nodes or nodes[0].op is not None:
            raise ValueError("Graph: the first node is the input and has no op")
        for place, node in enumerate(nodes[1:], 1):
            if node.op is None or not node.args or not all(0 <= a < place for a in node.args):
                raise ValueError(f"Graph: node {place} ({node.name!r}) needs an op and arguments that come before it")
        if len({node.name for node in nodes}) < len(nodes):
            raise ValueError("Graph: two nodes have the same name")
        self.nodes = tuple(nodes)
        self.schedule = _schedule(self.nodes)

    @property
    def input(self) -> Node:
        """The node whose activation is the graph's argument."""
        return self.nodes[0]

    @property
    def output(self) -> Node:
        """The node whose activation is the graph's value."""
        return self.nodes[-1]

    def __call__(self, x: Tensor) -> Tensor:
        """The value at x, (B, *input shape) -> (B, *output shape)."""
        values: list[Tensor | None] = [x] + [None] * len(self.schedule)
        for step in self.schedule:
            values[step.place] = step.op(*(values[a] for a in step.args))  # type: ignore[arg-type]
            for place in step.dead:
                values[place] = None
        value = values[-1]
        assert value is not None
        return value

    def first_infinite(self, x: Tensor) -> Node | None:
        """The first node with a NaN or an infinity at x, (B, *input shape); None: every activation is finite."""
        values = [x]
        for step in self.schedule:
            values.append(step.op(*(values[a] for a in step.args)))
            if not bool(values[-1].isfinite().all()):
                return self.nodes[step.place]
        return None

    def then(self, op: Op, name: str | None = None) -> Graph:
        """x -> op(self(x)), the op's node being called `name`."""
        last = len(self.nodes) - 1
        stem = name or type(op).__name__.lower()
        taken = name is None or any(node.name == name for node in self.nodes)
        node = Node(self._fresh(stem) if taken else stem, op, (last,), op.shape(self.output.shape))
        return Graph((*self.nodes, node))

    def up_to(self, place: int) -> Graph:
        """x -> the activation of node number `place`, with the input and the nodes that it depends on alone."""
        used = ancestors(self.nodes, place)
        moved = {old: new for new, old in enumerate(used)}
        kept = (self.nodes[old] for old in used)
        return Graph([replace(node, args=tuple(moved[a] for a in node.args)) for node in kept])

    def ending_in(self, op: Op) -> Graph:
        """The graph with another last operation on the same arguments; its node keeps its name."""
        shapes = [self.nodes[a].shape for a in self.output.args]
        return Graph((*self.nodes[:-1], replace(self.output, op=op, shape=op.shape(*shapes))))

    def freeze(self) -> Graph:
        """The same function of detached copies of all weights, with |weights| ready and batch norm folded away.

        For certification: later changes of the module do not reach it. A folded node's name is gone (`fuse`).
        """
        with torch.no_grad(), no_autocast():
            fused = fuse(self)
            return Graph([node if node.op is None else replace(node, op=node.op.freeze()) for node in fused.nodes])

    @property
    def nx(self) -> networkx.DiGraph[str]:
        """The graph as a networkx digraph: a node's `op` and `shape`, an edge's argument positions `args`."""
        import networkx

        graph: networkx.DiGraph[str] = networkx.DiGraph()
        for node in self.nodes:
            graph.add_node(node.name, op=node.op, shape=node.shape)
        for node in self.nodes:
            for source in dict.fromkeys(node.args):
                positions = tuple(i for i, a in enumerate(node.args) if a == source)
                graph.add_edge(self.nodes[source].name, node.name, args=positions)
        return graph

    @staticmethod
    def from_nx(graph: networkx.DiGraph[str]) -> Graph:
        """The graph of a digraph as `nx` gives it: one node without op, the input, and one without successors."""
        import networkx

        ends = [name for name in graph if graph.out_degree(name) == 0]
        if len(ends) != 1:
            raise ValueError(f"Graph.from_nx: one output is needed, found {sorted(map(str, ends))}")
        order = [name for name in networkx.topological_sort(graph) if name != ends[0]] + ends
        place = {name: i for i, name in enumerate(order)}
        nodes = []
        for name in order:
            slots = {i: place[p] for p in graph.predecessors(name) for i in graph.edges[p, name]["args"]}
            args = tuple(slots[i] for i in sorted(slots))
            nodes.append(Node(name, graph.nodes[name]["op"], args, graph.nodes[name]["shape"]))
        return Graph(nodes)

    def __reduce__(self) -> tuple[type[Graph], tuple[tuple[Node, ...]]]:
        return Graph, (self.nodes,)

    def _fresh(self, stem: str) -> str:
        names = {node.name for node in self.nodes}
        count = 1
        while f"{stem}_{count}" in names:
            count += 1
        return f"{stem}_{count}"

    def __repr__(self) -> str:
        return f"Graph({len(self.schedule)} ops, {self.input.shape} -> {self.output.shape})"


def fuse(graph: Graph) -> Graph:
    """x -> graph(x), with every affine op merged into the one before it where that is one op again (`Op.after`).

    Dense after Dense, and batch norm or a scaling per channel after Dense or a convolution. Bounds can only become
    tighter: an interval is not taken between the two. The merged node has the later name; the earlier one is gone, so
    an op whose activation somebody else reads is left alone. The weights are copies of the present ones.
    """
    readers = Counter(a for node in graph.nodes for a in node.args)
    nodes: list[Node | None] = []
    for node in graph.nodes:
        nodes.append(node)
        if node.op is None or len(node.args) != 1 or readers[node.args[0]] != 1:
            continue
        previous = nodes[node.args[0]]
        merged = None if previous is None or previous.op is None else node.op.after(previous.op)
        if merged is not None and previous is not None:
            nodes[-1], nodes[node.args[0]] = replace(node, op=merged, args=previous.args), None
    place = {old: new for new, old in enumerate(i for i, node in enumerate(nodes) if node is not None)}
    return Graph([replace(n, args=tuple(place[a] for a in n.args)) for n in nodes if n is not None])


def ancestors(nodes: Sequence[Node], place: int) -> list[int]:
    """The places that node `place` depends on and itself, ascending; the input is always among them."""
    needed = {0, place}
    for current in range(place, 0, -1):
        if current in needed:
            needed.update(nodes[current].args)
    return sorted(needed)


def _schedule(nodes: tuple[Node, ...]) -> tuple[Step, ...]:
    last_reader = {a: place for place, node in enumerate(nodes) for a in node.args}
    steps = []
    for place, node in enumerate(nodes):
        if node.op is not None:
            dead = tuple(a for a in dict.fromkeys(node.args) if last_reader[a] == place)
            steps.append(Step(place, node.op, node.args, dead))
    return tuple(steps)
