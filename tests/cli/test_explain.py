"""`absdomain explain` tells of each domain what every layer costs, as tables, as JSON and as pictures."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

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


def test_what_is_missing_is_asked_for(file: Path) -> None:
    assert "Give --eps" in call("explain", file, *ASK[:-2], code=1).stderr
    assert "test images 0..359" in call("explain", file, *ASK, "--index", "9999", code=1).stderr
    assert "no domain" in call("explain", file, *ASK, "--domain", "bax", code=1).stderr
    assert "which network" in call("explain", code=1).stderr
