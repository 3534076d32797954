"""A small network by hand."""

import networkx
import torch

from absdomain import Graph
from absdomain.ops import Dense, ReLU

DTYPES = (torch.float32, torch.float64)


def network(dtype: torch.dtype = torch.float32, seed: int = 0) -> Graph:
    """2 -> 4 -> 3, the nodes being x, hidden, relu and y."""
    draw = torch.Generator().manual_seed(seed)
    digraph: networkx.DiGraph[str] = networkx.DiGraph()
    digraph.add_node("x", shape=(2,))
    for name, inputs, outputs in (("hidden", 2, 4), ("y", 4, 3)):
        weight, bias = (
            torch.randn(shape, generator=draw, dtype=dtype) for shape in ((1, outputs, inputs), (1, outputs))
        )
        digraph.add_node(name, op=Dense(weight, bias))
    digraph.add_node("relu", op=ReLU())
    digraph.add_edges_from([("x", "hidden"), ("hidden", "relu"), ("relu", "y")])
    return Graph(digraph)
