"""A start for certified training: weights that keep boxes from growing, and penalties while eps still grows.

Shi et al. 2021, "Fast Certified Robust Training with Short Warmup", sections 3.2 and 3.4 and the public code. That
code also halves the weights that follow a residual sum; this does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain.domains import Box
from absdomain.graph import Graph
from absdomain.kinds import Affine
from absdomain.linear import Bounds
from absdomain.ops import ReLU
from absdomain.region import Region
from absdomain.trainers.options import Named
from absdomain.trainers.run.share import WHOLE, Share

TOLERANCE = 0.5  # tau: a ratio above it costs nothing
SMALLEST = 1e-6  # while eps is 0, the boxes of this radius are penalised


def as_built(network: nn.Module) -> None:
    """Leaves the weights with which the network was made."""


def ibp(network: nn.Module) -> None:
    """Weights from N(0, 2 pi / fan_in^2), so that boxes keep their mean radius: layers double it, ReLUs halve it.

    For the weights of linear and convolutional layers but the last, which with all biases stays as it was built.
    """
    for weight in [p for p in network.parameters() if p.dim() > 1][:-1]:
        nn.init.normal_(weight, std=math.sqrt(2 * math.pi) / weight[0].numel())


def fan_out(network: nn.Module) -> None:
    """Kernels from N(0, 2 / (k k out)) and biases 0 for convolutions; dense layers stay as they were built.

    As in the public code of Wong et al. 2018 and of Robustra for CIFAR-10.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


INITIALISATIONS: dict[str, Callable[[nn.Module], None]] = {"as_built": as_built, "ibp": ibp, "fan_out": fan_out}
Initialisation = Annotated[Callable[[nn.Module], None], Named(INITIALISATIONS)]  # a field for one of them


def regulariser(graph: Graph, region: Region, share: Share = WHOLE) -> Tensor:
    """tightness + balance of the boxes that enter the graph's ReLUs, (); 0 for a graph without ReLUs.

    One interval propagation. Radii are compared with those behind the normalisation, if the network begins with one.
    """
    trace = Box().propagate(graph, region, keep=True)
    read = {node.args[0]: None for node in graph.nodes if isinstance(node.op, ReLU)}
    boxes = [trace.at(graph.nodes[place].name) for place in read]
    if not boxes:
        return region.centre.new_zeros(())
    return tightness(trace.at(_normalised(graph)), boxes, share) + balance(boxes, share)


def tightness(first: Bounds, boxes: Sequence[Bounds], share: Share = WHOLE) -> Tensor:
    """mean over layers of max(tau - r_0 / r_i, 0) / tau, r the mean radius of a layer's box, r_0 of `first`; ()."""
    mean, tiny = share.mean, torch.finfo(first.lower.dtype).tiny
    start = mean(first.radius.mean())
    ratios = torch.stack([start / mean(box.radius.mean()).clamp(min=tiny) for box in boxes])
    return functional.relu(TOLERANCE - ratios).mean() / TOLERANCE


def balance(boxes: Sequence[Bounds], share: Share = WHOLE) -> Tensor:
    """mean over layers of sum over q in (alpha, beta) of max(tau - min(q, 1 / q), 0) / tau, ().

    With c the centres of a layer's box, alpha = sum of c over active neurons (lower > 0) / sum of -c over inactive ones
    (upper < 0), beta the same with (c - mean c)^2. A layer without any of one of the two costs nothing.
    """
    return torch.stack([_imbalance(box, share) for box in boxes]).mean()


def _imbalance(box: Bounds, share: Share) -> Tensor:
    centre, dtype = box.centre, box.lower.dtype
    active, inactive = (box.lower > 0).to(dtype), (box.upper < 0).to(dtype)
    spread = (centre - share.mean(centre.mean())) ** 2
    sums = (centre * active).sum(), -(centre * inactive).sum(), (spread * active).sum(), (spread * inactive).sum()
    first, second, third, fourth = map(share.total, sums)
    pairs = (first, second), (third, fourth)
    both = (share.total(active.amax()) * share.total(inactive.amax())).clamp(max=1)  # 0 or 1
    tiny = torch.finfo(dtype).tiny
    ratios = [torch.minimum(a, b) / torch.maximum(a, b).clamp(min=tiny) for a, b in pairs]
    return both * functional.relu(TOLERANCE - torch.stack(ratios)).sum() / TOLERANCE


def _normalised(graph: Graph) -> str:
    """The node behind the diagonal ops with which the graph begins, by name."""
    last = graph.input
    for before, node in pairwise(graph.nodes):
        if not (isinstance(node.op, Affine) and node.op.diagonal and graph.nodes[node.args[0]] is before):
            break
        last = node
    return last.name
