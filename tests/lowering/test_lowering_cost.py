"""Lowering looks at every operation once: what it does grows as the network does, and no faster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.graph import _node_list

from absdomain import to_graph
from absdomain.lowering.walk import _Lowering
from benchmarks.lowering import chain
from tests.written import Written, names


def looks(operations: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many nodes of the exported graph, and how many submodules, the walk over it looks at."""
    seen = {"nodes": 0, "modules": 0}

    def counted(kind: str, entries: Iterator[Any]) -> Iterator[Any]:
        for entry in entries:
            seen[kind] += 1
            yield entry

    def walk(lowering: _Lowering) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(nn.Module, "named_children", lambda module: counted("modules", children(module)))
            patch.setattr(_node_list, "__iter__", lambda listed: counted("nodes", nodes(listed)))
            return lowered(lowering)

    children, nodes, lowered = nn.Module.named_children, _node_list.__iter__, _Lowering.lowered
    with monkeypatch.context() as patch:
        patch.setattr(_Lowering, "lowered", walk)
        assert len(to_graph(chain(operations), torch.rand(2, 8)).schedule) == operations
    return seen["nodes"], seen["modules"]


def test_the_walk_is_as_long_as_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = looks(20, monkeypatch), looks(80, monkeypatch)
    for few, many in zip(small, large, strict=True):
        assert many <= 4 * few + 4, f"four times the operations: {few} looks became {many}"


def test_names_of_one_layer_that_is_called_often_are_found_at_once() -> None:
    def often(self: Any, x: Tensor) -> Tensor:
        for _ in range(30):
            x = self.layer(x)
        return x

    graph = to_graph(Written(often, layer=nn.Linear(4, 4)), torch.rand(2, 4))
    assert names(graph) == ["input", "layer", *(f"layer_{count}" for count in range(2, 31))]


def test_the_benchmark_measures_a_ratio() -> None:
    from benchmarks.lowering import measured

    row = measured(5)
    assert row["operations"] == 5
    assert row["ratio"] == pytest.approx(row["lowered"] / row["export"])
