"""Random networks over random reference spaces, for the tests of Robustra's region."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count as naturals
from math import prod
from random import Random

import torch
from torch import Tensor

from absdomain import Graph, Node, ReferenceSpace, Region, Rows, Spec
from absdomain.kinds import Shape
from absdomain.laws import drawing
from absdomain.laws.drawing import normal
from absdomain.laws.examples import REGIONS, example
from absdomain.laws.problems import AnyDomain
from absdomain.ops import Dense, ReLU, Reshape

D64 = torch.float64
MAKERS = (drawing.dense, drawing.dense, drawing.conv2d, drawing.relu, drawing.relu, drawing.leaky_relu)


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=D64)


def plane_below(domain: AnyDomain, graph: Graph, region: Region, spec: Spec) -> tuple[Rows, Tensor]:
    """C graph(x) + d >= <c, x> + k on the region: rows, and constants (K, B or 1)."""
    e = domain.propagate(graph, region, Spec(-spec.C, -spec.d)).output
    rows, constants = domain.planes(e)
    return rows.negated(), -constants


def reach(ball: Region, c: Tensor) -> Tensor:
    """The size of the numbers in <c, x>, (B,): what a solver's tolerance is relative to."""
    box = ball.box()
    return (c.abs() * torch.maximum(box.lower.abs(), box.upper.abs())).flatten(1).sum(1)


def levels(ball: Region, q: Tensor, k: Tensor, rng: Random) -> Tensor:
    """A t for each sample that its half-space can reach, (B,)."""
    low = ball.minimum(Rows.of(q.unsqueeze(0)))[0]
    high = -ball.minimum(Rows.of(-q.unsqueeze(0)))[0]
    share = tensor([rng.choice((-0.1, 0.0, rng.random(), rng.random(), rng.random(), 0.999)) for _ in k])
    return k + low + share * (high - low) - 1e-9 * (1 + reach(ball, q))  # a solver's presolve takes a point for empty


def net(rng: Random, shape: Shape) -> Graph:
    """Two layers, three classes."""
    n = prod(shape)
    graph = Graph.of([Node("x", None, (), shape)]).then(Reshape((n,)))
    graph = graph.then(Dense(normal(rng, 6, n) / n**0.5, 0.3 * normal(rng, 6))).then(ReLU())
    return graph.then(Dense(normal(rng, 3, 6) / 6**0.5, normal(rng, 3)))


@dataclass(frozen=True, eq=False)
class Pair:
    """A network f, a reference g, a row of each, and the space in which g's may reach t: one of each a sample."""

    f: Graph
    row: Spec
    g: Graph
    rival: Spec
    space: ReferenceSpace


def pairs(
    domain: AnyDomain, count: int, *, network: Callable[[Random, Shape], Graph] | None = None, batch: int = 20
) -> Iterator[Pair]:
    """Random pairs, over balls of every kind, `batch` at a time; f is any small network, or what `network` makes."""
    left = count // batch
    for seed in naturals():
        rng = Random(seed)
        problem = example(rng, makers=MAKERS, batch=batch, region=REGIONS[left % len(REGIONS)], size=6)
        if 0 < float(problem.region.box().radius.max()) < 1e-3:
            continue  # narrower than a solver's tolerance can resolve
        f = problem.graph if network is None else network(rng, problem.graph.input.shape)
        m, g = prod(f.output.shape), net(rng, f.input.shape)
        row = Spec(normal(rng, batch, 1, m), normal(rng, batch, 1))
        rival = Spec(normal(rng, batch, 1, 3), torch.zeros(batch, 1, dtype=D64))
        over = ReferenceSpace.of(problem.region, g, rival, t=0.0, by=domain)
        t = levels(over.ball, over.q, over.k, rng)
        yield Pair(f, row, g, rival, ReferenceSpace(over.ball, over.q, over.k, t))
        left -= 1
        if not left:
            return
