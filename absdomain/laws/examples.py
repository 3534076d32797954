"""Random problems: a branching graph of all ops, a region of any kind, a specification or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from random import Random

from torch import Tensor

from absdomain.graph import Graph
from absdomain.kinds import Shape
from absdomain.laws import drawing
from absdomain.laws.choices import apart, coefficients, indices, normal, uniform
from absdomain.laws.drawing import MIXTURE, Maker, weights
from absdomain.laws.growth import Growth
from absdomain.region import L1, L2, Interval, Linf, Region
from absdomain.spec import Spec, halfspaces, margins, targeted


@dataclass(frozen=True, eq=False)
class Example:
    """One problem for a domain: bound graph, or C graph + d, over the region."""

    graph: Graph
    region: Region
    spec: Spec | None = None


def radius(rng: Random, batch: int, shape: Shape) -> Tensor | float:
    """A number, or a tensor over some axes, with or without the batch; zeros and wide ones among them."""
    size = rng.choice((*[1.0, 3.0, 0.3, 0.1] * 3, 1.0, 3.0, 3.0, 0.0, 1e-7))
    if rng.random() >= 0.5:
        return size
    sizes = [n if rng.random() < 0.7 else 1 for n in shape]
    r = size * coefficients(rng, rng.choice((1, batch)), *sizes).abs()
    return r * (uniform(rng, *r.shape) < 0.84)


def linf(rng: Random, batch: int, shape: Shape) -> Region:
    """An unclipped ball."""
    return Linf(normal(rng, batch, *shape), radius(rng, batch, shape))


def clipped(rng: Random, batch: int, shape: Shape) -> Region:
    """A ball around a point of [0, 1], clipped to it."""
    centre = uniform(rng, batch, *shape)
    return Linf(centre.round() if rng.random() < 0.2 else centre, radius(rng, batch, shape), clip=(0.0, 1.0))


def interval(rng: Random, batch: int, shape: Shape) -> Region:
    """Any two ends, equal for some entries."""
    lower = normal(rng, batch, *shape)
    width = rng.choice((1.0, 3.0, 0.1)) * coefficients(rng, batch, *shape).abs()
    return Interval(lower, lower + width * (uniform(rng, batch, *shape) < 0.79))


def l2(rng: Random, batch: int, shape: Shape) -> Region:
    """A Euclidean ball, or an ellipsoid."""
    return L2(normal(rng, batch, *shape), radius(rng, batch, shape))


def l1(rng: Random, batch: int, shape: Shape) -> Region:
    """A cross-polytope."""
    return L1(normal(rng, batch, *shape), radius(rng, batch, shape))


RegionMaker = Callable[[Random, int, Shape], Region]
REGIONS: tuple[RegionMaker, ...] = (linf, clipped, interval, l2, l1)


def spec(rng: Random, batch: int, outputs: int) -> Spec:
    """Margins, targets, half-spaces, or any functionals, per sample or shared, with an offset."""
    labels = indices(rng, outputs, batch)
    if outputs > 1 and rng.random() < 0.5:
        targets = (labels + 1) % outputs
        return margins(labels, outputs) if rng.random() < 0.7 else targeted(labels, targets, outputs)
    rows = rng.randint(1, 3)
    if rng.random() < 0.3:
        return halfspaces(weights(rng, rows, outputs, fan=outputs), weights(rng, rows))
    shared = rng.choice((1, batch))
    return Spec(weights(rng, shared, rows, outputs, fan=outputs), weights(rng, rng.choice((1, batch)), rows))


def example(
    rng: Random,
    *,
    makers: Sequence[Maker] = MIXTURE,
    first: Maker | None = None,
    region: RegionMaker | None = None,
    batch: int = 2,
    size: int | None = None,
) -> Example:
    """A graph of about `size` ops of these kinds (`first` among them), a region, and for half of them a specification.

    Two thirds of the graphs branch.
    """
    make = rng.choice(REGIONS) if region is None else region
    size = rng.randint(1, 11) if size is None else size
    while True:
        apart(rng)
        over = make(rng, batch, drawing.shape(rng))
        graph = Growth.over(rng, makers, over).grown(first, size)
        if graph is not None:
            apart(rng)
            asked = spec(rng, batch, prod(graph.output.shape)) if rng.random() < 0.5 else None
            return Example(graph, over, asked)


def graph(rng: Random, *, makers: Sequence[Maker] = MIXTURE, size: int | None = None) -> Graph:
    """The graph of an example."""
    return example(rng, makers=makers, size=size).graph
