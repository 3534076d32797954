"""Whatever the dtype of a graph, its search is in float64, and its counterexamples are of its own dtype."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from absdomain import decide, margins, to_graph, unsafe, variables, verify
from absdomain.branching.target import Target
from absdomain.certification.question import Question
from absdomain.domain import AnyDomain
from absdomain.region import L2, Linf
from absdomain.values import leaves

RADIUS = 0.5


def question(dtype: torch.dtype) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))
    x = 3 * torch.randn(8, 3).to(dtype)
    return model.to(dtype), x, model(x).argmax(1)


@pytest.mark.parametrize("ball", [Linf, L2])
def test_a_graph_in_float32_is_searched_in_float64(ball: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    module = sys.modules[decide.__module__]
    made = module.target

    def watched(asked: Question, domain: AnyDomain) -> Target:
        found = made(asked, domain)
        seen.update(t.dtype for t in (found.region.centre, found.slack, found.bounds, *leaves(found.graph)))
        return found

    monkeypatch.setattr(module, "target", watched)
    verdicts = {}
    for dtype in (torch.float32, torch.float64):
        model, x, y = question(dtype)
        found = decide(to_graph(model, x), ball(x, RADIUS), margins(y, 2))
        verdicts[dtype] = [outcome.verdict for outcome in found]
        for index, outcome in enumerate(found):
            if outcome.point is not None:
                assert outcome.point.dtype == dtype
                assert int(model(outcome.point.unsqueeze(0)).argmax()) != y[index]
                away = outcome.point.double() - x[index].double()
                assert float(away.abs().max() if ball is Linf else away.norm()) <= RADIUS * (1 + 1e-12)
    assert seen == {torch.float64}
    assert verdicts[torch.float32] == verdicts[torch.float64]
    assert len(set(verdicts[torch.float32])) == 2, verdicts


def test_a_graph_in_float32_is_verified() -> None:
    model, x, _ = question(torch.float32)
    graph = to_graph(model, x)
    given, out = variables(graph)
    reached = float(model(torch.rand(1000, 3)).detach()[:, 0].max())
    for limit, verdict in ((reached, "sat"), (reached + 5, "unsat")):
        answer = verify(graph, unsafe(given.between(0, 1) & (out[0] >= limit), graph))
        assert str(answer.verdict) == verdict
        assert all(tensor.dtype == torch.float32 for tensor in answer.counterexample.values())


def test_networks_of_several_types_are_refused() -> None:
    graphs = {}
    for name, dtype in (("f", torch.float32), ("g", torch.float64)):
        model, x, _ = question(dtype)
        graphs[name] = to_graph(model, x)
    (x, out), (other, more) = (variables(graph, network=name) for name, graph in graphs.items())
    asked = unsafe(x.between(0, 1) & other.between(0, 1) & (out[0] >= more[0] + 1), graphs)
    with pytest.raises(ValueError, match="f of float32, g of float64; a counterexample is a point of one type"):
        verify(graphs, asked)
