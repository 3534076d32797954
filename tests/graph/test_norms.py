"""The norms of layers induced by l_inf: by hand, and after each epoch of a training."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from absdomain import to_graph
from absdomain.graph.norms import induced_norms
from absdomain.networks import cnn7
from absdomain.trainers import read, read_metrics, train
from tests.cli.test_cli import call


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_norms_by_hand() -> None:
    conv, dense = nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.Linear(2, 3)
    network = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), dense)
    with torch.no_grad():
        conv.weight.copy_(torch.arange(18.0).view(2, 1, 3, 3) - 8)
        dense.weight.copy_(torch.tensor([[1.0, -2.0], [-3.0, 0.5], [0.0, 3.0]]))
    norms = induced_norms(to_graph(network, torch.zeros(1, 1, 1, 1)))
    assert list(norms.values()) == [5.0, 3.5]  # of the kernels only the centres, -4 and 5, meet a pixel
    assert list(induced_norms(to_graph(conv, torch.zeros(1, 1, 3, 3))).values()) == [45.0]  # 1 + ... + 9


def test_it_is_the_largest_stretch_of_any_layer() -> None:
    graph = to_graph(cnn7((1, 6, 6), 3).double().eval(), torch.zeros(1, 1, 6, 6, dtype=torch.float64))
    norms = induced_norms(graph)
    assert {"conv1", "bn1", "fc1", "fc2"} <= norms.keys()
    for node in graph.nodes:
        if node.name in norms:
            (shape,) = (graph.nodes[arg].shape for arg in node.args)
            tried = 1 - 2 * torch.randint(2, (200, *shape)).double()
            moved = node.op(tried) - node.op(torch.zeros_like(tried))  # type: ignore[misc]
            assert moved.abs().max() <= norms[node.name] * (1 + 1e-12)


def test_norms_are_noted_after_each_epoch_and_change_nothing(tmp_path: Path) -> None:
    short = {"data": "digits", "network": "crown-ibp-A", "epochs": 2, "images": 128, "eps": 0.05}
    for name, norms in (("plain", False), ("noted", True)):
        list(train(read("ibp").recipe(**short, norms=norms), tmp_path / name))
    assert not read_metrics(tmp_path / "plain")[-1]["more"].keys() & {"norm.conv2"}
    assert (tmp_path / "plain/model.safetensors").read_bytes() == (tmp_path / "noted/model.safetensors").read_bytes()
    first, last = ({k: v for k, v in row["more"].items() if k[:5] == "norm."} for row in read_metrics("noted"))
    assert list(first) == [f"norm.{layer}" for layer in ("conv1", "conv2", "fc1", "fc2")]
    assert all(first[name] != last[name] for name in first)
    call("inspect", tmp_path / "noted")
    layers = json.loads((tmp_path / "noted/inspected/layers.json").read_text())
    assert last == {f"norm.{layer['name']}": pytest.approx(layer["norm"], rel=1e-5) for layer in layers}


def test_the_command_draws_them(tmp_path: Path) -> None:
    ask = ["train", "--data", "toy", "--trainer", "natural", "--epochs", "2"]
    for out, more in (("a", []), ("b", ["--norms"])):
        call(*ask, *more, "--out", tmp_path / out)
    assert set(read_metrics(tmp_path / "b")[-1]["more"]) == {f"norm.fc{n}" for n in (1, 2, 3, 4)}
    height = [_height(tmp_path / out / "training.png") for out in ("a", "b")]
    assert height[1] > height[0]  # a panel more


def _height(picture: Path) -> int:
    return int.from_bytes(picture.read_bytes()[20:24], "big")  # of PNG's header
