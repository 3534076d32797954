"""What certification reads of a domain: `decide`, the points that it finds, and what is taken for a proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import torch
from torch import Tensor

from absdomain.attack import inside
from absdomain.certification.question import Answer, Question
from absdomain.domain import Decision
from absdomain.graph import freeze
from absdomain.guarantee import Guarantee
from absdomain.laws import digits, witnesses
from absdomain.laws.broken import LawBroken, at_most, finite, holds, slack
from absdomain.laws.drawing import generator
from absdomain.laws.examples import Example
from absdomain.laws.problems import AnyDomain
from absdomain.laws.promises import precision
from absdomain.spec import Spec

_POINTS = 4  # in 200 digits
_SINGLE = 2e-4  # of the largest number that is added up: what float32 may be off by on such problems


def decides(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """decide(e) is below the values where it is asked, of SOUND domains; what lower(e) proves, it proves.

    Its points lie in the region, to the last bit, and are values that it is below, too.
    """
    trace = domain.propagate(problem.graph, problem.region, problem.spec)
    decision, size = domain.decide(trace.output), witnesses.magnitudes(problem)[-1]
    lower, room = trace.lower, slack(size)
    batch = len(problem.region.centre)
    holds(decision.lower.shape == lower.shape, "decide has the shape of lower", f"{tuple(decision.lower.shape)}")
    finite(decision.lower, "decide is finite")
    late = _late(decision, batch)
    at_most(decision.lower, lower, precision(domain, size), "decide(e) is no more than lower(e)")
    sure = (lower.flatten(1) > precision(domain, size)).all(1) & ~late
    told = (decision.lower.flatten(1) > 0).all(1)
    holds(bool((told | ~sure).all()), "decide proves what lower proves", f"{decision.lower} and {lower}")
    x = _found(decision, problem)
    if min(domain.guarantee, problem.region.guarantee) < Guarantee.SOUND:
        return
    at_most(decision.lower, witnesses.values(problem, witnesses.points(problem, rng)), room, "decide(e) <= f(x)")
    if x is not None:
        at_most(decision.lower, witnesses.values(problem, x.unsqueeze(0)), room, "decide(e) <= f at its own points")


def _late(decision: Decision, batch: int) -> Tensor:
    expired = decision.expired
    if expired is None:
        return torch.zeros(batch, dtype=torch.bool)
    holds(expired.shape == (batch,) and expired.dtype == torch.bool, "expired is boolean, one a sample", f"{expired}")
    return expired


def _found(decision: Decision, problem: Example) -> Tensor | None:
    """The points of a decision: of the region, exactly."""
    x, centre = decision.points, problem.region.centre
    if x is None:
        return None
    holds(x.shape == centre.shape and x.dtype == centre.dtype, "points are (B, *input shape)", f"{tuple(x.shape)}")
    finite(x, "points are finite")
    away = (~inside(problem.region, x)).nonzero().flatten().tolist()
    holds(not away, "the points of decide lie in the region", f"samples {away}: {x[away].flatten(1).tolist()}")
    return x


def proves(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """What is taken for a proof holds at every point: bounds above what rounding may have added, by groups of rows.

    Of SOUND domains; the property is read from its definition, C z + d > 0 in a row of every group.
    """
    spec = problem.spec
    if spec is None or min(domain.guarantee, problem.region.guarantee) < Guarantee.SOUND:
        return
    answer = _asked(domain, problem, spec)
    values = witnesses.values(problem, witnesses.points(problem, rng))
    verified = spec.holds(answer.decision.lower, answer.slack)
    _by_definition(spec, verified, (answer.decision.lower > answer.slack) & answer.decision.lower.isfinite())
    _check_holds(spec, answer.decision.lower, rng)
    at_most(answer.decision.lower - answer.slack, values, 0.0, "a bound less its slack is below C f(x) + d")
    for value in values:
        true = _defined(spec, value > 0)
        broken = (verified & ~true).nonzero().flatten().tolist()
        if broken:
            text = f"samples {broken}: {value[broken].tolist()}; groups {spec.groups}"
            raise LawBroken("what is proved holds at every point", text)


def _asked(domain: AnyDomain, problem: Example, spec: Spec) -> Answer:
    answer = Question(problem.graph, freeze(problem.graph), problem.region, spec.to(problem.region.centre)).ask(domain)
    stated = answer.slack.shape == answer.decision.lower.shape and bool((answer.slack >= 0).all())
    holds(stated, "slack is a number >= 0 for each bound", f"{answer.slack}")
    return answer


def _defined(spec: Spec, true: Tensor) -> Tensor:
    """Whether each group has a row that is true, (B,); without groups each row is one."""
    names = range(true.shape[1]) if spec.groups is None else spec.groups.tolist()
    found = []
    for sample in true.tolist():
        groups: dict[Any, bool] = {}
        for name, row in zip(names, sample, strict=True):
            groups[name] = groups.get(name, False) or row
        found.append(all(groups.values()))
    return torch.tensor(found)


def _check_holds(spec: Spec, lower: Tensor, rng: Random) -> None:
    """`holds` by its definition: above a margin of the bounds' own size, and neither NaN nor infinite."""
    margin = lower.abs() * torch.rand(lower.shape, dtype=lower.dtype, generator=generator(rng)) * 2
    kind = torch.randint(9, lower.shape, generator=generator(rng))
    tried = torch.where(kind == 0, torch.nan, torch.where(kind == 1, torch.inf, lower))
    _by_definition(spec, spec.holds(tried, margin), (tried > margin) & tried.isfinite())


def _by_definition(spec: Spec, stated: Tensor, rows: Tensor) -> None:
    exact, law = _defined(spec, rows), "holds is what bounds prove, group by group"
    holds(torch.equal(stated, exact), law, f"{stated.tolist()}, by definition {exact.tolist()}; groups {spec.groups}")


def holds_where_rounding_is_large(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """A bound less its slack is below the value in 200 digits and in floats, however large the numbers between.

    Of SOUND domains. A bound may be infinite or NaN, and a slack infinite: then nothing is proved.
    """
    graph, region = problem.graph, problem.region
    n = int(torch.tensor(graph.output.shape).prod())
    eye = torch.eye(n).to(region.centre).unsqueeze(0)
    spec = problem.spec or Spec(torch.cat([eye, -eye], 1), torch.zeros(1, 2 * n).to(region.centre))
    posed = replace(problem, graph=graph, spec=spec)
    answer = _asked(domain, posed, spec)
    if answer.guarantee < Guarantee.SOUND:
        return
    low = torch.where(answer.decision.lower.isfinite(), answer.decision.lower - answer.slack, -torch.inf)
    claimed = torch.nextafter(low, torch.full_like(low, -torch.inf)).tolist()  # the difference is rounded
    x = _hard_points(posed, rng)
    floats, in_digits = witnesses.values(Example(graph, region, spec), x).tolist(), _digits(posed)
    for point, values in zip(x, floats, strict=True):
        for sample, one in enumerate(point):
            for way, found in (("floats", values[sample]), ("200 digits", in_digits(one, sample))):
                pairs = list(zip(claimed[sample], found, strict=True))
                for row in (k for k, (least, v) in enumerate(pairs) if least > v):  # NaN: f is not defined there
                    bound, exact = answer.decision.lower[sample, row].item(), float(found[row])
                    where = f"at {one.tolist()}, bound {bound!r}, slack {answer.slack[sample, row].item()!r}"
                    law = f"a bound less its slack is below the value in {way}"
                    raise LawBroken(law, f"{bound!r} against {exact!r} in row {row} {where}")


def holds_where_rounding_is_large_in_float32(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """As `holds_where_rounding_is_large`, on problems in float32."""
    holds_where_rounding_is_large(domain, problem, rng)


def _hard_points(problem: Example, rng: Random) -> Tensor:
    """A few points of the region, (P, B, *shape): corners, samples, and the last of some gradient steps."""
    region = problem.region
    found = [witnesses.extreme(region, rng), region.sample(_POINTS, generator(rng))]
    attacked = witnesses.steepest(problem.graph, region, rng, restarts=4, steps=3)
    usable = attacked[attacked.flatten(1).isfinite().all(1)]
    every = region.project(torch.cat([*found, usable]))
    picked = torch.randperm(len(every), generator=generator(rng))[:_POINTS]
    return torch.cat([region.project(region.centre).unsqueeze(0), every[picked]])


def _digits(problem: Example) -> Callable[[Tensor, int], list[Any]]:
    """x, sample -> C f(x) + d of that sample, in 200 digits."""
    spec, run = problem.spec, digits.evaluator(problem.graph)
    assert spec is not None
    C, d = ([digits.digits(one) for one in t] for t in (spec.C, spec.d))

    def value(x: Tensor, sample: int) -> list[Any]:
        return list(C[sample % len(C)] @ run(x)[-1].flatten() + d[sample % len(d)])

    return value


def keeps_its_dtype(domain: AnyDomain, problem: Example, rng: Random) -> None:
    """In float32 every bound is float32; of SOUND domains, below and above the values, to float32's rounding."""
    trace = domain.propagate(problem.graph, problem.region, problem.spec, keep=True)
    decision, dtype = domain.decide(trace.output), problem.region.centre.dtype
    place = rng.randrange(len(problem.graph.nodes))
    at = trace.at(trace.graph.nodes[place].name)
    for what, t in (
        ("lower", trace.lower), ("upper", trace.upper), ("decide", decision.lower), ("inner", at.lower),
        ("inner", at.upper),
    ):  # fmt: skip
        holds(t.dtype == dtype, "bounds have the region's dtype", f"{what} is {t.dtype} for {dtype}")
    if min(domain.guarantee, problem.region.guarantee) < Guarantee.SOUND:
        return
    x = problem.region.sample(32, generator(rng))
    value, size = witnesses.values(problem, x), witnesses.magnitudes(problem)[-1]
    if float(size) < torch.finfo(dtype).max / 2:  # nothing overflows; where an op is not defined, nothing is known
        room = _SINGLE * (1 + size)
        at_most(trace.lower.nan_to_num(nan=-torch.inf), value, room, "lower <= f(x), in float32")
        at_most(value, trace.upper.nan_to_num(nan=torch.inf), room, "f(x) <= upper, in float32")
