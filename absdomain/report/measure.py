"""What the plots show: errors against the radius, and the widths of bounds layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from absdomain.attack import Pgd
from absdomain.certification import Status, Verdict, certify
from absdomain.domain import AnyDomain
from absdomain.graph import Graph, Node, freeze
from absdomain.kinds import Affine, Nonlinear
from absdomain.lowering import to_graph
from absdomain.region import Region
from absdomain.runtime.modes import copied
from absdomain.runtime.units import HERE, Mapper
from absdomain.values import moved


@dataclass(frozen=True)
class Errors:
    """Errors in percent at one radius."""

    eps: float
    clean_error: float
    pgd_error: float
    verified_error: float


@dataclass(frozen=True)
class Known:
    """What is known of each image at one radius, (N,) each."""

    proved: Tensor
    broken: Tensor  # misclassified, or with a misclassified point that was found

    def errors(self, eps: float, clean: Tensor) -> Errors:
        """The errors over all of the images, of which these are misclassified themselves."""
        shares = (100 * part.double().mean().item() for part in (clean, self.broken, ~self.proved))
        return Errors(eps, *shares)


def broken(verdict: Verdict) -> bool:
    """Whether the image, or a point of its region that was found, is misclassified."""
    return not (verdict.correct and verdict.resisted) or verdict.status is Status.FALSIFIED


def known(verdicts: Sequence[Verdict]) -> Known:
    """What verdicts on all images, in order, say at their radius."""
    proved = [verdict.status is Status.VERIFIED for verdict in verdicts]
    return Known(torch.tensor(proved), torch.tensor([broken(verdict) for verdict in verdicts]))


def curve(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    at: tuple[float, Sequence[Verdict]],
    radii: Sequence[float],
    *,
    clip: tuple[float, float] | None,
    domains: Sequence[AnyDomain],
    attack: Pgd,
    batch: int,
    executed: torch.dtype | None = None,
    cluster: Mapper = HERE,
) -> Iterator[tuple[float, Known]]:
    """What is known of these images at 0, at the radii and at the one of these verdicts, by the cascade of domains.

    A proof holds for all smaller radii, and a misclassified point for all larger ones, so that only the others are
    asked again, outwards from the verdicts' radius.
    """
    eps, verdicts = at
    clean = torch.tensor([not v.correct for v in verdicts])
    own = known(verdicts)

    def asked(radius: float, rows: Tensor) -> Known:
        if not len(rows):
            return Known(torch.empty(0, dtype=torch.bool), torch.empty(0, dtype=torch.bool))
        there = rows.to(images.device)
        found = certify(
            model,
            images[there],
            labels[there],
            eps=radius,
            clip=clip,
            domains=domains,
            attack=attack,
            batch=batch,
            executed=executed,
            explain=False,
            cluster=cluster,
        )
        return known(sorted(found, key=lambda verdict: verdict.index))

    yield 0.0, Known(~clean, clean)
    yield eps, own
    for outwards in (sorted((r for r in radii if 0 < r < eps), reverse=True), sorted(r for r in radii if r > eps)):
        last = own
        for radius in outwards:
            settled = last.proved if radius < eps else last.broken
            rows = (~settled & ~clean).nonzero().flatten()
            there = asked(radius, rows)
            proved = last.proved.clone() if radius < eps else torch.zeros_like(clean)
            broken = clean.clone() if radius < eps else last.broken.clone()
            proved[rows], broken[rows] = there.proved, there.broken
            last = Known(proved, broken)
            yield radius, last


@dataclass(frozen=True)
class LayerWidths:
    """The bounds of one node, over all its neurons and the images of a batch."""

    name: str
    op: str
    shape: tuple[int, ...]
    mean: float  # width of the bounds
    largest: float
    unstable: float | None  # the share of neurons whose sign is open, where a nonlinear operation reads them


def lowered(model: nn.Module, example: Tensor) -> Graph:
    """A copy of the model as a graph in double precision, its layers as they are."""
    return to_graph(copied(model).double().eval().requires_grad_(False), example.double())


def double(model: nn.Module | Graph, example: Tensor) -> Graph:
    """The model as a graph in double precision: a graph itself, or a module lowered."""
    return moved(freeze(model), example.double()) if isinstance(model, Graph) else lowered(model, example)


def frozen(model: nn.Module, example: Tensor) -> Graph:
    """The model as a graph in double precision, for bounds: layers are merged where they are one."""
    return freeze(lowered(model, example))


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
