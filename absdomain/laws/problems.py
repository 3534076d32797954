"""Random problems made for one law each."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from random import Random
from typing import Any

import torch

from absdomain.domain import Domain
from absdomain.graph import Graph, Node
from absdomain.guarantee import Guarantee
from absdomain.kinds import Elementwise, Op
from absdomain.laws import boxes, drawing, optima, places, regions
from absdomain.laws.choices import coefficients, normal
from absdomain.laws.derivatives import jittered
from absdomain.laws.drawing import CONTINUOUS, MIXTURE, weights
from absdomain.laws.examples import REGIONS, Example, example, linf
from absdomain.laws.growth import Growth
from absdomain.ops import Add, Concat, Dense, LeakyReLU, Product, ReLU, Reshape, Scale
from absdomain.region import Interval
from absdomain.spec import Spec

AnyDomain = Domain[Any]
_OVERFLOWING = 1e12
_AFFINE = tuple(make for make in drawing.AFFINE if make is not drawing.pool_windows)  # its windows get a max


def anything(domain: AnyDomain, rng: Random) -> Example:
    """Any graph, region and specification, mostly of two samples."""
    return example(rng, batch=2 if rng.random() < 0.9 else 1)


def generic(domain: AnyDomain, rng: Random) -> Example:
    """Anything but ties: where slopes are chosen by a comparison, rounding would decide a tie.

    Weights are moved a little, and so are the inputs, by a layer before all others.
    """
    problem, chance = example(rng, makers=CONTINUOUS), Random(rng.getrandbits(32))
    shape = problem.graph.input.shape
    first = Scale(1 + 0.01 * normal(chance, *shape), 0.01 * normal(chance, *shape))
    return replace(problem, graph=_behind([first], jittered(problem.graph, chance)))


def _behind(ops: list[Op], graph: Graph) -> Graph:
    """x -> graph(ops(x))."""
    first = Graph.of(graph.nodes[:1])
    for number, op in enumerate(ops):
        first = first.then(op, f"before_{number}")
    moved = [replace(n, args=tuple(a + len(ops) for a in n.args)) for n in graph.nodes[1:]]
    return Graph.of([*first.nodes, *moved])


def one_point(domain: AnyDomain, rng: Random) -> Example:
    """A region of one point per sample, of any kind, where no op jumps."""
    problem = example(rng, makers=CONTINUOUS)
    return replace(problem, region=regions.points(rng, problem.region.project(problem.region.centre)))


def affine(domain: AnyDomain, rng: Random) -> Example:
    """A graph of affine ops for a relational domain, a single one of one layer for the others.

    An estimate around the region's centre is asked for it over boxes of that centre alone.
    """
    sound = domain.guarantee == Guarantee.SOUND
    if domain.traits.relational:
        return example(rng, makers=_AFFINE)
    while True:
        problem = example(rng, makers=_AFFINE, size=1, region=None if sound else linf)
        if len(problem.graph.schedule) == 1:
            return replace(problem, spec=None)


def with_a_last_layer(domain: AnyDomain, rng: Random) -> Example:
    """A graph that ends in a Dense, and a specification per sample."""
    problem = example(rng)
    n, m, batch = prod(problem.graph.output.shape), rng.randint(2, 4), len(problem.region.centre)
    last = Dense(weights(rng, m, n, fan=n), normal(rng, m))
    spec = Spec(coefficients(rng, batch, 3, m), normal(rng, batch, 3))
    return Example(problem.graph.then(Reshape((n,))).then(last), problem.region, spec)


def poisoned(domain: AnyDomain, rng: Random) -> Example:
    """A graph whose input is multiplied by NaN, by infinity, or twice by a number whose square overflows."""
    problem = example(rng)
    shape = problem.graph.input.shape
    factor = torch.ones(shape, dtype=torch.float64)
    factor.view(-1)[rng.randrange(prod(shape))] = rng.choice((torch.inf, torch.nan, 1e200))
    return replace(problem, graph=_behind([Scale(factor), Scale(factor)], problem.graph))


def meeting(domain: AnyDomain, rng: Random) -> Example:
    """Two branches of their own relaxations, which meet in a sum, a concatenation or a gate and are mixed again.

    What a domain keeps of one branch must not be taken for what it keeps of the other.
    """
    region, width = rng.choice(REGIONS)(rng, 2, (rng.randint(2, 4),)), rng.randint(2, 4)
    growth = Growth.over(rng, MIXTURE, region)

    def branch(place: int) -> int:
        n = growth.nodes[place].shape[0]
        z = growth.add(Dense(coefficients(rng, width, n) / 2, normal(rng, width)), place)
        return growth.add(rng.choice((ReLU(), ReLU(), LeakyReLU(0.1))), growth.shifted(z))

    start = branch(0)
    left, right = branch(start), branch(start if rng.random() < 0.7 else 0)
    left = branch(left) if rng.random() < 0.5 else left
    joined = growth.add(rng.choice((Add(), Add(), Concat(1), Product())), left, right)
    size = growth.nodes[joined].shape[0]
    growth.add(Dense(coefficients(rng, 3, size) / 2), joined)
    return Example(Graph.of(growth.nodes), region)


def solved(domain: AnyDomain, rng: Random) -> Example:
    """A small network that can be solved exactly; solved once for all domains."""
    return optima.network(rng)


def provable(domain: AnyDomain, rng: Random) -> Example:
    """Rows of which some hold all over the region, some nearly and some nowhere, in groups that are named freely.

    No op jumps: across a jump rounding has no bound, so that nothing behind it is ever proved.
    """
    problem = replace(example(rng, makers=CONTINUOUS), spec=None)
    batch, n, count = len(problem.region.centre), prod(problem.graph.output.shape), rng.randint(1, 5)
    C = weights(rng, rng.choice((1, batch)), count, n, fan=n)
    x = problem.region.sample(16, torch.Generator().manual_seed(0))
    z = problem.graph(x.flatten(0, 1)).reshape(16, batch, n)
    values = torch.einsum("bkn,pbn->pbk", C.expand(batch, -1, -1), z)
    share = torch.tensor([[rng.choice((0.0, 1.0, -0.5, 0.3, 3.0)) for _ in range(count)] for _ in range(batch)])
    level = values.amin(0) - share.to(values) * (1e-3 + values.amax(0) - values.amin(0))
    groups = torch.tensor([rng.choice((1, 2, 9, -4)) for _ in range(count)]) if rng.random() < 0.6 else None
    return replace(problem, spec=Spec(C, -level, groups))


def curve(domain: AnyDomain, rng: Random) -> Example:
    """One nonlinear op f of one argument, over a box in each entry, and f(x) - s x for slopes that policies choose.

    So a bound shows the op's band at such a slope, with nothing else between.
    """
    shape = (rng.randint(2, 4),)
    while True:
        op = rng.choice(drawing.NONLINEAR)(rng, shape)
        if not isinstance(op, Elementwise):
            continue
        within = boxes.defined(op)
        if rng.random() < 0.3:
            (box,) = places.drawn(op, rng, 2, (shape,), within)
        else:
            box = boxes.drawn(rng, 2, shape, degenerate=rng.random() < 0.3, within=within)
        ends = op.image((box,))
        if float(torch.maximum(ends.lower.abs(), ends.upper.abs()).max()) < _OVERFLOWING:
            break
    n, region = shape[0], Interval(box.lower, box.upper)
    graph = Graph.of([Node("x", None, (), shape), Node("f", op, (0,), shape), Node("xf", Concat(1), (0, 1), (2 * n,))])
    below, above = op.tight_slopes((box,))
    slopes = (torch.zeros_like(box.lower), op.chord((box,))[0], below[0], above[0], normal(rng, 2, *shape))
    usable = [s.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).clamp(-1e6, 1e6) for s in slopes]
    eye = torch.eye(n, dtype=torch.float64).expand(2, -1, -1)
    C = torch.cat([torch.cat([-torch.diag_embed(s), eye], 2) for s in usable], 1)
    return Example(graph, region, Spec(C, torch.zeros(1, C.shape[1], dtype=torch.float64)))
