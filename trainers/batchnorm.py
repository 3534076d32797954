"""Batch norm in training: a lowered graph that normalises by the statistics of the batch that the network has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from absdomain.graph import Graph, Node
from absdomain.ops import BatchNorm
from absdomain.trainers.run.share import WHOLE, Share

Norm = nn.Module
Collected = dict[Norm, list[tuple[Tensor, Tensor]]]  # (mean, biased variance), both (C,), of each call of a batch norm


@dataclass(frozen=True, eq=False)
class BatchNorms:
    """x -> (network(x), the graph with the statistics by which that pass normalised), for a network with batch norms.

    In training mode a batch norm normalises by its batch, and bounds must do the same: at radius 0 they then equal the
    logits of that pass. Gradients flow through the statistics. A norm in evaluation mode keeps its running statistics.
    """

    network: nn.Module
    graph: Graph
    nodes: dict[Norm, list[Node]]  # the graph's of each batch norm, in the order of its calls

    @staticmethod
    def of(network: nn.Module, graph: Graph) -> BatchNorms:
        """Finds the graph's batch norms in the network, by the running statistics that they share."""
        nodes: dict[Norm, list[Node]] = {}
        for part in network.modules():
            if isinstance(part, _BatchNorm) and part.running_mean is not None:
                nodes[part] = [
                    node for node in graph.nodes if isinstance(node.op, BatchNorm) and node.op.mean is part.running_mean
                ]
        return BatchNorms(network, graph, nodes)

    def __call__(self, x: Tensor, share: Share = WHOLE) -> tuple[Tensor, Graph]:
        """One pass of the network over a share of a batch; its running statistics are updated once, as in any pass."""
        if not self.nodes:
            return self.network(x), self.graph
        with _watched(self.nodes, share) as seen:
            logits = self.network(x)
        return logits, self._with(seen)

    def _with(self, seen: Collected) -> Graph:
        ops = {}
        for norm, calls in seen.items():
            for node, (mean, variance) in zip(self.nodes[norm], calls, strict=True):
                op: Any = node.op
                ops[node.name] = replace(op, mean=mean, variance=variance)
        return self.graph.with_ops(ops)


@contextmanager
def _watched(norms: Iterable[Norm], share: Share) -> Iterator[Collected]:
    """The mean and variance of each input of the norms that are in training mode."""
    seen: Collected = {}

    def look(norm: Norm, args: tuple[Tensor, ...]) -> None:
        if norm.training:
            seen.setdefault(norm, []).append(moments(args[0], share))

    handles = [norm.register_forward_pre_hook(look) for norm in norms]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def moments(x: Tensor, share: Share = WHOLE) -> tuple[Tensor, Tensor]:
    """The mean and the biased variance of each channel, (C,), over the batch of which x (B, C, ...) is a share."""
    axes = [axis for axis in range(x.dim()) if axis != 1]
    if share.world.alone:
        return x.mean(axes), x.var(axes, unbiased=False)
    mean = share.mean(x.mean(axes))
    return mean, share.mean((x - _channels(mean, x)).square().mean(axes))


@contextmanager
def synchronised(module: nn.Module, share: Share) -> Iterator[None]:
    """In here each batch norm in training mode normalises by the whole batch of which the process has this share.

    As nn.SyncBatchNorm, but on any device, and the module is afterwards what it was.
    """
    norms = [] if share.world.alone else [part for part in module.modules() if isinstance(part, _BatchNorm)]
    for norm in norms:
        norm.forward = partial(_normalised, norm, norm.forward, share)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def _normalised(norm: _BatchNorm, alone: Callable[[Tensor], Tensor], share: Share, x: Tensor) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias, and the running statistics as in torch."""
    if not norm.training:
        return alone(x)
    mean, variance = moments(x, share)
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        count = share.whole(len(x)) * x[0, 0].numel()
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
