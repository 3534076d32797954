"""max |A r|_inf over |r|_inf <= 1: how far each layer of a network can carry a perturbation."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from absdomain.graph.digraph import Node
from absdomain.graph.graph import Graph
from absdomain.kinds import Affine


def weighted(graph: Graph) -> Iterator[tuple[Node, Affine, Tensor]]:
    """The layers with weights in order: node, operation, its weight."""
    for node in graph.nodes:
        if isinstance(node.op, Affine) and node.op.weight is not None:
            yield node, node.op, node.op.weight


def induced_norms(graph: Graph) -> dict[str, float]:
    """{ layer -> max |A r|_inf over |r|_inf <= 1 }, the norm induced by l_inf: the greatest row sum of |A|.

    A is the layer's whole linear map, with its padding and strides: a kernel that nowhere lies inside the image counts
    with what lies inside. The norm of CROWN-IBP's figure 2 (Zhang et al. 2020).
    """
    found = {}
    with torch.no_grad():
        for node, op, weight in weighted(graph):
            ones = [weight.new_ones(1, *graph.nodes[arg].shape) for arg in node.args]
            found[node.name] = op.modulus(*ones).max().item()
    return found
