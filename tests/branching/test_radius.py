"""Certified radii: what is proved and what is falsified lie around the exact radius, which is known in closed form."""

from __future__ import annotations

import sys
from math import inf
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import absdomain
from absdomain.branching import Limits, Outcome, Verdict
from absdomain.branching import radius as radii


def linear(weight: list[list[float]]) -> nn.Module:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor(weight)
    return layer


X, Y = torch.tensor([[0.6, 0.2], [0.5, 0.45], [0.1, 0.9]]), torch.tensor([0, 0, 0])
EXACT = (0.2, 0.025, 0.0)  # half of x_0 - x_1, which is the margin of the identity


@pytest.mark.parametrize("kind", [nn.Module, absdomain.Graph])
def test_the_exact_radius_lies_between_the_two(kind: type) -> None:
    model = linear([[1.0, 0.0], [0.0, 1.0]])
    given: Any = model if kind is nn.Module else absdomain.to_graph(model, X)
    found = list(absdomain.radius(given, X, Y, tolerance=1e-3))
    for one, exact in zip(found, EXACT, strict=True):
        assert one.proved <= exact + 1e-7, one
        assert one.falsified >= exact - 1e-7, one
        assert one.falsified - one.proved <= 1e-3, one
        assert not one.reason
    assert (found[2].proved, found[2].falsified) == (0.0, 0.0), "the image itself is misclassified"


def test_a_witness_is_in_the_ball_and_misclassified_in_the_module_s_own_dtype() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.rand(3, 4)
    y = model(x).argmax(1)
    for one in absdomain.radius(model, x, y):
        assert one.witness is not None
        assert one.witness.dtype == torch.float32
        away = (one.witness.double() - x[one.index].double()).abs().max()
        assert float(away) <= one.falsified
        assert bool(((one.witness >= 0) & (one.witness <= 1)).all())
        assert int(model(one.witness.unsqueeze(0)).argmax()) != one.label


def test_any_balls_that_grow() -> None:
    def ball(x: Tensor, eps: float) -> absdomain.Region:
        return absdomain.L2(x, eps)

    (one,) = absdomain.radius(linear([[1.0, 0.0], [0.0, 1.0]]), X[:1], Y[:1], region=ball)
    exact = 0.4 / 2**0.5
    assert exact - 1e-3 <= one.proved <= exact <= one.falsified <= exact + 1e-3


def test_all_is_proved_up_to_the_largest() -> None:
    (one,) = absdomain.radius(linear([[1.0, 0.0], [0.0, 1.0]]), X[:1], Y[:1], largest=0.1)
    assert (one.proved, one.falsified, one.reason) == (0.1, inf, "")
    assert one.to_json()["falsified"] is None


def test_what_is_not_decided_is_left_out_from_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    def decided(graph: object, ball: absdomain.Region, spec: object, **more: object) -> list[Outcome]:
        eps = float((ball.box().upper - ball.centre).max())
        verdict = Verdict.UNSAT if eps < 0.3 else Verdict.SAT if eps > 0.6 else Verdict.UNKNOWN
        point = ball.box().upper[0] if verdict is Verdict.SAT else None
        return [Outcome(verdict, 0.0, 1, 0.0, "hard" if verdict is Verdict.UNKNOWN else "", point)]

    monkeypatch.setattr(sys.modules[radii.__module__], "decide", decided)
    x = torch.tensor([[0.5, 0.0]])
    (one,) = radii(linear([[1.0, 0.0], [0.0, 1.0]]), x, Y[:1], tolerance=0.01, clip=None)
    assert 0.29 <= one.proved < 0.3
    assert 0.6 < one.falsified <= 0.61
    assert one.reason == "hard"


def test_the_time_of_an_image_is_kept() -> None:
    (one,) = absdomain.radius(linear([[1.0, 0.0], [0.0, 1.0]]), X[:1], Y[:1], tolerance=1e-9, timeout=1e-9)
    assert one.proved <= 0.2 <= one.falsified + 1e-7
    assert one.falsified - one.proved > 1e-9
    assert one.reason.startswith("time: ")


@pytest.mark.parametrize("change", [
    {"labels": torch.tensor([0, 1])}, {"labels": torch.tensor([0, 5, 0])}, {"largest": inf}, {"tolerance": 0.0},
    {"labels": torch.zeros(3)}, {"timeout": 0.0},
])  # fmt: skip
def test_wrong_questions_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="radius: "):
        absdomain.radius(linear([[1.0, 0.0], [0.0, 1.0]]), **{"images": X, "labels": Y, **change})


def test_radii_of_a_formula() -> None:
    """|x_0 - x_1| <= 0.5 is broken at 0.05 from (0.6, 0.2), and 0.225 from (0.5, 0.45)."""
    graph = absdomain.to_graph(linear([[1.0, 0.0], [0.0, 1.0]]), X)
    _, out = absdomain.variables(graph)
    found = list(absdomain.radius(graph, X, spec=abs(out[0] - out[1]) <= 0.5))
    for one, exact in zip(found, (0.05, 0.225, 0.0), strict=True):
        assert one.label is None
        assert one.proved <= exact + 1e-7 and exact - 1e-7 <= one.falsified <= exact + 1e-3
    with pytest.raises(ValueError, match="either labels or spec"):
        absdomain.radius(graph, X)


def test_bounds_of_whole_balls_come_before_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """What bounds prove at once is proved, even if no search ever ends."""
    room: Any = sys.modules["absdomain.branching.radius"]
    decide, searches = room.decide, list[float]()

    def endless(*args: Any, limits: Limits, **options: Any) -> list[Outcome]:
        if limits.branches == 0:
            return list(decide(*args, limits=limits, **options))
        searches.append(limits.branches)
        return [Outcome(Verdict.TIMEOUT, 0.0, 0, -inf, "time: over")]

    monkeypatch.setattr(room, "decide", endless)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 30), nn.ReLU(), nn.Linear(30, 3))
    x = torch.rand(1, 10)
    found = absdomain.radius(model, x, model(x).argmax(1), largest=1.0, tolerance=0.01)
    assert repr(found) == "Radii(1 images, none asked yet: iterate, or ask for any of its results)"
    (one,) = found
    assert searches
    assert 0 < one.proved < one.falsified <= 1
    assert one.reason == "time: over"
    graph, ball = absdomain.to_graph(model, x), absdomain.Linf(x, one.proved, clip=(0, 1))
    assert one.label is not None
    spec = absdomain.margins(torch.tensor([one.label]), 3)
    assert bool((absdomain.parse("box & deeppoly").propagate(graph, ball, spec).lower > 0).all())
    assert list(found) == [one]  # again, without work
    assert repr(found).startswith(f"Radii(1 images: mean radius proved {one.proved:.4g}")
    assert len(repr(one)) < 200
