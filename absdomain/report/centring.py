"""How far a network's values at the images are from the middle of their bounds: SingleProp's approximation error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import torch
from torch import Tensor

from absdomain.domain import AnyDomain
from absdomain.graph import Graph
from absdomain.linear import Bounds
from absdomain.linear.axes import flat
from absdomain.region import Linf
from absdomain.report.measure import bounded


@dataclass(frozen=True)
class Centring:
    """|z_nominal - (u + l) / 2| and its share of u - l, of one node: means over its neurons and over images.

    `absolute` and `relative` are, image by image, the sums over the neurons. A neuron whose bounds are equal has share
    0.
    """

    name: str
    absolute: tuple[float, ...]
    relative: tuple[float, ...]
    neurons: int

    @property
    def mean_absolute(self) -> float:
        """The mean distance of a neuron."""
        return mean(self.absolute) / self.neurons

    @property
    def mean_relative(self) -> float:
        """The mean share of a neuron."""
        return mean(self.relative) / self.neurons


def centring(graph: Graph, domain: AnyDomain, region: Linf) -> list[Centring]:
    """Of every node that changes values, the input's left out: bounds over the region, values at its centre."""
    with torch.no_grad():
        traces = [domain.propagate(graph, ball, keep=True) for ball in (region, Linf(region.centre, 0.0))]
        names = [node.name for node in bounded(graph) if node.op is not None]
        return [_of(name, *(trace.at(name) for trace in traces)) for name in names]


def _of(name: str, box: Bounds, point: Bounds) -> Centring:
    away = (point.centre - box.centre).abs()
    shares = torch.where(box.width > 0, away / box.width.clamp(min=torch.finfo(away.dtype).tiny), 0.0)
    return Centring(name, _sums(away), _sums(shares), away[0].numel())


def _sums(values: Tensor) -> tuple[float, ...]:
    return tuple(flat(values, 1).sum(1).tolist())


def totals(rows: Sequence[Centring]) -> dict[str, tuple[float, float]]:
    """Metrics 1 and 2 of Boopathy et al. 2021: mean and deviation over images of the sums over all neurons."""
    found = {}
    for name, kind in (("metric 1", "absolute"), ("metric 2", "relative")):
        sums = [sum(each) for each in zip(*(getattr(row, kind) for row in rows), strict=True)]
        found[name] = (mean(sums), stdev(sums) if len(sums) > 1 else 0.0)
    return found
