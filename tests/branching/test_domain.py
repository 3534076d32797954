"""Branch and bound as a domain: the laws of all domains, and certification with it as the last stage."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from absdomain import Graph, Linf, Node, certify, parse
from absdomain.branching.domain import Branching
from absdomain.certification import Status
from absdomain.laws import LAWS, check_domain
from absdomain.ops import Dense

DEAR = tuple(law for law in LAWS if law.extreme)


def test_its_text_is_read_back() -> None:
    assert str(Branching()) == "branching" and parse("branching") == Branching()
    text = "branching(by=box & deeppoly(slopes=zero), timeout=5.0)"
    assert str(parse(text)) == text
    with pytest.raises(ValueError, match="timeout is 0"):
        parse("branching(timeout=0)")


def test_it_keeps_the_laws_of_a_domain() -> None:
    domain = Branching(timeout=2.0)
    check_domain(domain, examples=2, laws=tuple(law for law in LAWS if law not in DEAR))


@pytest.mark.slow
def test_it_keeps_the_laws_where_rounding_is_large() -> None:
    check_domain(Branching(timeout=2.0), examples=10, laws=DEAR)


def test_it_decides_what_bounds_leave_open() -> None:
    """Every image is decided, none otherwise than by the mixed-integer program."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3))
    images = torch.rand(12, 10)
    labels = model(images).argmax(1)
    cascade = [parse("box & deeppoly"), parse("branching(timeout=20)")]
    found = list(certify(model, images, labels, eps=0.12, domains=cascade))
    exact = list(certify(model, images, labels, eps=0.12, domains=[parse("exact.guided(by=box & deeppoly)")]))
    assert [v.status for v in found] == [v.status for v in exact]
    assert all(v.status is not Status.UNKNOWN for v in found)
    assert any(v.by == "branching(timeout=20)" for v in found), [v.by for v in found]


def test_time_that_runs_out_is_said() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(60, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 3)).double()
    images = torch.rand(1, 60, dtype=torch.float64)
    (verdict,) = certify(
        model, images, model(images).argmax(1), eps=0.06, domains=[parse("branching(timeout=0.2)")], attack=None
    )
    assert verdict.status is not Status.VERIFIED
    if verdict.status is Status.UNKNOWN:
        assert "time" in str(verdict.detail)


def test_a_certification_in_float32_is_decided_beyond_its_rounding() -> None:
    """What the search proves in float64 is above float32's allowance, which is asked of every bound."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3))
    images = torch.rand(12, 10)
    labels = model(images).argmax(1)
    cascade = [parse("box & deeppoly"), parse("branching(timeout=20)")]
    found = {
        dtype: list(certify(model, images, labels, eps=0.14, domains=cascade, dtype=dtype))
        for dtype in (torch.float32, torch.float64)
    }
    assert [v.status for v in found[torch.float32]] == [v.status for v in found[torch.float64]]
    searched = [v for v in found[torch.float32] if v.status is Status.VERIFIED and v.by == str(cascade[1])]
    assert searched, [v.by for v in found[torch.float32]]
    for v in searched:
        assert v.lower[str(cascade[1])] > 1e-6  # of float64's allowance it would be some 1e-14


def test_of_a_group_one_row_is_enough() -> None:
    x = torch.zeros(1, 1, dtype=torch.float64)
    graph = Graph.of([Node("x", None, (), (1,))]).then(Dense(torch.tensor([[1.0], [-1.0]]).double(), None))
    trace = Branching(timeout=5).propagate(graph, Linf(x, 1.0))
    spec = torch.tensor([[1.0, 0.1]]).double()
    moved = Branching(timeout=5).propagate(graph.then(Dense(torch.eye(2).double(), spec[0])), Linf(x, 1.0))
    assert bool((Branching(timeout=5).decide(moved.output, torch.tensor([4, 4])).lower.amax(1) > 0).all())
    for groups in (None, torch.tensor([0, 1])):
        assert bool((Branching(timeout=5).decide(moved.output, groups).lower < 0).any())
    assert bool((Branching(timeout=5).decide(trace.output, torch.tensor([0, 0])).lower <= 0).all())
