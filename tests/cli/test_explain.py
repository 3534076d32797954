"""`absdomain explain` tells of each domain what every layer costs, as tables, as JSON and as pictures."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import absdomain
from absdomain.networks.mlp import mlp_2x100
from tests.cli.test_cli import call

ASK = ("--network", "mlp-2x100", "--data", "digits", "--eps", "1/50")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_file(mlp_2x100((1, 8, 8), 10).state_dict(), path)
    return path


def test_tables_and_pictures(file: Path, tmp_path: Path) -> None:
    plot, graph = tmp_path / "bars.svg", tmp_path / "graph.png"
    drawn = ("--plot", plot, "--graph", graph)
    told = call("explain", file, *ASK, "--subset", "4", "--domain", "box", "--domain", "crown-ibp", *drawn)
    for text in ("small, 4 test images of digits, eps 0.02, clipped: box", "crown-ibp", "relu1", "relu2", "(lines)"):
        assert text in told.stdout
    assert "explain: 2/2" in told.stderr
    assert all(path.stat().st_size > 1000 for path in (plot, graph))
    plot.write_text("mine")
    call("explain", file, *ASK, *drawn, code=1)
    assert plot.read_text() == "mine"


def test_json_of_one_image(file: Path) -> None:
    told = json.loads(call("explain", file, *ASK, "--index", "7", "--json", "--domain", "box").stdout)
    assert (told["network"], told["data"], told["eps"], told["clip"]) == ("small", "digits", 0.02, True)
    box = told["domains"]["box"]
    total = box["bound"] + box["lines"] + sum(layer["looseness"] for layer in box["layers"])
    assert total == pytest.approx(box["value"])
    assert box["images"] == 1


def test_estimates_come_before_the_work(file: Path) -> None:
    asked = ("--subset", "4", "--domain", "box", "--domain", "crown", "--estimate")
    told = call("explain", file, *ASK, *asked).stdout
    for text in ("an image", "4 images", "memory", "box", "crown", "MiB", "from a trial on a part of the work"):
        assert text in told
    assert "looseness" not in told
    found = json.loads(call("explain", file, *ASK, *asked, "--json").stdout)["estimates"]
    assert [one["domain"] for one in found] == ["box", "crown"]
    assert all(one["seconds"] > 0 and one["bytes"] > 0 for one in found)


def test_what_is_missing_is_asked_for(file: Path) -> None:
    assert "Give --eps" in call("explain", file, *ASK[:-2], code=1).stderr
    assert "test images 0..359" in call("explain", file, *ASK, "--index", "9999", code=1).stderr
    assert "no domain" in call("explain", file, *ASK, "--domain", "bax", code=1).stderr
    assert "which network" in call("explain", code=1).stderr


BOX = """
(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real) (declare-const Y_1 Real)
(assert (and (>= X_0 0) (<= X_0 1) (>= X_1 -1) (<= X_1 1)))
(assert (or (>= Y_0 9) (<= Y_1 -9)))
"""


def test_a_property_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers are those of the same question as a region and a spec."""
    pytest.importorskip("onnx", reason="pip install absdomain[onnx]")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 2))
    torch.onnx.export(net, (torch.zeros(1, 2),), "net.onnx", dynamo=False)
    Path("p.vnnlib").write_text(BOX)
    told = json.loads(call("explain", "net.onnx", "--property", "p.vnnlib", "--domain", "box", "--json").stdout)
    assert (told["network"], told["property"]) == ("net.onnx", "p.vnnlib")
    region = absdomain.Interval(torch.tensor([[0.0, -1.0]]), torch.tensor([[1.0, 1.0]]))
    trace = absdomain.parse("box").propagate(absdomain.to_graph(net, torch.zeros(1, 2)), region)
    margins = torch.stack([9 - trace.upper[:, 0], 9 + trace.lower[:, 1]], 1)  # each is to be positive
    assert told["domains"]["box"]["bound"] == pytest.approx(margins.min().item(), rel=1e-5)
    box = told["domains"]["box"]
    assert box["bound"] + box["lines"] + sum(layer["looseness"] for layer in box["layers"]) == pytest.approx(
        box["value"]
    )
    assert "net.onnx, p.vnnlib: box & deeppoly" in call("explain", "net.onnx", "--property", "p.vnnlib").stdout
    wrong = call("explain", "net.onnx", "--property", "p.vnnlib", "--eps", "0.1", code=1).stderr
    assert "--property says its own boxes" in wrong
    assert "asked of an ONNX file" in call("explain", "net.pt", "--property", "p.vnnlib", code=1).stderr
