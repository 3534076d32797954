"""A network as a graph of operations, and graphs that compute the same."""

from absdomain.graph.graph import Graph, Node, Step

__all__ = [
    "Graph",
    "Node",
    "Step",
]
