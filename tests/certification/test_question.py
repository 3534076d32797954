"""The question that certify asks: made once for a batch, and what it shares between domains."""

import pytest
import torch

from absdomain import Graph, Linf, Node, Spec, halfspaces, parse
from absdomain.certification.question import Question
from absdomain.ops import Dense, ReLU


def question(samples: int = 3) -> Question:
    weight = torch.tensor([[1.0, -2.0], [0.5, 1.0]], dtype=torch.float64)
    graph = Graph.of([Node("x", None, (), (2,))]).then(Dense(weight, torch.zeros(2, dtype=torch.float64))).then(ReLU())
    region = Linf(torch.linspace(-1, 1, 2 * samples, dtype=torch.float64).view(samples, 2), 0.1)
    return Question(graph, graph, region, halfspaces(torch.eye(2), torch.ones(2)))


def test_all_samples_in_order_are_the_same_question() -> None:
    asked = question()
    assert asked.select(torch.arange(3)) is asked
    assert asked.select(torch.tensor([2, 1, 0])) is not asked
    assert len(asked.select(torch.tensor([1])).region.centre) == 1


def test_the_question_has_the_dtype_of_its_region() -> None:
    assert question().spec.C.dtype is torch.float64


def test_what_depends_on_no_domain_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Graph] = []
    real = Spec.of
    monkeypatch.setattr(Spec, "of", lambda spec, graph: made.append(graph) or real(spec, graph))
    asked = question()
    first, second = (asked.select(torch.arange(3)).ask(parse(text)) for text in ("box", "deeppoly"))
    assert len(made) == 1
    assert first.slack.shape == second.slack.shape == first.decision.lower.shape
    assert asked.drift is asked.drift
