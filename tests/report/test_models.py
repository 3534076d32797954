"""A model is opened by its file's suffix, with nothing in it run, and what does not fit is told."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from absdomain.errors import InvalidFile
from absdomain.networks.mlp import mlp_2x100
from absdomain.report.models import opened


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return mlp_2x100((1, 8, 8), 10).eval()


def saved(net: nn.Module, path: Path) -> Path:
    state = net.state_dict()
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.suffix == ".npz":
        arrays = {f"{'Wb'[i % 2]}{i // 2}": t.numpy() for i, t in enumerate(state.values())}
        text = '{"layers": "flatten fc64>100 relu fc100>100 relu fc100>10", "input": [1, 8, 8]}'
        np.savez(path, arch=text, **arrays)  # type: ignore[arg-type]
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "a.pth", "a.npz"])
def test_files_of_numbers(net: nn.Module, tmp_path: Path, name: str) -> None:
    path = saved(net, tmp_path / name)
    found = opened(path, data="digits", network=None if name.endswith("npz") else "mlp-2x100")
    images, labels = found.images(slice(5))
    assert (found.name, found.eps, found.clip, tuple(images.shape), len(labels)) == ("a", None, True, (5, 1, 8, 8), 5)
    assert isinstance(found.network, nn.Module)
    torch.testing.assert_close(found.network(images), net(images))


def test_onnx_takes_images_in_its_own_shape(net: nn.Module, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    flat, path = nn.Sequential(nn.Linear(64, 10)), tmp_path / "flat.onnx"
    torch.onnx.export(flat, (torch.zeros(1, 64),), path, dynamo=False)
    found = opened(path, data="digits")
    images, _ = found.images(slice(3))
    assert tuple(images.shape) == (3, 64)
    assert isinstance(found.network(images), Tensor)
    small = tmp_path / "small.onnx"
    torch.onnx.export(nn.Linear(5, 10), (torch.zeros(1, 5),), small, dynamo=False)
    with pytest.raises(ValueError, match="give --data with images of its size"):
        opened(small, data="digits").images(slice(3))


def test_what_does_not_fit_is_told(net: nn.Module, tmp_path: Path) -> None:
    path = saved(net, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="give --network"):
        opened(path, data="digits")
    with pytest.raises(ValueError, match="give --data"):
        opened(path, network="mlp-2x100")
    with pytest.raises(InvalidFile, match="not the numbers of mlp-4x256"):
        opened(path, data="digits", network="mlp-4x256")
    with pytest.raises(ValueError, match="leave this out"):
        opened(tmp_path / "a.npz", network="mlp-2x100")
    with pytest.raises(ValueError, match="leave --weights and --model out"):
        opened(path, model="partner", data="digits", network="mlp-2x100")
    with pytest.raises(InvalidFile, match="no such file"):
        opened(tmp_path / "none.onnx", data="digits")
    for value in (torch.zeros(3), nn.Linear(1, 1)):  # a pickled module is not run
        torch.save(value, tmp_path / "other.pt")
        with pytest.raises(InvalidFile, match=r"other\.pt"):
            opened(tmp_path / "other.pt", data="digits", network="mlp-2x100")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(InvalidFile, match="no file of tensors by name"):
        opened(tmp_path / "bad.safetensors", data="digits", network="mlp-2x100")
