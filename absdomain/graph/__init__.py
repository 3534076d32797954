"""A network as a graph of operations, and graphs that compute the same."""

from absdomain.graph.digraph import Node
from absdomain.graph.graph import Graph, Step
from absdomain.graph.ports import Ports
from absdomain.graph.rewrite import freeze, fuse

__all__ = [
    "Graph",
    "Node",
    "Ports",
    "Step",
    "freeze",
    "fuse",
]
