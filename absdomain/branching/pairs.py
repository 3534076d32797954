"""Maxima as kinks of one variable each: max(a, b) = b + relu(a - b), pair by pair."""

from __future__ import annotations

import networkx
import torch

from absdomain.graph import Graph
from absdomain.graph.digraph import add
from absdomain.kinds import Shape
from absdomain.ops import Add, Concat, Gather, Max, ReLU, Reshape, Scale


def pairwise(graph: Graph) -> Graph:
    """The same function with every maximum over an axis taken in rounds of pairs, which decisions can settle.

    Boxes of its entries, however they are cut, leave a maximum undecided where two of them are near to each other.
    """
    if not any(isinstance(step.op, Max) for step in graph.schedule):
        return graph
    fresh: networkx.DiGraph[str] = networkx.DiGraph()
    for node in graph.nodes:
        reads = [graph.nodes[a].name for a in node.args]
        if isinstance(node.op, Max):
            _rounds(fresh, node.name, reads[0], graph.nodes[node.args[0]].shape, node.op.axis)
        elif node.op is None:
            fresh.add_node(node.name, shape=node.shape)
        else:
            add(fresh, node.name, node.op, node.shape, reads)
    return Graph(fresh, graph.output.name)


def _rounds(fresh: networkx.DiGraph[str], name: str, source: str, shape: Shape, axis: int) -> None:
    """Nodes for the maximum over an axis of the node `source`; the last one has the name."""
    places = torch.arange(torch.Size(shape).numel()).view(shape).movedim(axis, 0)
    rest, read = tuple(places.shape[1:]), places
    current, count, turn = source, places.shape[0], 0
    while count > 1:
        half, stem, wide = count // 2, f"{name}/max{turn}", (count // 2, *rest)
        for part, index in (("a", read[:half]), ("b", read[half : 2 * half])):
            add(fresh, f"{stem}{part}", Gather(index.contiguous()), wide, [current])
        add(fresh, f"{stem}-b", Scale(torch.tensor(-1.0, dtype=torch.float64), None), wide, [f"{stem}b"])
        add(fresh, f"{stem}a-b", Add(), wide, [f"{stem}a", f"{stem}-b"])
        add(fresh, f"{stem}relu", ReLU(), wide, [f"{stem}a-b"])
        add(fresh, stem, Add(), wide, [f"{stem}b", f"{stem}relu"])
        if count % 2:
            add(fresh, f"{stem}left", Gather(read[2 * half :].contiguous()), (1, *rest), [current])
            add(fresh, f"{stem}all", Concat(1), (half + 1, *rest), [stem, f"{stem}left"])
        current, count, turn = f"{stem}all" if count % 2 else stem, half + count % 2, turn + 1
        read = torch.arange(count * torch.Size(rest).numel()).view(count, *rest)
    add(fresh, name, Reshape(rest), rest, [current])
