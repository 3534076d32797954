"""What the plots show: errors against the radius, and the widths of bounds layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from absdomain.attack import Pgd
from absdomain.certification import certify, summarise
from absdomain.domain import AnyDomain
from absdomain.graph import Graph, Node, freeze
from absdomain.kinds import Affine, Nonlinear
from absdomain.lowering import to_graph
from absdomain.region import Region
from absdomain.runtime.modes import copied


@dataclass(frozen=True)
class Errors:
    """Errors in percent at one radius."""

    eps: float
    clean_error: float
    pgd_error: float
    verified_error: float


def curve(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    radii: Sequence[float],
    *,
    clip: tuple[float, float] | None,
    domains: Sequence[AnyDomain],
    attack: Pgd,
    batch: int,
) -> Iterator[Errors]:
    """The errors of these images at each radius, by the cascade of domains."""
    for eps in radii:
        rows = certify(model, images, labels, eps=eps, clip=clip, domains=domains, attack=attack, batch=batch)
        errors = summarise(rows)
        assert errors.pgd_error is not None  # there is an attack
        yield Errors(eps, errors.clean_error, errors.pgd_error, errors.verified_error)


@dataclass(frozen=True)
class LayerWidths:
    """The bounds of one node, over all its neurons and the images of a batch."""

    name: str
    op: str
    shape: tuple[int, ...]
    mean: float  # width of the bounds
    largest: float
    unstable: float | None  # the share of neurons whose sign is open, where a nonlinear operation reads them


def frozen(model: nn.Module, example: Tensor) -> Graph:
    """The model as a graph in double precision."""
    return freeze(to_graph(copied(model).double().eval(), example.double()))


def bounded(graph: Graph) -> list[Node]:
    """The nodes in order, without operations that only lay activations out anew."""
    return [
        node
        for node in graph.nodes
        if not (isinstance(node.op, Affine) and node.op.weight is None and len(node.args) == 1)
    ]


def layers(graph: Graph, domain: AnyDomain, region: Region) -> list[LayerWidths]:
    """The bounds of every node of `bounded`."""
    readers = {graph.nodes[a].name for node in graph.nodes if isinstance(node.op, Nonlinear) for a in node.args}
    found = []
    with torch.no_grad():
        trace = domain.propagate(graph, region, keep=True)
        for node in bounded(graph):
            box = trace.at(node.name)
            width = box.upper - box.lower
            open_ = ((box.lower < 0) & (box.upper > 0)).double().mean().item() if node.name in readers else None
            op = "input" if node.op is None else type(node.op).__name__
            found.append(LayerWidths(node.name, op, node.shape, width.mean().item(), width.max().item(), open_))
    return found
