"""Points of a region that try to break a bound: corners, random points, and points found by gradients."""

from __future__ import annotations

from itertools import product
from math import prod
from random import Random

import torch
from torch import Tensor

from absdomain.graph import Graph
from absdomain.kinds import Affine, Nonlinear
from absdomain.laws.drawing import generator, normal
from absdomain.laws.examples import Example
from absdomain.laws.growth import interval
from absdomain.region import Region

_FAR = 1e4  # in radii: the projection of so far a point is the region's extreme point in its direction, nearly


def extreme(region: Region, rng: Random) -> Tensor:
    """Projections of far points: all sign patterns of up to six inputs, both ways along each axis, (P, B, *shape)."""
    shape = region.centre.shape[1:]
    n = prod(shape)
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=n)) if n <= 6 else [], dtype=torch.float64).view(-1, n)
    more = normal(rng, 16, n)
    axes = torch.eye(n, dtype=torch.float64)
    ways = torch.cat([signs, more.sign(), more, axes, -axes]).view(-1, 1, *shape).to(region.centre)
    return region.project(region.centre + _FAR * region.box().radius * ways)


def steepest(graph: Graph, region: Region, rng: Random, *, restarts: int = 12, steps: int = 6) -> Tensor:
    """The last points of projected gradient steps, each towards an end of a random functional of the output."""
    x = region.sample(restarts, generator(rng)).detach()
    goal = normal(rng, restarts, 1, prod(graph.output.shape))
    single = torch.zeros_like(goal).scatter(-1, goal.abs().argmax(-1, keepdim=True), 1.0) * goal.sign()
    goal = torch.where(torch.arange(restarts).view(-1, 1, 1) % 4 == 0, goal, single).to(x)  # mostly one output's ends
    reach = region.box().radius
    for step in range(steps):
        with torch.enable_grad():
            moving = x.requires_grad_()
            value = (graph(moving.flatten(0, 1)).reshape(*goal.shape[:1], -1, goal.shape[-1]) * goal).sum()
            (gradient,) = torch.autograd.grad(value, moving, allow_unused=True, materialize_grads=True)
        way = gradient.sign() if step % 2 else gradient / gradient.abs().amax().clamp(min=1e-300)
        x = region.project(x.detach() + way * reach * (2.0 if step < 2 else 0.5**step)).detach()
    return x


def points(example: Example, rng: Random) -> Tensor:
    """Points of the region, (P, B, *shape): extreme, sampled, and attacked."""
    region = example.region
    sampled = region.sample(24, generator(rng))
    return torch.cat([extreme(region, rng), sampled, steepest(example.graph, region, rng)])


def activations(graph: Graph, x: Tensor) -> list[Tensor]:
    """The value of every node at points (P, B, *shape): (P, B, *node shape) each."""
    values = [x.flatten(0, 1)]
    for step in graph.schedule:
        values.append(step.op(*(values[a] for a in step.args)))
    return [v.unflatten(0, x.shape[:2]) for v in values]


def asked(problem: Example, outputs: Tensor) -> Tensor:
    """What is bounded, from outputs (P, B, *output shape): themselves, or C f(x) + d computed without the library."""
    if problem.spec is None:
        return outputs
    C, d = problem.spec.C.to(outputs), problem.spec.d.to(outputs)
    return torch.einsum("bkn,pbn->pbk", C.expand(outputs.shape[1], -1, -1), outputs.flatten(2)) + d


def values(problem: Example, x: Tensor) -> Tensor:
    """What is bounded, at points (P, B, *shape)."""
    return asked(problem, activations(problem.graph, x)[-1])


def magnitudes(example: Example) -> list[Tensor]:
    """The largest number that bounding each node adds up: what rounding is measured in; the specification's last.

    A relaxation adds up lines in the arguments, of slopes about 1, though f itself be small (as a logarithm is).
    """
    hulls = [example.region.box()]
    largest: list[Tensor] = [torch.maximum(hulls[0].lower.abs(), hulls[0].upper.abs())]
    for step in example.graph.schedule:
        args = [largest[a] for a in step.args]
        hulls.append(interval(step.op, tuple(hulls[a] for a in step.args)))
        match step.op:
            case Affine() as op:
                offset, weight = op.offset, op.weight
                size = op.linear(None if weight is None else weight.abs(), *args)
                largest.append(size if offset is None else size + offset.abs())
            case Nonlinear() as op:
                ends = torch.maximum(hulls[-1].lower.abs(), hulls[-1].upper.abs())
                largest.append(ends + op.linearised(tuple(torch.ones_like(a) for a in args))(*args))
    tops = [m.max() for m in largest]
    if example.spec is not None:
        C, d = example.spec.C.to(largest[-1]).abs(), example.spec.d.to(largest[-1]).abs()
        tops.append((torch.einsum("bkn,bn->bk", C.expand(len(largest[0]), -1, -1), largest[-1].flatten(1)) + d).max())
    return tops
