"""A graph as a table and as a picture."""

from pathlib import Path

import pytest
import torch
from torch import nn

from absdomain import to_graph
from absdomain.runtime.writing import WriteError


def test_a_graph_prints_as_a_table_and_draws_itself(tmp_path: Path) -> None:
    graph = to_graph(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.rand(2, 4))
    lines = str(graph).splitlines()
    assert lines[0].split() == ["node", "operation", "shape", "numbers", "reads"]
    assert [line.split()[1] for line in lines[1:]] == ["input", "Dense", "ReLU", "Dense"]
    assert lines[2].split()[-2:] == ["40", lines[1].split()[0]]
    assert repr(graph) == "Graph(3 ops, (4,) -> (3,))"
    for suffix in ("svg", "png"):
        graph.draw(tmp_path / f"graph.{suffix}")
        assert (tmp_path / f"graph.{suffix}").stat().st_size > 1000
    assert "#dbe9f6" in (tmp_path / "graph.svg").read_text()  # the boxes; their text is made of curves
    (tmp_path / "theirs.svg").write_text("<svg/>")
    kept = graph.draw()
    assert [text.get_text().split("\n")[0] for text in kept.axes[0].texts] == ["input", "Dense", "ReLU", "Dense"]
    kept.savefig(tmp_path / "kept.png")
    with pytest.raises(WriteError, match=r"theirs.svg: absdomain did not write this"):
        graph.draw(tmp_path / "theirs.svg")
