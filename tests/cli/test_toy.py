"""The toy: its points, the image of a ball and its area by hand, the check of the boxes, and the command."""

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from absdomain import parse, to_graph
from absdomain.certification import SoundnessError
from absdomain.cli.toy import initial
from absdomain.data import load
from absdomain.domain import AnyDomain
from absdomain.domains import Box
from absdomain.linear import Bounds, Ends
from absdomain.networks import size
from absdomain.region import Linf
from absdomain.registry import find
from absdomain.report.polytope import Polytope, area, polytope
from absdomain.trainers.methods.natural import natural
from absdomain.trainers.run.session import start
from tests.cli.test_cli import call


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_balls_of_the_toy_are_disjoint() -> None:
    toy = load("toy", "train")
    assert (len(toy), toy.shape, toy.classes, int(toy.labels.sum())) == (13, (1, 1, 2), 2, 5)
    points = toy.images.double().view(-1, 2)
    assert min((a - b).abs().max() for a, b in combinations(points, 2)) > 2 * 0.08
    assert torch.equal(load("toy", "test").pixels, toy.pixels)
    network: Any = find("networks", "toy")
    assert size(network(toy.shape, toy.classes), toy.shape) == (300 + 2 * 10100 + 202, 300)


def test_a_training_begins_with_its_initial_network(tmp_path: Path) -> None:
    recipe = natural.recipe(data="toy", seed=3)
    found = initial(recipe).state_dict()
    begun = start(tmp_path, recipe, load("toy", "train"), torch.device("cpu")).objective.network.state_dict()
    assert all(torch.equal(found[name], begun[name]) for name in begun)


def square(x: float, y: float, side: float) -> Tensor:
    """Two triangles."""
    low, high = [x, y], [x + side, y + side]
    return torch.tensor([[low, [x + side, y], high], [low, [x, y + side], high]], dtype=torch.float64)


def test_areas_by_hand() -> None:
    assert area(square(0, 0, 1)) == pytest.approx(1)
    assert area(torch.cat([square(0, 0, 1), square(0, 0, 1), square(0.2, 0.3, 0.5)])) == pytest.approx(1)
    assert area(torch.cat([square(0, 0, 1), square(0.5, 0, 1)])) == pytest.approx(1.5)
    assert area(torch.cat([square(0, 0, 1), square(3, 0, 1)])) == pytest.approx(2)
    one = torch.tensor([[[0.0, 0.0], [2.0, 1.0], [1.0, 3.0]]], dtype=torch.float64)
    assert area(one) == pytest.approx(2.5, rel=1e-4)  # the cut next to a corner is not linear
    assert area(torch.tensor([[[0.0, 1.0], [2.0, 1.0], [5.0, 1.0]]], dtype=torch.float64)) == 0  # a line
    assert area(torch.tensor([[[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]], dtype=torch.float64)) == pytest.approx(0)


def linear(matrix: list[list[float]]) -> nn.Sequential:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(matrix))
        layer.bias.copy_(torch.tensor([1.0, -2.0]))
    return nn.Sequential(nn.Flatten(), layer).double()


CENTRE = torch.tensor([[[[0.25, 0.5]]]], dtype=torch.float64)


def around(network: nn.Module, domains: dict[str, AnyDomain]) -> Polytope:
    return polytope(network, to_graph(network, CENTRE), Linf(CENTRE, 0.5), domains)


def test_the_image_under_a_linear_map_is_a_parallelogram() -> None:
    shown = around(linear([[2.0, 1.0], [-1.0, 3.0]]), {"box": Box(), "crown": parse("crown")})
    assert shown.area == pytest.approx(7.0, rel=1e-3)  # the determinant times the area of the square
    assert shown.nominal.tolist() == [2.0, -0.75]
    for box in shown.boxes.values():
        assert box.lower.tolist() == pytest.approx([0.5, -2.75])
        assert box.upper.tolist() == pytest.approx([3.5, 1.25])
    corners = shown.corners.flatten(0, 1)
    assert corners.amin(0).tolist() == pytest.approx([0.5, -2.75])  # the boundary is among the points
    assert corners.amax(0).tolist() == pytest.approx([3.5, 1.25])


class Narrow(Box):
    """Box, with an upper bound that is too low."""

    def bounds(self, e: Any, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        box = e.box()
        return Bounds(box.lower, box.upper - 1e-9)


def test_a_box_that_misses_a_point_is_told() -> None:
    network = linear([[2.0, 1.0], [-1.0, 3.0]])
    with pytest.raises(SoundnessError, match=r"narrow: \[.*\] is in the image, but not in .*; a defect"):
        around(network, {"narrow": Narrow()})
    with torch.no_grad():
        network[1].bias.fill_(torch.nan)  # type: ignore[operator]
    with pytest.raises(SoundnessError, match="nan"):
        around(network, {"box": Box()})


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="singleprop-zero is heuristic: its box need not hold the image"):
        around(linear([[1.0, 0.0], [0.0, 1.0]]), {"singleprop-zero": parse("singleprop-zero")})
    three, network = torch.zeros(1, 3, dtype=torch.float64), nn.Linear(3, 2).double()
    graph = to_graph(network, three)
    with pytest.raises(ValueError, match=r"not \(1, 3\) -> \(1, 2\); give a network with two inputs"):
        polytope(network, graph, Linf(three, 0.5), {})


@pytest.mark.slow
def test_the_command_draws_and_writes_the_areas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("absdomain.report.polytope.SIDE", 13)
    ask = ["toy", "--out", tmp_path / "t", "--epochs", "4", "--moment", "0", "--moment", "4", "--domain", "box"]
    text = call(*ask).stdout
    assert "natural" in text
    assert "ibp" in text
    rows = json.loads((tmp_path / "t/toy.json").read_text())
    assert [(row["trainer"], row["epoch"]) for row in rows] == [(t, e) for t in ("natural", "ibp") for e in (0, 4)]
    for row in rows:
        own, box = row["boxes"]["smallest"], row["boxes"]["box"]
        assert 0 <= row["area"] <= own["area"] < box["area"]
        assert all(a < b for a, b in zip(box["lower"], own["lower"], strict=True))
        assert all(a > b for a, b in zip(box["upper"], own["upper"], strict=True))
    assert rows[0] == rows[2] | {"trainer": "natural"}  # the same weights at first
    assert rows[1]["nominal"] != rows[3]["nominal"]
    assert (tmp_path / "t/toy.png").stat().st_size > 5000
    call(*ask)
    assert json.loads((tmp_path / "t/toy.json").read_text()) == rows
    for name in ("epoch-4", "model"):  # killed just after the last epoch's commit
        (tmp_path / f"t/ibp/{name}.safetensors").unlink()
    call(*ask)
    assert json.loads((tmp_path / "t/toy.json").read_text()) == rows
    error = call(*ask, "--moment", "3", code=1).stderr
    assert "epoch-3.safetensors: was not kept as the training went; give another --out" in " ".join(error.split())
    assert "the training ends after 4 epochs" in call(*ask, "--moment", "5", code=1).stderr
    assert "the toy has points 0..12" in call("toy", "--index", "13", code=1).stderr


@pytest.mark.slow
def test_training_by_ibp_brings_the_box_to_the_image(tmp_path: Path) -> None:
    call("toy", "--out", tmp_path)
    rows = {(row["trainer"], row["epoch"]): row["boxes"] for row in json.loads((tmp_path / "toy.json").read_text())}
    loose, start, tight = (
        rows[moment]["box"]["area"] / rows[moment]["smallest"]["area"]
        for moment in (("natural", 400), ("ibp", 0), ("ibp", 400))
    )
    assert tight < 4 < 20 < loose
    assert tight < start
    box = rows["ibp", 400]["box"]
    assert box["lower"][1] > box["upper"][0]  # of class 1: the box is on the right side
