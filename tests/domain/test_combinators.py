"""A mixture whose weight is moved while it is in use."""

from __future__ import annotations

import pytest
import torch

from absdomain import Graph, Linf, Mix, Node
from absdomain.domains import Box, DeepPoly
from absdomain.ops import Dense, ReLU

NODES = [
    Node("x", None, (), (2,)),
    Node("a", Dense(torch.tensor([[1.0, 1.0], [1.0, -1.0]])), (0,), (2,)),
    Node("r", ReLU(), (1,), (2,)),
    Node("y", Dense(torch.tensor([[1.0, -1.0]])), (2,), (1,)),
]
GRAPH, REGION = Graph.of(NODES), Linf(torch.zeros(1, 2), 1.0)


@pytest.mark.parametrize("moved", [1.5, -0.25, float("nan")])
def test_a_weight_that_left_the_mixtures_is_refused_wherever_it_counts(moved: float) -> None:
    weight = torch.tensor(0.5)
    domain = Mix(Box(), DeepPoly(), weight)
    trace = domain.propagate(GRAPH, REGION)
    weight.fill_(moved)
    for use in (lambda: domain.propagate(GRAPH, REGION), lambda: domain.guarantee, lambda: trace.lower,
                lambda: trace.upper, lambda: trace.at("y")):  # fmt: skip
        with pytest.raises(ValueError, match="a mixture is sound for weights in"):
            use()


def test_a_weight_may_move_between_the_mixtures() -> None:
    weight = torch.tensor(0.0)
    domain = Mix(Box(), DeepPoly(), weight)
    trace = domain.propagate(GRAPH, REGION)
    weight.fill_(1.0)
    assert torch.equal(trace.lower, Box().propagate(GRAPH, REGION).lower)


def test_a_compiled_graph_keeps_the_weight_between_the_mixtures(monkeypatch: pytest.MonkeyPatch) -> None:
    """There no value is looked at: a weight beyond an end counts as that end."""
    weight = torch.tensor(0.5)
    domain = Mix(Box(), DeepPoly(), weight)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    weight.fill_(1.5)
    assert torch.equal(domain.propagate(GRAPH, REGION).upper, Box().propagate(GRAPH, REGION).upper)
