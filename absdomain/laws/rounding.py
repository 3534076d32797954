"""Problems on which rounding is large, for a domain: terms that cancel, huge and tiny units, tiny regions, float32."""

from __future__ import annotations

from functools import lru_cache, partial
from math import prod
from random import Random

import torch
from torch import Tensor

from absdomain.graph import Graph, Node
from absdomain.kinds import Op, Shape
from absdomain.laws import drawing, extremes
from absdomain.laws.activations import STEEP
from absdomain.laws.choices import indices, normal, uniform
from absdomain.laws.everywhere import of_dtype
from absdomain.laws.examples import Example, example
from absdomain.laws.extremes import Drawn
from absdomain.laws.problems import AnyDomain
from absdomain.ops import Add, BatchNorm, Clamp, Dense, Max, Product, Scale
from absdomain.region import L1, L2, Interval, Linf, Region
from absdomain.spec import Spec, margins

_RADII = (0.3, 3.0, 0.0, 0.01, 1e-5, 1e-9, 1e-15, 1e-30, 1e-300)
_LOWERED = 7  # networks that are lowered, once each


def extreme(domain: AnyDomain, rng: Random, dtype: torch.dtype = torch.float64) -> Example:
    """A chain of layers, at times with a second branch, all numbers of this dtype."""
    if rng.random() < 0.15:
        return lowered(rng.randint(1, _LOWERED), dtype)
    draw, shape = Drawn(rng, dtype), (rng.randint(1, 4),)
    while True:
        unit = 2.0 ** rng.choice((0, 0, 0, rng.randint(-draw.reach, draw.reach)))
        region = _region(rng, shape, unit, dtype)  # in some, every network overflows
        graph = Graph([Node("x", None, (), shape)])
        graph = graph if unit == 1 else graph.then(Scale(torch.tensor(1 / unit, dtype=dtype)), "unit")
        for _ in range(rng.randint(1, 3)):
            graph = _layer(draw, graph)
        if bool(graph(region.project(region.centre)).isfinite().all()):
            return Example(graph, region, _spec(rng, prod(graph.output.shape), dtype))


def single(domain: AnyDomain, rng: Random) -> Example:
    """Any problem in float32, Python numbers of lowered networks among its constants."""
    if rng.random() < 0.2:
        return lowered(rng.randint(1, _LOWERED), torch.float32)
    problem = example(rng)
    return of_dtype(problem, torch.float32)


@lru_cache(maxsize=4 * _LOWERED)
def lowered(number: int, dtype: torch.dtype) -> Example:
    """An extreme network, lowered, over a region around its images."""
    made = extremes.drawn(number, dtype)
    with torch.no_grad():
        return Example(made.graph, made.region(made.images), margins(made.labels, made.module(made.images).shape[1]))


def _region(rng: Random, shape: Shape, unit: float, dtype: torch.dtype) -> Region:
    """A region of any kind around two points in this unit; of radius 0, wider than the unit, and nearly unbounded."""
    centre, radius = (unit * normal(rng, 2, *shape)).to(dtype), unit * rng.choice(_RADII)
    share = uniform(rng, *centre.shape).to(dtype)
    far = torch.finfo(dtype).max / 4  # an end that is infinite is refused (region.base); nothing is wider than this
    kinds = (
        lambda: Linf(centre, radius), lambda: Linf(centre, radius * share), lambda: L2(centre, radius),
        lambda: L1(centre, radius), lambda: Interval(centre, centre + radius * share),
        lambda: Interval(torch.where(share < 0.3, -far, centre), torch.where(share > 0.6, far, centre)),
    )  # fmt: skip
    return rng.choice(kinds)()


def _spec(rng: Random, outputs: int, dtype: torch.dtype) -> Spec | None:
    if outputs < 2 or rng.random() < 0.5:
        return None
    asked = margins(indices(rng, outputs, 2), outputs)
    return Spec(asked.C.to(dtype), asked.d.to(dtype))


def _layer(draw: Drawn, graph: Graph) -> Graph:
    """An affine op, what normalises or moves it, and an activation; or two branches that meet."""
    rng, width = draw.rng, draw.rng.randint(2, 4)
    start = len(graph.nodes) - 1
    graph = _branch(draw, graph, start, width)
    if rng.random() < 0.25:
        left = len(graph.nodes) - 1
        graph = _branch(draw, graph, start, width)
        right = len(graph.nodes) - 1
        graph = _with(graph, rng.choice((Add(), Add(), Product())), left, right)
    return graph


def _branch(draw: Drawn, graph: Graph, start: int, width: int) -> Graph:
    rng, n = draw.rng, graph.nodes[start].shape[0]
    graph = _with(graph, _dense(draw, n, width), start)
    if rng.random() < 0.3:
        graph = _with(graph, _norm(draw, width), len(graph.nodes) - 1)
    if rng.random() < 0.3:
        offset, factor = (torch.tensor(v, dtype=draw.dtype) for v in (rng.choice((0.1, -1e3, 2.0**20)), 1 / 3))
        graph = graph.then(Scale(drawing.perhaps(rng, lambda: factor, 0.3), offset))
    make = rng.choice((drawing.relu, drawing.relu, *drawing.NONLINEAR))
    if make in STEEP:
        graph = graph.then(Clamp(-9.0, 9.0))
    op = make(rng, graph.output.shape) if make is not drawing.product and rng.random() < 0.8 else None
    return graph if op is None or isinstance(op, Max) else graph.then(op)


def _dense(draw: Drawn, n: int, width: int) -> Op:
    """Rows that are plain, nearly equal, or differences; biases that are plain or large and alike; in any unit."""
    rng, power = draw.rng, 2.0 ** draw.rng.choice((0, 0, 0, 0, draw.rng.randint(-draw.reach // 3, draw.reach // 3)))
    layer = draw.difference(n, width) if n > 1 and rng.random() < 0.3 else draw.linear(n, width)
    return Dense((power * layer.weight).detach(), (power * layer.bias).detach() if rng.random() < 0.8 else None)


def _norm(draw: Drawn, width: int) -> Op:
    """A batch norm whose mean is as large as biases are, and whose shift may undo it."""

    def made(t: Tensor) -> Tensor:
        return t.to(draw.dtype)

    mean, variance = draw.bias(width), normal(draw.rng, width).abs() * draw.rng.choice((1.0, 1e-6, 1e6))
    shift = drawing.perhaps(draw.rng, lambda: made(draw.rng.choice((mean, normal(draw.rng, width)))))
    return BatchNorm(made(mean), made(variance), made(normal(draw.rng, width)), shift, axes=0)


def _with(graph: Graph, op: Op, *args: int) -> Graph:
    """The graph with one more node, on these."""
    shapes = [graph.nodes[a].shape for a in args]
    name = f"{type(op).__name__.lower()}_{len(graph.nodes)}"
    return Graph([*graph.nodes, Node(name, op, args, op.shape(*shapes))])


extreme_single = partial(extreme, dtype=torch.float32)
