"""What a search on activations closes, covers its question; and a proof alone is told."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import torch

from absdomain import Graph, Interval, Node
from absdomain.branching import Verdict, decide
from absdomain.branching.climb import arguments
from absdomain.branching.open_parts import OpenParts
from absdomain.branching.record import Record
from absdomain.branching.target import Target
from absdomain.laws.drawing import normal
from absdomain.ops import Dense, ReLU
from absdomain.spec import Spec


class Kept(Record):
    """Keeps all that it is told."""

    def __init__(self) -> None:
        self.leaves: list[tuple[Target, Any]] = []
        self.asked: list[tuple[Target, Sequence[Any]]] = []

    def closed(self, target: Target, some: OpenParts) -> None:
        self.leaves.append((target, some))

    def proved(self, asked: Target, searches: Sequence[Any]) -> None:
        self.asked.append((asked, searches))


def test_closed_branches_hold_every_input() -> None:
    """A bound that needs decisions: each x has the signs of some branch that was closed, of the search that ended."""
    rng = Random(3)
    graph = Graph.of([Node("x", None, (), (30,))])
    for n, m in ((30, 12), (12, 8)):
        graph = graph.then(Dense(normal(rng, m, n), normal(rng, m))).then(ReLU())
    graph = graph.then(Dense(normal(rng, 1, 8), normal(rng, 1)))
    box = Interval(torch.full((1, 30), -1.0).double(), torch.full((1, 30), 1.0).double())
    x = box.sample(3000, torch.Generator().manual_seed(0))[:, 0]
    values = graph(x)
    kept, d = Kept(), 0.5 * (values.max() - values.min()) - values.min()
    (found,) = decide(graph, box, Spec(torch.ones(1, 1, 1).double(), d.view(1, 1)), record=kept)
    ((_, searches),) = kept.asked
    assert found.verdict is Verdict.UNSAT and found.branches > 1
    (search,) = [one for one in searches if not len(one)]
    leaves = [some for target, some in kept.leaves if target is search.target]
    z = search.layout.flat(arguments(search.target.graph, x))
    lower, upper = (torch.cat([getattr(some, name) for some in leaves]) for name in ("lower", "upper"))
    inside = ((lower.unsqueeze(1) <= z) & (z <= upper.unsqueeze(1))).all(2)
    assert len(lower) > 1 and bool(inside.any(0).all())


def test_what_is_not_proved_is_not_told() -> None:
    graph = Graph.of([Node("x", None, (), (2,))]).then(Dense(torch.ones(1, 2).double(), torch.zeros(1).double()))
    box = Interval(-torch.ones(1, 2).double(), torch.ones(1, 2).double())
    for d, proved in ((3.0, 1), (1.0, 0)):
        kept = Kept()
        decide(graph, box, Spec(torch.ones(1, 1, 1).double(), torch.full((1, 1), d).double()), record=kept)
        assert len(kept.asked) == proved
