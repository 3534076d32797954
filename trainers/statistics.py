"""Batch norm in training: a lowered graph that normalises by the statistics of the batch that the network has seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from absdomain.graph import Graph
from absdomain.ops import BatchNorm

Norm = nn.Module
Seen = dict[Norm, list[tuple[Tensor, Tensor]]]  # (mean, biased variance), both (C,), of each call of a batch norm


@dataclass(frozen=True, eq=False)
class Statistics:
    """x -> (network(x), the graph with the statistics by which that pass normalised).

    In training mode a batch norm normalises by its batch, and its bounds must do the same: at radius 0 they are then
    the pass's logits. Gradients flow through the statistics. A norm in evaluation mode, and any graph without such a
    pass, keeps the running statistics.
    """

    network: nn.Module
    graph: Graph
    places: dict[Norm, list[int]]  # the graph's nodes of each batch norm, in the order of its calls

    @staticmethod
    def of(network: nn.Module, graph: Graph) -> Statistics:
        """Finds the graph's batch norms in the network, by the running statistics that they share."""
        places: dict[Norm, list[int]] = {}
        for part in network.modules():
            if isinstance(part, _BatchNorm) and part.running_mean is not None:
                places[part] = [
                    place
                    for place, node in enumerate(graph.nodes)
                    if isinstance(node.op, BatchNorm) and node.op.mean is part.running_mean
                ]
        return Statistics(network, graph, places)

    def __call__(self, x: Tensor) -> tuple[Tensor, Graph]:
        """One pass of the network; its running statistics are updated once, as in any pass."""
        if not self.places:
            return self.network(x), self.graph
        with _watched(self.places) as seen:
            logits = self.network(x)
        return logits, self._with(seen)

    def _with(self, seen: Seen) -> Graph:
        nodes = list(self.graph.nodes)
        for norm, calls in seen.items():
            for place, (mean, variance) in zip(self.places[norm], calls, strict=True):
                op: Any = nodes[place].op
                nodes[place] = replace(nodes[place], op=replace(op, mean=mean, variance=variance))
        return Graph(nodes)


@contextmanager
def _watched(norms: dict[Norm, list[int]]) -> Iterator[Seen]:
    """Collects the statistics of what enters the norms that are in training mode."""
    seen: Seen = {}

    def look(norm: Norm, args: tuple[Tensor, ...]) -> None:
        if norm.training:
            axes = [axis for axis in range(args[0].dim()) if axis != 1]
            seen.setdefault(norm, []).append((args[0].mean(axes), args[0].var(axes, unbiased=False)))

    handles = [norm.register_forward_pre_hook(look) for norm in norms]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
