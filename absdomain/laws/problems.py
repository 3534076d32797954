"""Random problems made for one law each."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from random import Random
from typing import Any

import torch

from absdomain.domain import Domain
from absdomain.graph import Graph
from absdomain.laws import drawing, regions
from absdomain.laws.derivatives import jittered
from absdomain.laws.drawing import normal, weights
from absdomain.laws.examples import Example, example
from absdomain.ops import Dense, Reshape, Scale
from absdomain.spec import Spec

AnyDomain = Domain[Any]
_AFFINE = tuple(make for make in drawing.AFFINE if make is not drawing.pool_windows)  # its windows get a max


def anything(domain: AnyDomain, rng: Random) -> Example:
    """Any graph, region and specification."""
    return example(rng)


def generic(domain: AnyDomain, rng: Random) -> Example:
    """Anything but ties: where slopes are chosen by a comparison, rounding would decide a tie."""
    problem = example(rng)
    return replace(problem, graph=jittered(problem.graph, rng))


def one_point(domain: AnyDomain, rng: Random) -> Example:
    """A region of one point per sample, of any kind."""
    problem = example(rng)
    return replace(problem, region=regions.points(rng, problem.region.project(problem.region.centre)))


def affine(domain: AnyDomain, rng: Random) -> Example:
    """A graph of affine ops for a relational domain, a single one of one layer for the others."""
    if domain.relational:
        return example(rng, makers=_AFFINE)
    while True:
        problem = example(rng, makers=_AFFINE, size=1)
        if len(problem.graph.schedule) == 1:
            return replace(problem, spec=None)


def with_a_last_layer(domain: AnyDomain, rng: Random) -> Example:
    """A graph that ends in a Dense, and a specification per sample."""
    problem = example(rng)
    n, m, batch = prod(problem.graph.output.shape), rng.randint(2, 4), len(problem.region.centre)
    last = Dense(weights(rng, m, n, fan=n), normal(rng, m))
    spec = Spec(normal(rng, batch, 3, m), normal(rng, batch, 3))
    return Example(problem.graph.then(Reshape((n,))).then(last), problem.region, spec)


def poisoned(domain: AnyDomain, rng: Random) -> Example:
    """A graph whose input is multiplied by NaN, by infinity, or twice by a number whose square overflows."""
    problem = example(rng)
    shape = problem.graph.input.shape
    factor = torch.ones(shape, dtype=torch.float64)
    factor.view(-1)[rng.randrange(prod(shape))] = rng.choice((torch.nan, torch.inf, 1e200))
    first = Graph(problem.graph.nodes[:1]).then(Scale(factor), "poison").then(Scale(factor), "poison again")
    moved = [replace(n, args=tuple(a + 2 for a in n.args)) for n in problem.graph.nodes[1:]]
    return replace(problem, graph=Graph([*first.nodes, *moved]))
