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
from absdomain.values import moved

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
        nodes = [Node("x", None, (), shape)]
        if unit != 1:
            _add(nodes, Scale(torch.tensor(1 / unit, dtype=dtype)), 0)
        for _ in range(rng.randint(1, 3)):
            _layer(draw, nodes)
        graph = Graph.of(nodes)
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


def _layer(draw: Drawn, nodes: list[Node]) -> None:
    """An affine op, what normalises or moves it, and an activation; or two branches that meet."""
    rng, width = draw.rng, draw.rng.randint(2, 4)
    start = len(nodes) - 1
    left = _branch(draw, nodes, start, width)
    if rng.random() < 0.25:
        right = _branch(draw, nodes, start, width)
        _add(nodes, rng.choice((Add(), Add(), Product())), left, right)


def _branch(draw: Drawn, nodes: list[Node], start: int, width: int) -> int:
    """The place of its last node."""
    rng, n = draw.rng, nodes[start].shape[0]
    last = _add(nodes, _dense(draw, n, width), start)
    if rng.random() < 0.3:
        last = _add(nodes, _norm(draw, width), last)
    if rng.random() < 0.3:
        offset, factor = (torch.tensor(v, dtype=draw.dtype) for v in (rng.choice((0.1, -1e3, 2.0**20)), 1 / 3))
        last = _add(nodes, Scale(drawing.perhaps(rng, lambda: factor, 0.3), offset), last)
    make = rng.choice((drawing.relu, drawing.relu, *drawing.NONLINEAR))
    if make in STEEP:
        last = _add(nodes, Clamp(-9.0, 9.0), last)
    op = make(rng, nodes[last].shape) if make is not drawing.product and rng.random() < 0.8 else None
    if op is None or isinstance(op, Max):
        return last
    return _add(nodes, moved(op, torch.zeros((), dtype=draw.dtype)), last)


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


def _add(nodes: list[Node], op: Op, *args: int) -> int:
    """The place of one more node, on these."""
    place = len(nodes)
    nodes.append(Node(f"{type(op).__name__.lower()}_{place}", op, args, op.shape(*(nodes[a].shape for a in args))))
    return place


extreme_single = partial(extreme, dtype=torch.float32)
