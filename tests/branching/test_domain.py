"""Branch and bound as a domain: the laws of all domains, and certification with it as the last stage."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from absdomain import certify, parse
from absdomain.branching.domain import Branching
from absdomain.certification import Status
from absdomain.laws import LAWS, check_domain

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
