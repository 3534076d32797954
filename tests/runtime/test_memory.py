"""What memory work may take, and who is told how it goes."""

import pytest
import torch

from absdomain import Graph, Linf, Node
from absdomain.domains import Box, DeepPoly
from absdomain.ops import Dense, ReLU, Sigmoid
from absdomain.runtime import memory
from absdomain.runtime.memory import TooLarge


def network() -> Graph:
    graph = Graph.of([Node("x", None, (), (4,))])
    generator = torch.Generator().manual_seed(0)
    for op in (
        Dense(torch.randn(5, 4, generator=generator)),
        ReLU(),
        Dense(torch.randn(5, 5, generator=generator)),
        Sigmoid(),
    ):
        graph = graph.then(op)
    return graph


def test_what_is_free_is_some_of_what_there_is() -> None:
    assert 2**20 < memory.available() < 2**60


def test_a_limit_of_the_user_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(memory.LIMIT, "1.5")
    assert memory.available() == 1.5 * 2**30
    memory.needed(1.4 * 2**30, "this")
    with pytest.raises(TooLarge, match=r"this takes at least 1.60 GiB, and 1.50 GiB may be used; take another domain"):
        memory.needed(1.6 * 2**30, "this")


@pytest.mark.parametrize("given", ["much", "0", "-1", "nan"])
def test_a_limit_that_is_none_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(memory.LIMIT, given)
    with pytest.raises(ValueError, match="positive number of GiB"):
        memory.available()


def test_substitution_that_would_not_fit_is_refused_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_SMALL", 0)
    monkeypatch.setenv(memory.LIMIT, "1e-9")
    ball = Linf(torch.zeros(1, 4), 0.1)
    with pytest.raises(TooLarge, match=r"one neuron of \(5,\) backwards .* crown-ibp.*smaller batch.*ABSDOMAIN_MEMORY"):
        DeepPoly().propagate(network(), ball).lower  # noqa: B018
    assert bool(Box().propagate(network(), ball).lower.isfinite().all())


def test_who_watches_is_told_until_all_is_done() -> None:
    told: list[tuple[str, int, int]] = []
    ball = Linf(torch.zeros(1, 4), 0.1)
    with memory.watched(lambda *what: told.append(what)):
        DeepPoly().propagate(network(), ball)
    assert told == [("bounds of (5,)", 5, 5)]
    DeepPoly().propagate(network(), ball)
    assert len(told) == 1, "nobody watches any more"
