"""SVHN's MATLAB files are read exactly, or refused with their name, what was found and what to do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from absdomain.data import DataError, load
from absdomain.trainers import read
from tests.cli.test_cli import call

LABELS = (10, 1, 9, 2)  # as published: 10 is the digit 0
PIXELS = np.random.default_rng(2).integers(0, 256, (32, 32, 3, len(LABELS)), dtype=np.uint8)


def write(folder: Path, split: str, **arrays: Any) -> Path:
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}_32x32.mat"
    savemat(path, arrays, do_compression=True)
    return path


def write_svhn(folder: Path, split: str) -> np.ndarray:
    """A split of a small SVHN; returns its pixels, (32, 32, 3, N)."""
    write(folder, split, X=PIXELS, y=np.array(LABELS, np.uint8)[:, None])
    return PIXELS


@pytest.mark.parametrize("subfolder", ["SVHN", "."])
@pytest.mark.parametrize(("split", "public"), [("train", 73257), ("test", 26032)])
def test_svhn_is_read_from_either_layout(tmp_path: Path, subfolder: str, split: str, public: int) -> None:
    write_svhn(tmp_path / subfolder, split)
    with pytest.warns(UserWarning, match=f"svhn/{split}: 4 images of the public {public}"):
        images = load("svhn", split, data_dir=tmp_path)
    assert images.shape == (3, 32, 32)
    assert images.labels.tolist() == [0, 1, 9, 2]
    x, _ = images[:]
    assert x[3, 2, 5, 7].item() == pytest.approx(PIXELS[5, 7, 2, 3] / 255)
    assert torch.equal(images.pixels[1], torch.from_numpy(PIXELS[..., 1].transpose(2, 0, 1).copy()))


SPOILT = {
    "no labels": ({"X": PIXELS}, r"has no y, SVHN's images and labels; replace it"),
    "nothing": ({"z": PIXELS}, r"has no X and no y"),
    "order of axes": (
        {"X": PIXELS.transpose(3, 0, 1, 2), "y": LABELS},
        r"X is uint8 \(4, 32, 32, 3\) where uint8 \(32, 32, 3, N\) belongs; replace it",
    ),
    "floats": ({"X": PIXELS / 255, "y": LABELS}, r"X is float64 \(32, 32, 3, 4\) where"),
    "fewer labels": ({"X": PIXELS, "y": LABELS[:3]}, r"y is .* \(1, 3\) where 4 integers belong; replace it"),
    "no integers": ({"X": PIXELS, "y": np.array(LABELS) + 0.5}, r"y is float64 .* where 4 integers belong"),
    "label 0": ({"X": PIXELS, "y": (0, 1, 2, 3)}, r"label 0 is outside 1\.\.10, where 10 is the digit 0"),
    "label 11": ({"X": PIXELS, "y": (1, 2, 3, 11)}, r"label 11 is outside 1\.\.10"),
}


@pytest.mark.parametrize(("arrays", "message"), SPOILT.values(), ids=SPOILT)
def test_a_bad_file_is_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = write(tmp_path, "test", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load("svhn", "test", data_dir=tmp_path)
    assert str(path) in str(caught.value)


def test_a_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_32x32\.mat: none of .* exists; put it there, or unset data_dir"):
        load("svhn", "train", data_dir=tmp_path)
    path = write(tmp_path, "train", X=PIXELS, y=LABELS)
    for content in (b"", b"no MATLAB at all", path.read_bytes()[:-200]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"train_32x32\.mat: not a MATLAB file .*{len(content)} bytes.*replace it"):
            load("svhn", "train", data_dir=tmp_path)


@pytest.mark.parametrize("trainer", ["natural", "pgd", "fgsm", "trades", "ibp", "pure-ibp", "crown-ibp", "diffai"])
def test_the_recipes_of_svhn_are_its_own(trainer: str) -> None:
    recipe = read(trainer).recipe(data="svhn")
    assert (recipe.data, recipe.flip, recipe.normalise) == ("svhn", False, True)  # a mirrored digit is none
    assert recipe.certified_eps in (0.0, 0.01)


@pytest.mark.filterwarnings("ignore:svhn/train")
def test_svhn_is_trained_on(tmp_path: Path) -> None:
    write_svhn(tmp_path / "data", "train")
    call(
        "train", "--data", "svhn", "--data-dir", tmp_path / "data", "--trainer", "ibp", "--network", "mlp-2x100",
        "--epochs", "2", "--warmup", "0", "--ramp", "1", "--validation", "1", "--out", tmp_path / "run",
    )  # fmt: skip
    assert (tmp_path / "run/model.safetensors").exists()
