"""Zonotopes of small networks, with every budget of symbols: the definition, written down again, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor

from absdomain.domains.zonotope import Zonotope
from absdomain.graph import Graph, Node
from absdomain.linear import Bounds
from absdomain.ops import Add, Concat, Dense, ReLU
from absdomain.proofs.kernel.abstract import apart
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import Check
from absdomain.proofs.lemmas.substitution import DEEP, FANNED
from absdomain.proofs.lemmas.windows import ACTIVE, RESIDUAL, box, close, equal, masks, numbers

Name = tuple[int, int]  # the relaxation's place in the graph, and the entry


@dataclass
class Hand:
    """M x + b + sum_k e_k ray_k + r for one sample: M (n, inputs), the others (n,)."""

    inputs: Tensor
    constant: Tensor
    slack: Tensor
    rays: dict[Name, Tensor] = field(default_factory=dict)

    def bounds(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the greatest values."""
        reach = sum((ray.abs() for ray in self.rays.values()), start=self.slack)
        below = self.inputs.relu() @ low - (-self.inputs).relu() @ high + self.constant
        above = self.inputs.relu() @ high - (-self.inputs).relu() @ low + self.constant
        return below - reach, above + reach

    def reduced(self, symbols: int | None) -> Hand:
        """With the symbols of the largest rays alone, the others' added to the slack."""
        if symbols is None or len(self.rays) <= symbols:
            return self
        order = sorted(self.rays, key=lambda name: -float(self.rays[name].abs().sum()))
        dropped = sum((self.rays[name].abs() for name in order[symbols:]), start=self.slack)
        return Hand(self.inputs, self.constant, dropped, {name: self.rays[name] for name in order[:symbols]})


def mapped(op: Dense, e: Hand) -> Hand:
    """W e + b."""
    w = op.weight
    constant = w @ e.constant + (0 if op.bias is None else op.bias)
    return Hand(w @ e.inputs, constant, w.abs() @ e.slack, {name: w @ ray for name, ray in e.rays.items()})


def added(parts: list[Hand], symbols: int | None) -> Hand:
    """The sum; symbols of one name are one."""
    rays: dict[Name, Tensor] = {}
    for part in parts:
        for name, ray in part.rays.items():
            rays[name] = rays.get(name, 0) + ray
    inputs, constant, slack = (
        torch.stack(ts).sum(0) for ts in zip(*((p.inputs, p.constant, p.slack) for p in parts), strict=True)
    )
    total = Hand(inputs, constant, slack, rays)
    return total.reduced(symbols)


def relaxed(e: Hand, place: int, low: Tensor, high: Tensor, symbols: int | None) -> Hand:
    """ReLU by its chord s and the band of relu(x) - s x: the widest bands have a symbol each, the others are slack."""
    l, u = e.bounds(low, high)  # noqa: E741
    chord = torch.where(l >= 0, 1.0, torch.where(u <= 0, 0.0, u / (u - l + (u == l))))
    ends = torch.stack(
        [l.relu() - chord * l, u.relu() - chord * u, torch.where((l < 0) & (u > 0), 0.0, l.relu() - chord * l)]
    )
    centre, radius = (ends.amax(0) + ends.amin(0)) / 2, (ends.amax(0) - ends.amin(0)) / 2
    wide = sorted((k for k in range(len(radius)) if radius[k] > 1e-12), key=lambda k: -float(radius[k]))[:symbols]
    rays = {name: chord * ray for name, ray in e.rays.items()}
    rest = radius.clone()
    for k in wide:
        rays[place, k] = torch.zeros_like(radius).index_fill(0, torch.tensor(k), float(radius[k]))
        rest[k] = 0
    return Hand(chord.unsqueeze(1) * e.inputs, chord * e.constant + centre, chord * e.slack + rest, rays).reduced(
        symbols
    )


def by_hand(graph: Graph, low: Tensor, high: Tensor, symbols: int | None) -> list[Hand]:
    """The elements of all nodes for one sample."""
    size = len(low)
    found = [
        Hand(torch.eye(size, dtype=low.dtype), torch.zeros(size, dtype=low.dtype), torch.zeros(size, dtype=low.dtype))
    ]
    for place, node in enumerate(graph.nodes[1:], 1):
        args = [found[a] for a in node.args]
        if isinstance(node.op, Dense):
            found.append(mapped(node.op, args[0]))
        elif isinstance(node.op, Add):
            found.append(added(args, symbols))
        else:
            found.append(relaxed(args[0], place, low, high, symbols))
    return found


def as_by_hand(graph: Graph, symbols: int | None) -> Check:
    """Bounds of every node, however they are asked for, are those of the definition; no more symbols than allowed."""

    def check(world: World) -> None:
        region, domain = box(graph.input.shape), Zonotope(symbols=symbols)
        ends = region.box()
        samples = [by_hand(graph, low, high, symbols) for low, high in zip(ends.lower, ends.upper, strict=True)]
        for place in range(1, len(graph.nodes)):
            name = graph.nodes[place].name
            e = domain.propagate(graph.subgraph(end=name), region).output
            pairs = [s[place].bounds(low, high) for s, low, high in zip(samples, ends.lower, ends.upper, strict=True)]
            true = Bounds(*(torch.stack(side) for side in zip(*pairs, strict=True)))
            for found in (domain.bounds(e), apart(domain.bounds, e), *domain.boxes(ReLU(), (e,))):
                close(world, found, true, f"{name} with {symbols} symbols")
            where_asked(world, domain, e, true)
            rows, constant = domain.planes(e)
            equal(world, (rows.maximum(ends) + constant).t(), true.upper, f"{name}: planes above")
            kept = [sum(bool(ray.any()) for ray in s[place].rays.values()) for s in samples]
            held = sum((block.rays.flatten(2).abs().sum(2) > 0).sum(0) for block in e.noise)
            world.check(not e.noise or torch.equal(torch.as_tensor(held).expand(len(kept)), torch.tensor(kept)),
                        f"{name}: {held} symbols, not {kept}")  # fmt: skip

    return check


def where_asked(world: World, domain: Zonotope, e: object, true: Bounds) -> None:
    """Entries that are asked have their bounds; others have these, or none."""
    for mask in masks(tuple(true.shape)):
        found = domain.bounds(e, mask)  # type: ignore[arg-type]
        for a, b, none in ((found.lower, true.lower, -torch.inf), (found.upper, true.upper, torch.inf)):
            near = (a - b).abs() <= 1e-12
            world.check(bool((near | ~mask).all()) and bool((near | (a == none)).all()), "entries that are asked")


def flattened(graph: Graph) -> Graph:
    """The same network on the flat input: every affine op as its matrix, read off unit inputs."""
    nodes = [Node("x", None, (), (prod(graph.input.shape),))]
    for node in graph.nodes[1:]:
        op = node.op
        shapes = [graph.nodes[a].shape for a in node.args]
        if not isinstance(op, ReLU | Add):
            (shape,) = shapes
            units = torch.cat([torch.zeros(1, prod(shape)), torch.eye(prod(shape))]).double().view(-1, *shape)
            assert op is not None
            value = op(units).flatten(1)
            op = Dense((value[1:] - value[:1]).t().contiguous(), value[0])
        nodes.append(Node(node.name, op, node.args, (prod(node.shape),)))
    return Graph.of(nodes)


def of_any_shape(graph: Graph, symbols: int | None) -> Check:
    """An activation's shape does not matter: the bounds are those of the same network on flat activations."""

    def check(world: World) -> None:
        region, plain, domain = box(graph.input.shape), flattened(graph), Zonotope(symbols=symbols)
        flat = type(region)(region.lower.flatten(1), region.upper.flatten(1))
        for place in range(1, len(graph.nodes)):
            found = domain.propagate(graph.subgraph(end=graph.nodes[place].name), region).output
            true = domain.propagate(plain.subgraph(end=plain.nodes[place].name), flat).output
            ends = domain.bounds(true)
            shaped = Bounds(*(end.view(len(end), *graph.nodes[place].shape) for end in (ends.lower, ends.upper)))
            close(world, domain.bounds(found), shaped, graph.nodes[place].name)

    return check


def concatenated(world: World) -> None:
    """One after another, an activation that is the same for all samples and one that is not."""
    region = box((4,))
    for symbols in (None, 2):
        domain = Zonotope(symbols=symbols)
        x = domain.lift(region)
        y = domain.relax(ReLU(), (domain.affine(Dense(numbers(3, 4), numbers(3)), x),), None)
        both, parts = domain.bounds(domain.affine(Concat(1), y, x)), (domain.bounds(y), region.box())
        close(
            world, both, Bounds(*(torch.cat([getattr(p, end) for p in parts], 1) for end in ("lower", "upper"))), "both"
        )


SPLIT = Graph.of(
    [*RESIDUAL.nodes[:7], Node("n7", RESIDUAL.nodes[7].op, (2,), (2, 2, 2)), Node("n8", Add(), (6, 7), (2, 2, 2))]
)
BUDGETS = (None, 0, 1, 3, 6)
ZONOTOPES: tuple[Check, ...] = (
    concatenated,
    *(as_by_hand(graph, symbols) for graph in (DEEP, FANNED) for symbols in BUDGETS),
    *(of_any_shape(graph, symbols) for graph in (ACTIVE, SPLIT) for symbols in (None, 4)),
)
