"""Latent stages: the first layers stay as they are, and the rest is trained over the boxes of their values.

Balunovic and Vechev 2020, "Adversarial Training and Provable Defenses: Bridging the Gap", with boxes in the
place of zonotopes; AdvIBP's released code ends with such stages.
"""

from __future__ import annotations

from dataclasses import dataclass

import networkx
import torch
from torch import Tensor, nn

from absdomain.domains import Box
from absdomain.graph import Graph
from absdomain.kinds import Nonlinear
from absdomain.region import Interval, Region


def cuts(graph: Graph) -> list[str]:
    """The nonlinear nodes through which all of the network goes, from the input on, but for its output."""
    above = networkx.immediate_dominators(graph.nx, graph.input.name)
    ops = {node.name: node.op for node in graph.nodes}
    path, name = list[str](), graph.output.name
    while above.get(name, name) not in (None, name):
        name = above[name]
        path.append(name)
    return [name for name in reversed(path) if isinstance(ops[name], Nonlinear)]


@dataclass(frozen=True, eq=False)
class Latent:
    """f = g(h(x)), h being all up to the node `cut`: h is frozen, and g trained over a box that holds h(region)."""

    cut: str
    still: frozenset[nn.Parameter]  # those of h

    @staticmethod
    def at(graph: Graph, cut: str, example: Tensor, parameters: list[nn.Parameter]) -> Latent:
        """The stage after the node `cut`; the parameters of h are those that its values depend on."""
        with torch.enable_grad():
            value = graph.subgraph(end=cut)(example[:1]).sum()
        found = torch.autograd.grad(value, parameters, allow_unused=True)
        return Latent(cut, frozenset(p for p, g in zip(parameters, found, strict=True) if g is not None))

    def over(self, graph: Graph, region: Region) -> tuple[Graph, Interval]:
        """(g, the interval bounds of h over the region)."""
        with torch.no_grad():
            box = Box().propagate(graph.subgraph(end=self.cut), region)
            return graph.subgraph(start=self.cut), Interval(box.lower, box.upper)
