"""Weights of others are read as their file describes them, or refused with what is wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from absdomain.networks import Normalise
from absdomain.networks.weights import WeightsError, load

DENSE = {"layers": "flatten fc12>5 relu fc5>3", "input": [3, 2, 2], "mean": [0.0], "std": [1.0], "dataset": "toy"}


def arrays(net: nn.Module) -> dict[str, Any]:
    layers = [layer for layer in net if isinstance(layer, nn.Linear | nn.Conv2d)]  # type: ignore[attr-defined]
    pairs = [(f"W{k}", layer.weight) for k, layer in enumerate(layers)]
    pairs += [(f"b{k}", layer.bias) for k, layer in enumerate(layers)]
    return {name: parameter.detach().numpy() for name, parameter in pairs}


def write(path: Path, arch: Any = DENSE, **content: Any) -> Path:
    np.savez(path, **({} if arch is None else {"arch": np.array(json.dumps(arch))}), **content)
    return path


def test_a_dense_network_is_read(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))
    found = load(write(tmp_path / "n.npz", **arrays(net)))
    x = torch.rand(4, 3, 2, 2)
    assert torch.equal(found.network(x), net(x))
    assert (found.shape, found.classes, found.data) == ((3, 2, 2), 3, "toy")
    assert not found.network.training


def test_a_convolutional_network_with_statistics_is_read(tmp_path: Path) -> None:
    net = nn.Sequential(
        Normalise([0.1, 0.2, 0.3], [0.5, 0.6, 0.7]),
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(4, 2, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(18, 2),
    )
    arch = {"layers": "conv3>4 k3 s2 p1 relu conv4>2 k2 relu flatten fc18>2", "input": [3, 8, 8]}
    arch |= {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]}
    found = load(write(tmp_path / "n.npz", arch, **arrays(net)))
    x = torch.rand(4, 3, 8, 8)
    torch.testing.assert_close(found.network(x), net(x))
    assert found.data is None


GOOD = arrays(nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3)))


@pytest.mark.parametrize(
    ("arch", "content", "message"),
    [
        (None, GOOD, "has no `arch`; add it"),
        ([1], GOOD, r"arch is \[1\]; it needs the fields layers and input"),
        ({"layers": "fc12>3"}, GOOD, "it needs the fields layers and input"),
        (DENSE | {"layers": "flatten fc12>5 tanh fc5>3"}, GOOD, "'tanh' .* is not a layer"),
        (DENSE | {"layers": "conv3>4 s2 relu flatten fc16>3"}, GOOD, "no kernel size"),
        (DENSE | {"layers": "flatten fc12>3"}, GOOD, r"has the arrays \['W0', 'W1'.*needs \['W0', 'b0'\]"),
        (DENSE, GOOD | {"W1": np.zeros((3, 6), np.float32)}, r"W1 is float32 \(3, 6\), where Linear.* \(3, 5\)"),
        (DENSE, GOOD | {"b0": np.zeros(5, np.int32)}, "b0 is int32"),
        (DENSE | {"input": [1, 28, 28]}, GOOD, r"do not fit images of \(1, 28, 28\)"),
        (DENSE | {"std": [0.0], "mean": [0.5]}, GOOD, "std"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, arch: Any, content: dict[str, Any], message: str) -> None:
    with pytest.raises(WeightsError, match=message) as error:
        load(write(tmp_path / "n.npz", arch, **content))
    assert "n.npz" in str(error.value)


def test_what_is_no_npz_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        load(tmp_path / "n.npz")
    (tmp_path / "n.npz").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(WeightsError, match="not an npz file of plain arrays"):
        load(tmp_path / "n.npz")
    np.savez(tmp_path / "n.npz", W0=np.array([{"a": 1}], dtype=object))  # would need unpickling
    with pytest.raises(WeightsError, match="not an npz file of plain arrays"):
        load(tmp_path / "n.npz")
