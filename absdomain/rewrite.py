"""Graph -> Graph identities: the same function in fewer operations."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from torch import Tensor

from absdomain.graph import Graph, Node


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


def unshifted(graph: Graph, C: Tensor) -> Graph:
    """The graph, less last ops that add one number to all its entries, where C x stays what it is: C 1 = 0.

    So differences of log softmax are those of its logits, which are bounded without it. Both are (*, K, n) and (n,).
    """
    seen = graph
    while (op := seen.output.op) is not None and op.shifts and len(set(seen.output.args)) == 1:
        if len(seen.output.shape) != 1 or not bool((C.sum(-1) == 0).all()):
            break
        seen = seen.up_to(seen.output.args[0])
    return seen
