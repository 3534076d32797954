"""The law of multipliers, and mutants that break it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import settings
from torch import Tensor

from absdomain import Linf, Node, Region
from absdomain.branching import climb
from absdomain.graph import Graph
from absdomain.laws import LawBroken, check_branches
from absdomain.laws.drawing import normal
from absdomain.laws.examples import example
from absdomain.ops import Dense, LeakyReLU, ReLU, Sigmoid
from absdomain.spec import Spec

TRIALS = 2000 if settings().max_examples > 50 else 60


def posed(seed: int) -> tuple[Graph, Region, Spec]:
    """A branching network of ops of all kinds, or a plain one, over a region, and a conjunction of rows."""
    rng = Random(seed)
    if seed % 2:
        problem = example(rng, size=7, batch=1)
        graph, region = problem.graph, problem.region
    else:
        graph, width = Graph.of([Node("x", None, (), (2,))]), 2
        for op in rng.sample((ReLU(), LeakyReLU(0.3), Sigmoid()), rng.choice((1, 1, 3))):
            graph, width = graph.then(Dense(normal(rng, 3, width), normal(rng, 3))).then(op), 3
        region = Linf(normal(rng, 1, 2), 0.7)
    size = torch.Size(graph.output.shape).numel()
    rows = rng.choice((1, 3))
    spec = Spec(normal(rng, 1, rows, size), normal(rng, 1, rows), torch.zeros(rows, dtype=torch.long))
    return graph, region, spec


def tried(seeds: range) -> int:
    return sum(check_branches(*posed(seed), examples=1, seed=seed) for seed in seeds)


def test_any_slopes_and_multipliers_contain() -> None:
    assert tried(range(TRIALS)) > 10 * TRIALS


def sign_forgotten(op: Any, pull: Any, signed: Any, ends: Any, seen: Any) -> Any:
    """beta is subtracted whatever was decided."""
    return SHIPPED(op, pull, tuple(s.abs() for s in signed), ends, seen)


def nothing_gained(op: Any, pull: Any, signed: Any, ends: Any, seen: Any) -> Any:
    """The threshold's part of the constant is doubled."""
    return SHIPPED(op, pull, signed, tuple(2 * t + 1 for t in ends), seen)


def wrong_end(op: Any, pull: Any, signed: Any, ends: Any, seen: Any) -> Any:
    """Multipliers of either sign."""
    return SHIPPED(op, pull, tuple(-s for s in signed), ends, seen)


SHIPPED: Callable[..., Any] = climb._held


@pytest.mark.sampled(3)
@pytest.mark.parametrize("mutant", [sign_forgotten, nothing_gained, wrong_end], ids=lambda f: f.__name__)
def test_a_wrong_multiplier_breaks_the_law(mutant: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(climb, "_held", mutant)
    with pytest.raises(LawBroken, match="the bound of a branch"):
        tried(range(200))
