"""{ region <= gamma(lift), op(gamma(e)) <= gamma(transfer(op, e)) } : what a domain promises, tried on random problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from random import Random
from typing import Any

import torch
from torch import Tensor

from absdomain.domain import Domain, Trace
from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine
from absdomain.laws import drawing, matrices, regions, witnesses
from absdomain.laws.affine import directional
from absdomain.laws.broken import LawBroken, at_most, equal, finite, holds, slack
from absdomain.laws.drawing import normal, weights
from absdomain.laws.examples import Example, ancestors, branching, example
from absdomain.laws.script import script
from absdomain.laws.shrink import shrunk
from absdomain.ops import Dense, Reshape, Scale
from absdomain.region import Linf
from absdomain.spec import Spec

AnyDomain = Domain[Any]
Law = Callable[[AnyDomain, Example, Random], None]


def contains(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Finite bounds hold f(x), or C f(x) + d, at every point tried, and so do those of an inner node; of SOUND domains.

    The trace promises the weaker of the domain's and the region's guarantee.
    """
    trace = domain.propagate(problem.graph, problem.region, problem.spec, keep=True)
    holds(
        trace.guarantee == min(domain.guarantee, problem.region.guarantee),
        "a trace's guarantee is the weaker of domain and region",
        f"{trace.guarantee!r} for {domain} over {type(problem.region).__name__}",
    )
    for end in (trace.lower, trace.upper):
        finite(end, "bounds are finite")
    if trace.guarantee < Guarantee.SOUND:
        return
    sizes, x = witnesses.magnitudes(problem), witnesses.points(problem, rng)
    value = witnesses.values(problem, x)
    holds(trace.lower.shape == value.shape[1:], "bounds have the output's shape", f"{tuple(trace.lower.shape)}")
    at_most(trace.lower, value, slack(sizes[-1]), "lower <= f(x)")
    at_most(value, trace.upper, slack(sizes[-1]), "f(x) <= upper")
    place = rng.randrange(len(problem.graph.nodes))
    node, inner = problem.graph.nodes[place], Example(Graph(problem.graph.nodes[: place + 1]), problem.region)
    if node in trace.graph.nodes:  # a specification may have been fused into the last one
        bounds, value = trace.at(node.name), witnesses.values(inner, x)
        at_most(bounds.lower, value, slack(sizes[place]), "lower <= f(x) at an inner node", node.name)
        at_most(value, bounds.upper, slack(sizes[place]), "f(x) <= upper at an inner node", node.name)


def reads_one_element(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """trace.lower and trace.upper are the ends of bounds(e); bounds(e, where) agrees with them where it is asked."""
    trace, room = _trace(domain, problem), slack(witnesses.magnitudes(problem)[-1])
    bounds = domain.bounds(trace.output)
    equal(trace.lower, bounds.lower, room, "lower is bounds(e).lower")
    equal(trace.upper, bounds.upper, room, "upper is bounds(e).upper")
    for chance in (0.5, 0.0):
        where = torch.rand(bounds.lower.shape, generator=drawing.generator(rng)) < chance
        asked = domain.bounds(trace.output, where)
        equal(asked.lower[where], bounds.lower[where], room, "bounds(where) agrees where it is asked")
        equal(asked.upper[where], bounds.upper[where], room, "bounds(where) agrees where it is asked")
        at_most(asked.lower, bounds.upper, room, "bounds(where) is a bound elsewhere")
        at_most(bounds.lower, asked.upper, room, "bounds(where) is a bound elsewhere")


def knows_no_neighbour(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """A sample's bounds are those it has alone."""
    room, together = slack(witnesses.magnitudes(problem)[-1]), _trace(domain, problem)
    sample = rng.randrange(len(problem.region.centre))
    apart = _trace(domain, alone(problem, sample))
    equal(together.lower[sample : sample + 1], apart.lower, room, "lower knows no neighbour")
    equal(together.upper[sample : sample + 1], apart.upper, room, "upper knows no neighbour")


def elision_is_never_looser(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """C f(x) + d fused into the last op has bounds no looser than C times the bounds of f (Gowal et al. 2018)."""
    graph = problem.graph
    if len(graph.output.shape) != 1:
        graph = graph.then(Reshape((prod(graph.output.shape),)))
    m = rng.randint(2, 4)
    graph = graph.then(Dense(weights(rng, m, graph.output.shape[0]), normal(rng, m)))
    batch = len(problem.region.centre)
    spec = Spec(normal(rng, batch, 3, m), normal(rng, batch, 3))
    fused = domain.propagate(graph, problem.region, spec)
    apart = domain.propagate(graph.then(Dense(spec.C, spec.d)), problem.region)
    room = slack(witnesses.magnitudes(Example(graph, problem.region, spec))[-1])
    at_most(apart.lower, fused.lower, room, "elision is never looser")
    at_most(fused.upper, apart.upper, room, "elision is never looser")


def exact_at_a_point(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Over a region of one point the bounds are the value there."""
    centre = problem.region.project(problem.region.centre)
    point = replace(problem, region=regions.points(rng, centre))
    trace, room = _trace(domain, point), slack(witnesses.magnitudes(point)[-1])
    value = witnesses.values(point, centre.unsqueeze(0))[0]
    equal(trace.lower, value, room, "exact at radius 0")
    equal(trace.upper, value, room, "exact at radius 0")


def exact_where_affine(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """On a graph of affine ops the bounds are attained: any graph if the domain is relational, else a single op."""
    size = None if domain.relational else 1
    affine = example(rng, makers=_ONE_OP if size else drawing.AFFINE, size=size)
    affine = affine if domain.relational else replace(affine, spec=None)
    region, spec, shape = affine.region, affine.spec, affine.graph.input.shape
    matrix, offset = matrices.of(affine.graph, (shape,))
    matrix, offset = matrix.expand(len(region.centre), -1, -1), offset.flatten(1)
    if spec is not None:
        C, d = spec.C.to(matrix), spec.d.to(matrix)
        matrix, offset = C @ matrix, (C @ offset.unsqueeze(-1)).squeeze(-1) + d
    trace, room = _trace(domain, affine), slack(witnesses.magnitudes(affine)[-1])
    rows = matrix.transpose(0, 1)
    lower, upper = regions.minimum(region, rows).t() + offset, -regions.minimum(region, -rows).t() + offset
    equal(trace.lower, lower.view_as(trace.lower), room, "exact on affine graphs", _told(affine, domain))
    equal(trace.upper, upper.view_as(trace.upper), room, "exact on affine graphs", _told(affine, domain))


_ONE_OP = tuple(make for make in drawing.AFFINE if make is not drawing.pool_windows)


def differentiable(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Bounds have finite gradients to the region's centre and radius and to the weights, also at degenerate values."""
    region, batch = problem.region, len(problem.region.centre)
    centre = region.centre.detach().clone().requires_grad_()
    radius = torch.full((batch, *[1] * (centre.dim() - 1)), rng.choice((0.0, 0.1, 1.0)), dtype=torch.float64)
    n = prod(problem.graph.output.shape)
    weight = normal(rng, 2, n) / n**0.5
    inputs = [centre.detach(), radius, weight]

    def ends(centre: Tensor, radius: Tensor, weight: Tensor) -> Tensor:
        over = region if isinstance(region, Linf) else None
        ball = Linf(centre, radius, clip=None) if over is None else Linf(centre, radius, over.clip)
        scaled = problem.graph.then(Reshape((n,))).then(Dense(weight))
        trace = domain.propagate(scaled, ball)
        return torch.stack([trace.lower, trace.upper])

    held = [t.clone().requires_grad_() for t in inputs]
    for gradient in torch.autograd.grad(ends(*held).sum(), held, allow_unused=True, materialize_grads=True):
        finite(gradient, "gradients of the bounds are finite")
    if float(radius.max()) > 0:
        ways = [normal(rng, *t.shape) for t in inputs]
        directional(ends, inputs, ways, rng, _told(problem, domain))


def never_proves_with_nan(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Where a weight is NaN or numbers overflow, so that the value at the centre is no number, no row is proved."""
    poison = rng.choice((torch.nan, torch.inf, 1e200))
    shape = problem.graph.input.shape
    bad = torch.ones(shape, dtype=torch.float64)
    bad.view(-1)[rng.randrange(prod(shape))] = poison
    nodes = list(problem.graph.nodes)
    first = Graph([nodes[0]]).then(Scale(bad)).then(Scale(bad))
    moved = [replace(n, name=f"after_{n.name}", args=tuple(a + 2 for a in n.args)) for n in nodes[1:]]
    poisoned = replace(problem, graph=Graph([*first.nodes, *moved]))
    trace = _trace(domain, poisoned)
    value = witnesses.values(poisoned, problem.region.project(problem.region.centre).unsqueeze(0))[0]
    proved = (trace.lower > 0) & trace.lower.isfinite() & ~value.isfinite()
    holds(not bool(proved.any()), "NaN and overflow never verify", f"lower {trace.lower} where the value is {value}")


def _trace(domain: AnyDomain, problem: Example) -> Trace[Any]:
    return domain.propagate(problem.graph, problem.region, problem.spec)


def alone(problem: Example, sample: int) -> Example:
    """The problem of one sample of the batch."""
    spec = problem.spec
    if spec is not None:
        own = [t[sample : sample + 1] if len(t) > 1 else t for t in (spec.C, spec.d)]
        spec = Spec(own[0], own[1], spec.groups)
    return Example(problem.graph, regions.alone(problem.region, sample), spec)
