"""{ region <= gamma(lift), op(gamma(e)) <= gamma(transfer(op, e)) } : what a domain promises, on random problems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import torch
from torch import Tensor

from absdomain.domain import Trace
from absdomain.guarantee import Guarantee
from absdomain.laws import drawing, matrices, problems, regions, witnesses
from absdomain.laws.broken import LawBroken, at_most, equal, finite, holds, slack
from absdomain.laws.derivatives import directional, weights, with_weights
from absdomain.laws.drawing import normal
from absdomain.laws.examples import Example
from absdomain.laws.problems import AnyDomain
from absdomain.laws.script import script
from absdomain.laws.shrink import alone, shrunk
from absdomain.laws.tally import Tally
from absdomain.ops import Dense
from absdomain.region import L1, L2, Linf
from absdomain.spec import halfspaces


@dataclass(frozen=True)
class DomainLaw:
    """What a domain promises on the problems that `draw` gives; `check` raises LawBroken. Public: write your own."""

    check: Callable[[AnyDomain, Example, Random], None]
    draw: Callable[[AnyDomain, Random], Example] = problems.anything

    def __str__(self) -> str:
        return self.check.__name__


def contains(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Finite bounds hold f(x), or C f(x) + d, at every point tried, and so do those of an inner node; of SOUND domains.

    The trace promises the weaker of the domain's and the region's guarantee.
    """
    trace = domain.propagate(problem.graph, problem.region, problem.spec, keep=True)
    promised = min(domain.guarantee, problem.region.guarantee)
    holds(trace.guarantee == promised, "a trace promises the weaker of domain and region", repr(trace.guarantee))
    finite(trace.lower, "bounds are finite")
    finite(trace.upper, "bounds are finite")
    if promised < Guarantee.SOUND:
        return
    sizes, x = witnesses.magnitudes(problem), witnesses.points(problem, rng)
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


def contains_when_frozen(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Bounds over the frozen graph, whose affine ops are merged, hold the values of the graph; of SOUND domains."""
    trace = domain.propagate(problem.graph.freeze(), problem.region, problem.spec)
    finite(trace.lower, "bounds are finite")
    finite(trace.upper, "bounds are finite")
    if trace.guarantee == Guarantee.SOUND:
        value, room = witnesses.values(problem, witnesses.points(problem, rng)), _room(problem)
        at_most(trace.lower, value, room, "lower <= f(x), frozen")
        at_most(value, trace.upper, room, "f(x) <= upper, frozen")


def reads_one_element(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """trace.lower and trace.upper are the ends of bounds(e); bounds(e, where) agrees with them where it is asked."""
    trace, room = _trace(domain, problem), _room(problem)
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


def knows_no_neighbour(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """A sample's bounds are those it has alone."""
    room, together = _room(problem), _trace(domain, problem)
    sample = rng.randrange(len(problem.region.centre))
    apart = _trace(domain, alone(problem, sample))
    equal(together.lower[sample : sample + 1], apart.lower, room, "lower knows no neighbour")
    equal(together.upper[sample : sample + 1], apart.upper, room, "upper knows no neighbour")


def elision_is_never_looser(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """C f(x) + d fused into the last op has bounds no looser than C times the bounds of f (Gowal et al. 2018)."""
    fused, room, spec = _trace(domain, problem), _room(problem), problem.spec
    if spec is None:
        return
    apart = domain.propagate(problem.graph.then(Dense(spec.C, spec.d)), problem.region)
    at_most(apart.lower, fused.lower, room, "elision is never looser")
    at_most(fused.upper, apart.upper, room, "elision is never looser")


def exact_at_a_point(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """Over a region of one point the bounds are the value there."""
    trace, room = _trace(domain, problem), _room(problem)
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
    trace, room, rows = _trace(domain, problem), _room(problem), matrix.transpose(0, 1)
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
    for gradient in torch.autograd.grad(ends(*held).sum(), held, allow_unused=True, materialize_grads=True):
        finite(gradient, "gradients of the bounds are finite")
    if size > 0:
        ways = [normal(rng, *t.shape) * t.abs().clamp(min=1e-3) for t in inputs]  # relative to each entry
        directional(ends, inputs, ways, rng, "bounds")


def never_proves_nonsense(domain: AnyDomain, problem: Example, rng: Random) -> None:
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


RAISES = "a domain raises nothing"
LAWS = (
    DomainLaw(contains),
    DomainLaw(contains_when_frozen),
    DomainLaw(reads_one_element),
    DomainLaw(knows_no_neighbour, problems.generic),
    DomainLaw(elision_is_never_looser, problems.with_a_last_layer),
    DomainLaw(exact_at_a_point, problems.one_point),
    DomainLaw(exact_where_affine, problems.affine),
    DomainLaw(differentiable, problems.generic),
    DomainLaw(never_proves_nonsense, problems.poisoned),
)


def check_domain(
    domain: AnyDomain, *, examples: int = 40, seed: int = 0, laws: Sequence[DomainLaw] = LAWS, shrink: bool = True
) -> Tally:
    """Every law of a domain, each on `examples` random problems in float64; what was tried is returned.

    Raises LawBroken with the values and, after shrinking, a script of a few lines that poses the problem again.
    The same seed tries the same problems. A domain that is not SOUND is spared only the law that values are held.
    """
    tally = Tally()
    for law in laws:
        for number in range(examples):
            problem = law.draw(domain, Random(f"{law}{seed}.{number}"))
            again = f"{seed}.{number}"
            broken = _breach(law, domain, problem, again)
            if broken is not None:
                raise _told(law, domain, problem, again, broken, shrink=shrink)
            tally.count(problem)
    return tally


def _breach(law: DomainLaw, domain: AnyDomain, problem: Example, seed: str) -> LawBroken | None:
    try:
        law.check(domain, problem, Random(seed))
    except LawBroken as broken:
        return broken
    except Exception as error:  # a plug-in may fail in any way
        raised = LawBroken(RAISES, f"{type(error).__name__}: {error}")
        raised.__cause__ = error
        return raised
    return None


def _told(
    law: DomainLaw, domain: AnyDomain, problem: Example, seed: str, broken: LawBroken, *, shrink: bool
) -> LawBroken:
    """The breach with a script of its shrunk problem."""

    def fails(smaller: Example) -> bool:
        found = _breach(law, domain, smaller, seed)
        return found is not None and (found.law == RAISES) == (broken.law == RAISES)

    small = shrunk(problem, fails) if shrink else problem
    last = _breach(law, domain, small, seed) or broken
    text = f"{last.message}\n{domain} breaks the law `{law}` (seed {seed}):\n\n{script(small, domain)}"
    told = LawBroken(last.law, text)
    told.__cause__ = last.__cause__
    return told


def _trace(domain: AnyDomain, problem: Example) -> Trace[Any]:
    return domain.propagate(problem.graph, problem.region, problem.spec)


def _room(problem: Example) -> Tensor:
    return slack(witnesses.magnitudes(problem)[-1])
