"""What a domain promises, law by law: each takes a domain and a problem, and raises LawBroken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import torch
from torch import Tensor

from absdomain.domain import Trace, parse
from absdomain.graph import freeze
from absdomain.guarantee import Guarantee
from absdomain.kinds import Nonlinear
from absdomain.laws import drawing, matrices, optima, places, regions, witnesses
from absdomain.laws.broken import LawBroken, at_most, equal, finite, holds, slack
from absdomain.laws.derivatives import directional, weights, with_weights
from absdomain.laws.drawing import normal
from absdomain.laws.examples import Example
from absdomain.laws.problems import AnyDomain
from absdomain.linear import Bounds
from absdomain.ops import Dense
from absdomain.region import L1, L2, Linf
from absdomain.spec import Spec, halfspaces

_ALONG = 401
Relaxed = tuple[Nonlinear, tuple[Any, ...], tuple[Bounds, ...], list[Tensor]]
SOLVED = 1e-6  # relative: solvers stop at feasibilities of about 1e-7


def contains(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Finite bounds hold f(x), or C f(x) + d, at every point tried, and so do those of an inner node; of SOUND domains.

    Of all domains, lower <= upper. The trace promises the weaker of the domain's and the region's guarantee.
    """
    trace = domain.propagate(problem.graph, problem.region, problem.spec, keep=True)
    promised = min(domain.guarantee, problem.region.guarantee)
    holds(trace.guarantee == promised, "a trace promises the weaker of domain and region", repr(trace.guarantee))
    finite(trace.lower, "bounds are finite")
    finite(trace.upper, "bounds are finite")
    sizes = witnesses.magnitudes(problem)
    at_most(trace.lower, trace.upper, slack(sizes[-1]), "lower <= upper")
    if promised < Guarantee.SOUND:
        return
    x = witnesses.points(problem, rng)
    inner = witnesses.activations(problem.graph, x)
    value = witnesses.asked(problem, inner[-1])
    holds(trace.lower.shape == value.shape[1:], "bounds have the output's shape", f"{tuple(trace.lower.shape)}")
    at_most(trace.lower, value, slack(sizes[-1]), "lower <= f(x)")
    at_most(value, trace.upper, slack(sizes[-1]), "f(x) <= upper")
    place = rng.randrange(max(1, len(inner) - 1))
    name = problem.graph.nodes[place].name
    bounds, room = trace.at(name), slack(sizes[place])
    at_most(bounds.lower, inner[place], room, "lower <= f(x) at an inner node", name)
    at_most(inner[place], bounds.upper, room, "f(x) <= upper at an inner node", name)


def contains_where_branches_meet(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """As `contains`, on branches of their own relaxations that meet again."""
    contains(domain, problem, rng)


def contains_when_frozen(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Bounds over the frozen graph, whose affine ops are merged, hold the values of the graph; of SOUND domains."""
    trace = domain.propagate(freeze(problem.graph), problem.region, problem.spec)
    finite(trace.lower, "bounds are finite")
    finite(trace.upper, "bounds are finite")
    if trace.guarantee == Guarantee.SOUND:
        value, room = (
            witnesses.values(problem, witnesses.points(problem, rng)),
            slack(witnesses.magnitudes(problem)[-1]),
        )
        at_most(trace.lower, value, room, "lower <= f(x), frozen")
        at_most(value, trace.upper, room, "f(x) <= upper, frozen")


def holds_a_curve(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Bounds of f(x) - s x hold it all along the box, for one op f and slopes s as policies choose; of SOUND domains.

    So the band of an op that a bound rests on is seen by itself.
    """
    trace = _trace(domain, problem)
    if trace.guarantee < Guarantee.SOUND:
        return
    box, op = problem.region.box(), problem.graph.nodes[1].op
    marks = torch.tensor(places.declared(op), dtype=torch.float64)  # type: ignore[arg-type]
    along = torch.linspace(0, 1, _ALONG, dtype=torch.float64).view(-1, 1, 1)
    inside = torch.clamp(marks.view(-1, 1, 1), box.lower, box.upper)
    value = witnesses.values(problem, torch.cat([torch.lerp(box.lower, box.upper, along), inside]))
    assert problem.spec is not None
    far = torch.maximum(box.lower.abs(), box.upper.abs())
    largest = torch.cat([far, witnesses.activations(problem.graph, box.lower.unsqueeze(0))[1][0].abs()], 1)
    size = value.abs().amax(0) + (problem.spec.C.abs() @ largest.unsqueeze(-1)).squeeze(-1)
    at_most(trace.lower, value, slack(size), "lower <= f(x) - s x", repr(op))
    at_most(value, trace.upper, slack(size), "f(x) - s x <= upper", repr(op))


def reads_one_element(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """trace.lower and trace.upper are the ends of bounds(e); bounds(e, where) agrees with them where it is asked."""
    trace, room = _trace(domain, problem), _room(domain, problem)
    bounds = domain.bounds(trace.output)
    equal(trace.lower, bounds.lower, room, "lower is bounds(e).lower")
    equal(trace.upper, bounds.upper, room, "upper is bounds(e).upper")
    for chance in (0.5, 0.0):
        where = torch.rand(bounds.lower.shape, generator=drawing.generator(rng)) < chance
        asked = domain.bounds(trace.output, where)
        equal(asked.lower[where], bounds.lower[where], room, "bounds(where) agrees where it is asked")
        equal(asked.upper[where], bounds.upper[where], room, "bounds(where) agrees where it is asked")
        at_most(asked.lower, bounds.upper, room, "bounds(where) holds elsewhere")
        at_most(bounds.lower, asked.upper, room, "bounds(where) holds elsewhere")


def boxes_where_asked(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """boxes(op, args, asked) agrees with boxes(op, args) where it is asked, at every nonlinear op."""
    for op, args, whole, rooms in _relaxed(domain, problem):
        chance = rng.choice((0.5, 0.0))
        asked = tuple(torch.rand(b.lower.shape, generator=drawing.generator(rng)) < chance for b in whole)
        for box, part, where, room in zip(whole, domain.boxes(op, args, asked), asked, rooms, strict=True):
            equal(part.lower[where], box.lower[where], room[where], "boxes(asked) agrees where it is asked")
            equal(part.upper[where], box.upper[where], room[where], "boxes(asked) agrees where it is asked")
            at_most(part.lower, box.upper, room, "boxes(asked) holds elsewhere")
            at_most(box.lower, part.upper, room, "boxes(asked) holds elsewhere")


def meets_in_any_order(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """box & domain relaxes over the boxes of domain & box, but where the op is affine over either.

    So a meet heeds the boxes over which its part relaxes, those of a guide, say, at whatever place the part stands.
    """
    box = parse("box")
    first, last = box & domain, domain & box
    for op, args, boxes, rooms in _relaxed(first, problem):
        swapped = last.boxes(op, tuple((*e[1:], e[0]) for e in args))
        settled = op.settled(boxes) or tuple(torch.zeros_like(b.lower, dtype=torch.bool) for b in boxes)
        for one, other, done, room in zip(boxes, swapped, settled, rooms, strict=True):
            equal(other.lower[~done], one.lower[~done], room[~done], "a & b and b & a relax over the same boxes")
            equal(other.upper[~done], one.upper[~done], room[~done], "a & b and b & a relax over the same boxes")


def samples_are_independent(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """A sample's bounds are those it has alone.

    A search chooses by comparisons, which rounding may turn: what it finds is then as good, but not the same.
    """
    room, together = _room(domain, problem), _trace(domain, problem)
    if not domain.traits.differentiable:
        room = torch.maximum(room, SOLVED * (1 + witnesses.magnitudes(problem)[-1]))
    sample = rng.randrange(len(problem.region.centre))
    apart = _trace(domain, _alone(problem, sample))
    equal(together.lower[sample : sample + 1], apart.lower, room, "lower knows no neighbour")
    equal(together.upper[sample : sample + 1], apart.upper, room, "upper knows no neighbour")


def _alone(problem: Example, sample: int) -> Example:
    """The problem of one sample of the batch."""
    spec = problem.spec
    if spec is not None:
        own = [t[sample : sample + 1] if len(t) > 1 else t for t in (spec.C, spec.d)]
        spec = Spec(own[0], own[1], spec.groups)
    return Example(problem.graph, regions.alone(problem.region, sample), spec)


def elision_is_never_looser(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """C f(x) + d fused into the last op has bounds no looser than C times the bounds of f (Gowal et al. 2018)."""
    fused, room, spec = _trace(domain, problem), _room(domain, problem), problem.spec
    if spec is None:
        return
    apart = domain.propagate(problem.graph.then(Dense(spec.C, spec.d)), problem.region)
    at_most(apart.lower, fused.lower, room, "elision is never looser")
    at_most(fused.upper, apart.upper, room, "elision is never looser")


def exact_at_a_point(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Over a region of one point the bounds are the value there."""
    trace, room = _trace(domain, problem), _room(domain, problem)
    value = witnesses.values(problem, problem.region.centre.unsqueeze(0))[0]
    equal(trace.lower, value, room, "exact at radius 0")
    equal(trace.upper, value, room, "exact at radius 0")


def exact_where_affine(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """On a graph of affine ops (a single one, if the domain is not relational) the bounds are attained."""
    region, batch = problem.region, len(problem.region.centre)
    matrix, offset = matrices.of(problem.graph, (problem.graph.input.shape,))
    matrix, offset = matrix.expand(batch, -1, -1), offset.flatten(1)
    if problem.spec is not None:
        C, d = problem.spec.C.to(matrix), problem.spec.d.to(matrix)
        matrix, offset = C @ matrix, (C @ offset.unsqueeze(-1)).squeeze(-1) + d
    trace, room, rows = _trace(domain, problem), _room(domain, problem), matrix.transpose(0, 1)
    lower, upper = regions.minimum(region, rows).t() + offset, -regions.minimum(region, -rows).t() + offset
    equal(trace.lower, lower.view_as(trace.lower), room, "exact on affine graphs")
    equal(trace.upper, upper.view_as(trace.upper), room, "exact on affine graphs")


def differentiable(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Bounds have finite gradients to the region's centre and radius and to the weights: those of their values."""
    region, centre = problem.region, problem.region.centre.detach()
    size = rng.choice((0.0, 0.137, 0.83))
    radius = torch.full((len(centre), *[1] * (centre.dim() - 1)), size).to(centre)
    if size > 0:
        centre = centre + 0.01 * normal(rng, *centre.shape)  # off the kinks at which a box is clipped

    def ends(centre: Tensor, radius: Tensor, *given: Tensor) -> Tensor:
        ball = region if isinstance(region, Linf | L2 | L1) else Linf(centre, radius)
        graph = with_weights(problem.graph, given)
        trace = domain.propagate(graph, replace(ball, centre=centre, radius=radius), problem.spec)
        return torch.stack([trace.lower, trace.upper])

    inputs = [centre, radius, *weights(problem.graph)]
    held = [t.clone().requires_grad_() for t in inputs]
    total = ends(*held).sum()
    remedy = "the bounds have no gradient; compute them without detach and no_grad, or declare "
    remedy += "traits = Traits(differentiable=False)"
    holds(total.requires_grad, "bounds have gradients", remedy)
    for gradient in torch.autograd.grad(total, held, allow_unused=True, materialize_grads=True):
        finite(gradient, "gradients of the bounds are finite")
    if size > 0:
        ways = [normal(rng, *t.shape) * t.abs().clamp(min=1e-3) for t in inputs]  # relative to each entry
        directional(ends, inputs, ways, rng, "bounds")


def nan_proves_nothing(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """A weight that is NaN or infinite, and numbers that overflow, never prove a row.

    Overflow may leave a finite bound: relu >= 0 whatever overflows before it.
    """
    lower = _trace(domain, problem).lower.flatten(1)
    value = witnesses.values(problem, problem.region.project(problem.region.centre).unsqueeze(0))[0].flatten(1)
    broken = not all(bool(t.isfinite().all()) for t in weights(problem.graph))
    nonsense = ~lower.isfinite() | (~value.isfinite() if broken else torch.zeros_like(lower, dtype=torch.bool))
    rows = halfspaces(torch.eye(lower.shape[1]).to(lower), torch.zeros(lower.shape[1]).to(lower))
    for sample, row in nonsense.nonzero().tolist():
        alone = torch.ones_like(lower[:1])
        alone[0, row] = lower[sample, row]
        proved = bool(rows.holds(alone).any())
        holds(not proved, "NaN and overflow never verify", f"lower {lower[sample, row]}, value {value[sample, row]}")


def monotone(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Bounds over a part of the region lie within those over the region; for domains of which that is a theorem."""
    inner = replace(problem, region=regions.part(problem.region, rng))
    narrow, wide, room = _trace(domain, inner), _trace(domain, problem), _room(domain, problem)
    at_most(wide.lower, narrow.lower, room, "monotone: a smaller region has no smaller lower bounds")
    at_most(narrow.upper, wide.upper, room, "monotone: a smaller region has no larger upper bounds")


def planes_lie_above(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """e_k <= <c_k, x> + d_k at every point tried, for the output and an inner node; of SOUND domains."""
    if min(domain.guarantee, problem.region.guarantee) < Guarantee.SOUND:
        return
    x = witnesses.points(problem, rng)
    values = witnesses.activations(problem.graph, x)
    elements = _elements(domain, problem)
    for place in {len(values) - 1, rng.randrange(len(values))}:
        planes = domain.planes(elements[place])
        if planes is None:
            raise LawBroken("a domain gives planes above all of its elements, or above none", f"none at node {place}")
        rows, constants = planes
        reached = torch.stack([rows.dot(point) + constants for point in x]).transpose(1, 2)  # (P, B, K)
        finite(reached, "planes are finite")
        far = problem.region.box().lower.abs() + problem.region.box().upper.abs()
        size = rows.maximum(Bounds(-far, far)).max() + constants.abs().max() + witnesses.magnitudes(problem)[place]
        at_most(values[place].flatten(2), reached, slack(size), "f(x) <= the plane above it")


def never_beyond_the_optimum(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """lower <= min and max <= upper, the exact ends of each functional (a mixed-integer program); of SOUND domains."""
    trace = _trace(domain, problem)
    if trace.guarantee == Guarantee.SOUND:
        optima.hold(trace.lower, trace.upper, problem)


def precision(domain: AnyDomain, magnitude: Tensor) -> Tensor:
    """How far numbers of this magnitude that should be equal may differ: a solver knows them to its tolerances only.

    For equalities and orderings: what a sound domain promises of values is held to rounding, whoever computed it.
    """
    return SOLVED * (1 + magnitude) if domain.traits.solved else slack(magnitude)


def _elements(domain: AnyDomain, problem: Example) -> list[Any]:
    """The domain's element of every node."""
    elements = [domain.lift(problem.region)]
    for step in problem.graph.schedule:
        elements.append(domain.transfer(step.op, *(elements[a] for a in step.args)))
    return elements


def _relaxed(domain: AnyDomain, problem: Example) -> Iterator[Relaxed]:
    """Every nonlinear op with the domain's elements of its arguments, their boxes, and the rounding of those."""
    elements, sizes = [domain.lift(problem.region)], witnesses.magnitudes(problem)
    for step in problem.graph.schedule:
        args = tuple(elements[a] for a in step.args)
        match step.op:
            case Nonlinear() as op:
                boxes = domain.boxes(op, args)
                rooms = [precision(domain, sizes[a]).expand_as(b.lower) for a, b in zip(step.args, boxes, strict=True)]
                yield op, args, boxes, rooms
                elements.append(domain.relax(op, args, boxes))
            case op:
                elements.append(domain.transfer(op, *args))


def _trace(domain: AnyDomain, problem: Example) -> Trace[Any]:
    return domain.propagate(problem.graph, problem.region, problem.spec)


def _room(domain: AnyDomain, problem: Example) -> Tensor:
    return precision(domain, witnesses.magnitudes(problem)[-1])
