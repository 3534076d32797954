"""Domains side by side on one problem: what theorems order, and how centred and how tight each is, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from math import prod
from random import Random

import torch
from torch import Tensor

from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.laws import witnesses
from absdomain.laws.broken import at_most
from absdomain.laws.examples import Example
from absdomain.laws.orderings import theorem
from absdomain.laws.problems import AnyDomain
from absdomain.laws.promises import elision_is_never_looser, precision
from absdomain.linear import Bounds
from absdomain.ops import Reshape
from absdomain.region import Region
from absdomain.spec import Spec

_SAMPLES = 64  # points at which values are held against bounds


@dataclass(frozen=True)
class Layer:
    """One domain's bounds of one node, in means over the node's entries and the samples."""

    width: float  # u - l
    metric1: float  # |z - (l + u) / 2|, z the value at the region's centre
    metric2: float  # the same over u - l, of the entries of positive width; NaN where there is none


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: a Layer per node and domain, and the orderings that it checked."""

    domains: tuple[str, ...]
    nodes: tuple[str, ...]
    layers: tuple[tuple[Layer, ...], ...]  # [node][domain]
    ordered: tuple[tuple[str, str, str], ...]  # (tighter, looser, name of the theorem)

    def tightness(self, one: int, other: int) -> tuple[float, ...]:
        """Mean width of one domain's bounds over that of another's, node by node; NaN where both are 0."""
        pairs = ((row[one].width, row[other].width) for row in self.layers)
        return tuple((torch.tensor(a) / torch.tensor(b)).item() for a, b in pairs)

    def __str__(self) -> str:
        """Per node and domain: mean width, its ratio to the first domain's, metric 1 and metric 2."""
        ratios = [self.tightness(place, 0) for place in range(len(self.domains))]
        lines = [f"{'node':<14} {'domain':<34} {'width':>10} {'/ first':>8} {'metric 1':>10} {'metric 2':>9}"]
        for row, (node, layers) in enumerate(zip(self.nodes, self.layers, strict=True)):
            for place, (text, layer) in enumerate(zip(self.domains, layers, strict=True)):
                figures = (
                    f"{layer.width:>10.4g} {ratios[place][row]:>8.3f} {layer.metric1:>10.3g} {layer.metric2:>9.3f}"
                )
                lines.append(f"{'' if place else node:<14} {text:<34} {figures}")
        lines += [f"{one} is within {other}, as {name} has it" for one, other, name in self.ordered]
        return "\n".join(lines)


def compare(domains: Sequence[AnyDomain], graph: Graph, region: Region, spec: Spec | None = None) -> Comparison:
    """Differential testing: the domains' bounds of every node agree with each other as far as theorems say.

    At every node the bounds of a sound domain hold the values at the centre and at 64 points of the region, half of
    them extreme, those of two overlap, and lie within each other where a theorem orders them
    (`absdomain.laws.orderings`); with a specification, C f(x) + d fused into the last op is never looser than apart.
    Raises LawBroken with the values. The result has the measures of Boopathy et al. 2021 (section 5, approximation
    error): metric 1, |z_nom - (z_U + z_L) / 2|, metric 2, the same over z_U - z_L, and the widths; as means, where the
    paper sums, so that layers compare. Over a point all domains agree, and metric 2 is NaN.
    """
    if not domains:
        raise ValueError("compare: give at least one domain")
    whole = graph if spec is None else spec.to(region.centre).of(graph)
    traces = [domain.propagate(whole, region, keep=True) for domain in domains]
    sizes, values = witnesses.magnitudes(Example(whole, region)), _values(whole, region)
    order = [
        (one, other, name)
        for one, other in permutations(range(len(domains)), 2)
        if (name := theorem(domains[one], domains[other], whole)) is not None
    ]
    sound = [place for place, trace in enumerate(traces) if trace.guarantee == Guarantee.SOUND]
    layers = []
    for node, size, value in zip(whole.nodes, sizes, values, strict=True):
        found = [trace.at(node.name) for trace in traces]
        rooms = [precision(domain, size) for domain in domains]
        for one, other in combinations(sound, 2):
            _overlap(
                found[one], found[other], rooms[one] + rooms[other], f"{domains[one]}, {domains[other]}: {node.name}"
            )
        for one, other, name in order:
            detail = f"{domains[one]}, {domains[other]}: {node.name}"
            _inside(found[one], found[other], rooms[one] + rooms[other], name, detail)
        for place in sound:
            detail = f"{domains[place]}: {node.name}"
            at_most(found[place].lower, value[1:], rooms[place], "lower <= f(x)", detail)
            at_most(value[1:], found[place].upper, rooms[place], "f(x) <= upper", detail)
        layers.append(tuple(_layer(bounds, value[0]) for bounds in found))
    if spec is not None:
        flat = graph if len(graph.output.shape) == 1 else graph.then(Reshape((prod(graph.output.shape),)))
        for domain in domains:
            elision_is_never_looser(domain, Example(flat, region, spec.to(region.centre)), Random(0))
    texts = tuple(map(str, domains))
    names = tuple(node.name for node in whole.nodes)
    return Comparison(texts, names, tuple(layers), tuple((texts[i], texts[j], name) for i, j, name in order))


def _values(graph: Graph, region: Region) -> list[Tensor]:
    """Each node at the centre, which may lie outside a region that is clipped, and at points of it, (P, B, *shape)."""
    generator = torch.Generator(region.centre.device).manual_seed(0)
    inside = region.sample(_SAMPLES, generator)
    points = torch.cat([region.centre[None], region.project(region.centre)[None], inside]).detach()
    single = [witnesses.activations(graph, x[None]) for x in points]  # a specification has rows for each sample
    return [torch.cat(values) for values in zip(*single, strict=True)]


def _overlap(one: Bounds, other: Bounds, room: Tensor, detail: str) -> None:
    at_most(one.lower, other.upper, room, "the bounds of two sound domains overlap", detail)
    at_most(other.lower, one.upper, room, "the bounds of two sound domains overlap", detail)


def _inside(inner: Bounds, outer: Bounds, room: Tensor, name: str, detail: str) -> None:
    at_most(outer.lower, inner.lower, room, f"{name}: the first is within the second", detail)
    at_most(inner.upper, outer.upper, room, f"{name}: the first is within the second", detail)


def _layer(bounds: Bounds, value: Tensor) -> Layer:
    width, off = bounds.width.detach(), (value - bounds.centre).abs().detach()
    relative = (off / width)[width > 0]
    return Layer(float(width.mean()), float(off.mean()), float(relative.mean()))
