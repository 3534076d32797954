"""What is looked for in float32 is told in float64, and decides as a search in float64 does."""

from __future__ import annotations

from random import Random

import pytest
import torch

from absdomain import Linf, Node, freeze, parse
from absdomain.branching import Limits, Verdict, decide, signs
from absdomain.branching.climb import Climb, Lines
from absdomain.branching.decisions import Layout
from absdomain.branching.single import Single
from absdomain.branching.target import target
from absdomain.certification.question import Question
from absdomain.graph import Graph
from absdomain.laws.drawing import normal
from absdomain.ops import Dense, ReLU, Sigmoid
from absdomain.spec import Spec, halfspaces


def posed(seed: int) -> Graph:
    """Ops of two kinds, 30 entries of the input."""
    rng, graph = Random(seed), Graph.of([Node("x", None, (), (30,))])
    for n, m, op in ((30, 6, ReLU()), (6, 5, Sigmoid()), (5, 4, ReLU())):
        graph = graph.then(Dense(normal(rng, m, n), normal(rng, m))).then(op)
    return graph.then(Dense(normal(rng, 1, 4), normal(rng, 1)))


@pytest.mark.parametrize("seed", range(3))
def test_bounds_are_those_of_float64_with_the_lines_that_were_found(seed: int) -> None:
    graph = posed(seed)
    region = Linf(normal(Random(seed), 1, 30), 0.2)
    spec = Spec(torch.ones(1, 1, 1).double(), torch.zeros(1, 1).double())
    with torch.no_grad():
        asked = target(Question(graph, freeze(graph), region, spec), parse("box & deeppoly"))
    search = signs.SignSearch(asked, 8, lambda points: None)
    climb, one = Climb(asked, Layout.of(asked.boxes)), search.root()
    branches, lines = search._branches(one), Lines(one.below, one.above, one.beta, one.mu)
    before = climb.glanced(branches, lines)
    found = Single(climb).ascended(branches, lines, 20, 0.15)
    assert found.bound.dtype == torch.float64 and bool((found.bound > before).all())
    assert torch.equal(found.bound, climb.glanced(branches, found.lines))
    assert bool((graph(region.sample(2000)[:, 0]) >= found.bound).all())


@pytest.mark.parametrize("seed", range(2))
def test_it_decides_on_both_sides_of_what_is_reached(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A little above the first bound a few branches prove it, and at a value that is taken there is a point."""
    graph, verdicts = posed(seed), []
    region = Linf(normal(Random(seed), 1, 30), 0.05)
    reached = float(graph(region.sample(500, torch.Generator().manual_seed(0))[:, 0]).min())
    bound = float(parse("box & deeppoly").propagate(graph, region).lower)
    for wide in (10**9, 0):
        monkeypatch.setattr(signs, "_WIDE", wide)
        for level in (0.9 * bound + 0.1 * reached, reached):
            spec = halfspaces(torch.ones(1, 1).double(), -torch.tensor([level]).double())
            verdicts.append(decide(graph, region, spec, limits=Limits(seconds=120))[0].verdict)
    assert verdicts == [Verdict.UNSAT, Verdict.SAT] * 2
