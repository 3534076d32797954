"""Batch norm in training: a lowered graph that normalises by the statistics of the batch that the network has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from absdomain.graph import Graph
from absdomain.ops import BatchNorm
from absdomain.trainers.run.share import current

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
            seen.setdefault(norm, []).append(moments(args[0]))

    handles = [norm.register_forward_pre_hook(look) for norm in norms]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the biased variance of each channel, (C,), over the batch of which x (B, C, ...) is a share."""
    axes, share = [axis for axis in range(x.dim()) if axis != 1], current()
    if share.world.alone:
        return x.mean(axes), x.var(axes, unbiased=False)
    mean = share.mean(x.mean(axes))
    return mean, share.mean((x - _channels(mean, x)).square().mean(axes))


def synchronise(module: nn.Module) -> None:
    """Let each batch norm normalise, in training mode, by the whole batch of which a process sees its share.

    As nn.SyncBatchNorm, which is for CUDA alone, on any device and in a module that stays what it was.
    """
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.forward = partial(_normalised, norm, norm.forward)  # type: ignore[method-assign]


def _normalised(norm: _BatchNorm, alone: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias, and the running statistics as in torch."""
    if not norm.training:
        return alone(x)
    mean, variance = moments(x)
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        count = current().whole(len(x)) * x[0, 0].numel()
        with torch.no_grad():
            norm.num_batches_tracked += 1
            factor = 1 / norm.num_batches_tracked.item() if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean, factor)
            norm.running_var.lerp_(variance * (count / max(count - 1, 1)), factor)
    scale = (variance + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight
    shifted = (x - _channels(mean, x)) * _channels(scale, x)
    return shifted if norm.bias is None else shifted + _channels(norm.bias, x)


def _channels(values: Tensor, x: Tensor) -> Tensor:
    """(C,) along the channels of x (B, C, ...)."""
    return values.view(1, -1, *[1] * (x.dim() - 2))
