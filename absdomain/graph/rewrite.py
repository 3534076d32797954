"""Graph -> Graph identities: the same function in fewer operations, or of weights of its own."""

from __future__ import annotations

import networkx
import torch
from torch import Tensor

from absdomain.errors import check_type
from absdomain.graph.graph import Graph
from absdomain.runtime.precision import no_autocast


def freeze(graph: Graph) -> Graph:
    """The same function of detached copies of all weights, with |weights| ready and batch norm folded away.

    For certification: later changes of the module do not reach it. A folded node's name is gone (`fuse`).
    """
    check_type("freeze", graph, Graph, "lower a module first: absdomain.to_graph(module, example)")
    with torch.no_grad(), no_autocast():
        fused = fuse(graph)
        return fused.with_ops({node.name: node.op.freeze() for node in fused.nodes if node.op is not None})


def fuse(graph: Graph) -> Graph:
    """x -> graph(x), with every affine op merged into the one before it where that is one op again (`Op.after`).

    Dense after Dense, and batch norm or a scaling per channel after Dense or a convolution. Bounds can only become
    tighter: an interval is not taken between the two. The merged node has the later name; the earlier one is gone, so
    an op whose activation somebody else reads is left alone. The weights are copies of the present ones.
    """
    fused = networkx.DiGraph(graph.nx)
    for name in graph.nx:
        above = list(fused.pred[name])
        if len(above) != 1 or fused.out_degree(above[0]) != 1 or fused.edges[above[0], name]["args"] != (0,):
            continue
        first, second = (fused.nodes[node]["op"] for node in (above[0], name))
        merged = None if first is None else second.after(first)
        if merged is not None:
            fused.nodes[name]["op"] = merged
            fused.add_edges_from((source, name, edge) for source, edge in fused.pred[above[0]].items())
            fused.remove_node(above[0])
    return Graph(fused).with_ports(graph.given, graph.gives)


def unshifted(graph: Graph, C: Tensor) -> Graph:
    """The graph, less last ops that add one number to all its entries, where C x stays what it is: C 1 = 0.

    So differences of log softmax are those of its logits, which are bounded without it. Both are (*, K, n) and (n,).
    """
    seen = graph
    while (op := seen.output.op) is not None and op.shifts and len(set(seen.output.args)) == 1:
        if len(seen.output.shape) != 1 or not bool((C.sum(-1) == 0).all()):
            break
        seen = seen.subgraph(end=seen.nodes[seen.output.args[0]].name)
    return seen
