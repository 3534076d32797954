"""What combinations relax over, and a mixture whose weight is moved while it is in use."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from absdomain import Ends, Graph, Linf, Mix, Node, parse
from absdomain.domain import changed
from absdomain.domains import Box, DeepPoly, Dual
from absdomain.kinds import Nonlinear
from absdomain.ops import Dense, ReLU
from absdomain.relations import backward
from absdomain.relations.backward import Relation
from tests.domain.test_orderings import bounds, relu_problem

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


def test_a_guide_counts_wherever_its_domain_stands_in_a_meet() -> None:
    """box & deeppoly.guided(by=box) is IBP and CROWN-IBP side by side; box & deeppoly is not."""
    tighter = 0
    for seed in range(20):
        problem = relu_problem(seed)
        first, last, guided, box, unguided = (bounds(text, problem) for text in (
            "box & deeppoly.guided(by=box)", "deeppoly.guided(by=box) & box", "deeppoly.guided(by=box)", "box",
            "box & deeppoly",
        ))  # fmt: skip
        for found in (first, last):
            torch.testing.assert_close(found.lower, torch.maximum(guided.lower, box.lower))
            torch.testing.assert_close(found.upper, torch.minimum(guided.upper, box.upper))
        tighter += int((unguided.width < 0.99 * first.width).sum())
    assert tighter > 10


def test_a_part_of_a_combination_changes_where_it_stands() -> None:
    text = "mix((box & dual).guided(by=dual & box), dual, weight=0.25)"
    assert str(changed(parse(text), lambda part: Box() if part == Dual() else part)) == text.replace("dual", "box")


def test_a_later_part_of_a_meet_is_asked_for_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """x in [-1, 1]^2: x_1 + x_2 is in [-2, 2], and x_1 - x_2 + 3 in [1, 5], where relu is linear."""
    op = Dense(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.tensor([0.0, 3.0]))
    graph = Graph.of(NODES[:1]).then(op).then(ReLU())
    asked: list[list[list[bool]]] = []
    shipped = DeepPoly.boxes

    def boxes(self: DeepPoly, op: Nonlinear, args: tuple[Relation, ...], where: tuple[Tensor, ...]) -> Any:
        asked.append(where[0].tolist())
        return shipped(self, op, args, where)

    monkeypatch.setattr(DeepPoly, "boxes", boxes)
    parse("box & deeppoly").propagate(graph, REGION)
    parse("box & deeppoly.guided(by=box & deeppoly)").propagate(graph, REGION)
    assert asked == [[[True, False]]] * 2


@pytest.mark.parametrize("text", [
    "box", "deeppoly", "dual", "zonotope", "lp", "box & deeppoly", "deeppoly.guided(by=box)",
    "mix(deeppoly, box, weight=0.25)", "deeppoly(search=ascent(steps=2))",
])  # fmt: skip
def test_one_end_is_that_of_both(text: str) -> None:
    domain = parse(text)
    e = domain.propagate(GRAPH, REGION).output
    both, lower, upper = (domain.bounds(e, ends=which) for which in (Ends.BOTH, Ends.LOWER, Ends.UPPER))
    torch.testing.assert_close(lower.lower, both.lower)
    torch.testing.assert_close(upper.upper, both.upper)
    assert bool((lower.upper >= both.upper).all() and (upper.lower <= both.lower).all())


@pytest.mark.parametrize(
    "text", ["deeppoly", "deeppoly.guided(by=box)", "mix(deeppoly.guided(by=box), box, weight=0.25)"]
)
def test_the_lower_end_is_substituted_once(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the price of one side: the upper end of the margins is never asked for."""
    trace = parse(text).propagate(GRAPH, REGION)
    rows: list[Tensor] = []
    shipped = backward.minimum
    monkeypatch.setattr(backward, "minimum", lambda e, c: (rows.append(c.data), shipped(e, c))[1])
    _ = trace.lower
    assert [row.tolist() for row in rows] == [[[[1.0]]]]
