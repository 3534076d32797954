"""A bound with any slopes and any multipliers holds on its branch: the law on which sign splits rest."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import torch
from torch import Tensor

from absdomain.branching.climb import Branches, Climb, Lines, arguments
from absdomain.branching.decisions import Layout
from absdomain.branching.target import Target, target
from absdomain.certification.question import Question
from absdomain.domain import AnyDomain, parse
from absdomain.graph import Graph, freeze
from absdomain.laws.broken import at_most
from absdomain.region import Region
from absdomain.spec import Spec

_POINTS = 400


def check_branches(
    graph: Graph, region: Region, spec: Spec, *, domain: AnyDomain | None = None, examples: int = 100, seed: int = 0
) -> int:
    """That search by splits may be trusted with the ops of a graph: `any_multipliers_contain`, on so many branches.

    Region and spec are of one sample, in float64. Returns how many points were compared, 0 where nothing can be split;
    raises LawBroken.
    """
    with torch.no_grad():
        question = Question(graph, freeze(graph), region, spec)
        asked = target(question, parse("box & deeppoly") if domain is None else domain)
    if not asked.boxes or not bool(asked.slack.isfinite().all()):
        return 0
    return sum(any_multipliers_contain(asked, Random(seed + number)) for number in range(examples))


def any_multipliers_contain(target: Target, rng: Random, *, decided: int = 3) -> int:
    """For all x of a branch, each group has a row at least the bound, whatever the slopes, beta >= 0 and mu >= 0.

    A branch is drawn around one of the points that are tried, so that it is not empty. Returns the number of points
    that were in it; raises LawBroken.
    """
    layout = Layout.of(target.boxes)
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    points = target.region.sample(_POINTS, generator)[:, 0]
    values = layout.flat(arguments(target.graph, points))
    branch = _around(target, layout, values[rng.randrange(_POINTS)], rng, decided)
    climb = Climb(target, layout)
    lines = _any(climb.start(branch), generator)
    with torch.no_grad():
        any_bound, _ = climb.evaluated(climb.element(branch), branch, lines)
        best = climb.ascended(branch, climb.start(branch), steps=12, rate=0.2).bound  # those nearest to the rows
        bound = torch.maximum(any_bound, best)
        inside = ((values >= branch.lower) & (values <= branch.upper)).all(1)
        rows = target.rows(points[inside])[:, target.groups == 0].amax(1)
    at_most(bound.expand_as(rows), rows, torch.zeros_like(rows), "the bound of a branch <= its group's largest row")
    return len(rows)


def _around(target: Target, layout: Layout, values: Tensor, rng: Random, decided: int) -> Branches:
    """The branch of the first group's rows in which some entries are on that side of a threshold where `values` are."""
    lower, upper = layout.ends(target.boxes)
    held = torch.zeros_like(lower)
    free = layout.unsettled(lower, upper)[0].nonzero().flatten().tolist()
    where = layout.thresholds(lower, upper)[0]
    for place in rng.sample(free, min(decided, len(free))):
        side = 1.0 if values[place] >= where[place] else -1.0
        held[0, place] = side
        (lower if side > 0 else upper)[0, place] = where[place]
    rows = (target.groups == 0).nonzero().flatten()
    C, d = target.spec.C[0, rows].unsqueeze(0), target.spec.d[0, rows].unsqueeze(0)
    return Branches(lower, upper, held, C, d, target.slack[rows].unsqueeze(0))


def _any(lines: Lines, generator: torch.Generator) -> Lines:
    """Slopes beside those given, and multipliers and weights of any size."""
    below, above, beta, mu = (torch.randn(t.shape, dtype=t.dtype, generator=generator) for t in lines.leaves())
    return replace(lines, below=lines.below + below, above=lines.above + above, beta=beta.abs(), mu=mu)
