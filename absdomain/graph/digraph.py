"""A networkx digraph as nodes in topological order, and nodes as a digraph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import networkx

from absdomain.graph.ports import Ports
from absdomain.kinds import Op, Shape


@dataclass(frozen=True, eq=False)
class Node:
    """One operation, applied to the activations of the nodes at these places; the input has no op."""

    name: str
    op: Op | None
    args: tuple[int, ...]
    shape: Shape  # of the output, without the batch


def add(digraph: networkx.DiGraph[str], name: str, op: Op | None, shape: Shape, args: Sequence[str]) -> None:
    """Adds a node, and an edge from each of its arguments with the positions `args` at which it is read."""
    digraph.add_node(name, op=op, shape=shape)
    for source in dict.fromkeys(args):
        digraph.add_edge(source, name, args=tuple(i for i, arg in enumerate(args) if arg == source))


def drawn(nodes: Sequence[Node]) -> networkx.DiGraph[str]:
    """The digraph of nodes whose arguments come before them; ValueError where they do not, or two have one name."""
    digraph: networkx.DiGraph[str] = networkx.DiGraph()
    for place, node in enumerate(nodes):
        if node.name in digraph:
            raise ValueError(f"Graph: two nodes have the same name {node.name!r}; give each its own")
        if not all(0 <= a < place for a in node.args):
            raise ValueError(f"Graph: node {place} ({node.name!r}) reads {node.args}; arguments come before it")
        add(digraph, node.name, node.op, node.shape, [nodes[a].name for a in node.args])
    return digraph


def ordered(
    digraph: networkx.DiGraph[str], outputs: Sequence[str] | None, inputs: Sequence[str] | None
) -> tuple[list[Node], Ports, Ports]:
    """The nodes that the outputs need, in the topological order nearest to that in which they were added, and the
    inputs and outputs.

    One input comes first, and one output last. Errors: those of `Graph`.
    """
    if not isinstance(digraph, networkx.DiGraph) or digraph.is_multigraph():
        found = type(digraph).__name__
        raise TypeError(f"Graph: a networkx.DiGraph is needed, got a {found}; Graph.of takes a sequence of nodes")
    order = _order(digraph)
    ends = _outputs(digraph, order, outputs)
    needed = set(ends).union(*(networkx.ancestors(digraph, end) for end in ends))
    order = [name for name in order if name in needed]
    starts = _inputs(digraph, order, inputs)
    place = {name: i for i, name in enumerate(order)}
    nodes: list[Node] = []
    for name in order:
        args = tuple(place[source] for source in _arguments(digraph, name))
        op, given = (digraph.nodes[name].get(key) for key in ("op", "shape"))
        nodes.append(Node(name, op, args, _shape(name, op, [nodes[a].shape for a in args], given)))
    given = Ports(tuple((name, _shape(name, None, [], digraph.nodes[name].get("shape"))) for name in starts))
    return nodes, given, Ports(tuple((name, nodes[place[name]].shape) for name in ends))


def _order(digraph: networkx.DiGraph[str]) -> list[str]:
    added = {name: place for place, name in enumerate(digraph)}
    try:
        return list(networkx.lexicographical_topological_sort(digraph, key=added.__getitem__))
    except networkx.NetworkXUnfeasible:
        cycle = [start for start, _ in networkx.find_cycle(digraph)]
        raise ValueError(f"Graph: a cycle, {_list([*cycle, cycle[0]], ' -> ')}; unroll it") from None


def _outputs(digraph: networkx.DiGraph[str], order: list[str], named: Sequence[str] | None) -> list[str]:
    """The nodes that are named, or the one that nobody reads."""
    if named is not None:
        _known(digraph, named, "output")
        return list(named)
    ends = [name for name in order if digraph.out_degree(name) == 0]
    if not ends:
        raise ValueError("Graph: the digraph has no node; begin with the input, add_node('x', shape=...)")
    if len(ends) > 1:
        raise ValueError(
            f"Graph: one output is needed, but nobody reads {_list(ends)}; name the output as in "
            f"Graph(digraph, output={ends[-1]!r}), or several as in output={ends!r}, or remove the others"
        )
    return ends


def _known(digraph: networkx.DiGraph[str], names: Sequence[str], what: str) -> None:
    """Each is a node, and is named once."""
    if not names:
        raise ValueError(f"Graph: no {what} is named; name one or more nodes")
    for name in names:
        if name not in digraph:
            raise ValueError(f"Graph: the {what} is to be {name!r}, but no node is called so")
        if list(names).count(name) > 1:
            raise ValueError(f"Graph: the {what} {name!r} is named twice; name it once")


def _inputs(digraph: networkx.DiGraph[str], order: list[str], named: Sequence[str] | None) -> list[str]:
    """The nodes that have no op and read nothing, in the order in which they were added; all others have both."""
    for name in order:
        op, reads = digraph.nodes[name].get("op"), digraph.pred[name]
        if op is None and reads:
            raise ValueError(f"Graph: node {name!r}, which reads {_list(reads)}, needs an op")
        if op is not None and not isinstance(op, Op):
            raise ValueError(f"Graph: the op of node {name!r} is {op!r}; give one of absdomain.ops, or of your own")
        if op is not None and not reads:
            raise ValueError(f"Graph: node {name!r} ({type(op).__name__}) reads nothing; add edges from its arguments")
    sources = [name for name in digraph if name in order and not digraph.pred[name]]
    if named is None:
        return sources
    _known(digraph, named, "input")
    missing = [name for name in sources if name not in named]
    wrong = [name for name in named if digraph.pred[name] or digraph.nodes[name].get("op") is not None]
    if missing or wrong:
        told = f"{_list(missing)} has no op and reads nothing" if missing else f"{_list(wrong)} has an op"
        raise ValueError(f"Graph: the inputs are to be {_list(named)}, but {told}; name those without an op")
    return list(named)


def _arguments(digraph: networkx.DiGraph[str], name: str) -> list[str]:
    """The nodes that this one reads, by the position of the argument."""
    read: dict[int, str] = {}
    for source, edge in digraph.pred[name].items():
        positions = edge.get("args", (0,))
        if not isinstance(positions, tuple) or not positions:
            raise ValueError(
                f"Graph: the edge from {source!r} to {name!r} has args={positions!r}; give the tuple of positions at "
                f"which {name!r} reads {source!r}, as (0,)"
            )
        for position in positions:
            if position in read:
                both = _list([read[position], source], " and ")
                raise ValueError(f"Graph: {both} are argument {position} of node {name!r}; number its edges by `args`")
            read[position] = source
    missing = set(range(len(read))) - read.keys()
    if missing:
        raise ValueError(f"Graph: node {name!r} has arguments {sorted(read)}, but no argument {min(missing)}")
    return [read[position] for position in range(len(read))]


def _shape(name: str, op: Op | None, shapes: list[Shape], given: Shape | None) -> Shape:
    """The shape that follows from the op; one that is given must be the same."""
    if op is None:
        if given is None:
            raise ValueError(f"Graph: the input {name!r} needs a shape, that of one sample")
        return tuple(given)
    try:
        shape = tuple(op.shape(*shapes))
    except (IndexError, RuntimeError, TypeError, ValueError) as error:  # whatever an op says to what does not suit it
        told = _list(shapes, " and ")
        raise ValueError(f"Graph: node {name!r} ({type(op).__name__}) reads shapes {told}: {error}") from error
    if given is not None and tuple(given) != shape:
        raise ValueError(f"Graph: node {name!r} has shape {given}, but {type(op).__name__} makes {shape}; leave it out")
    return shape


def _list(names: Iterable[object], between: str = ", ") -> str:
    return between.join(map(repr, names))
