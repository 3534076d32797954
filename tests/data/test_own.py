"""Images of one's own: what a file or a folder holds is what networks get, and what is none is told."""

from pathlib import Path

import numpy as np
import pytest
import torch

from absdomain.data import DataError, canonical, counts, load, statistics

PIXELS = np.arange(4 * 1 * 3 * 3, dtype=np.uint8).reshape(4, 1, 3, 3)
LABELS = np.array([0, 1, 2, 1])


def test_bytes_and_floats_of_a_file(tmp_path: Path) -> None:
    path = str(tmp_path / "mine.npz")
    np.savez(path, images=PIXELS, labels=LABELS)
    found = load(path, "train")
    assert torch.equal(found.images, torch.from_numpy(PIXELS).float() / 255)
    assert (found.labels.tolist(), found.classes, found.shape) == ([0, 1, 2, 1], 3, (1, 3, 3))
    assert canonical(path) == path
    assert counts(path) == {"train": 4, "test": 4}
    assert statistics(path) == ((0.0,), (1.0,))
    np.savez(path, images=(PIXELS / 255).astype(np.float32), labels=LABELS)
    assert torch.equal(load(path, "test").images, torch.from_numpy((PIXELS / 255).astype(np.float32)))


def test_a_file_with_both_splits(tmp_path: Path) -> None:
    path = str(tmp_path / "both.npz")
    np.savez(path, x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:2], y_test=LABELS[:2])
    assert counts(path) == {"train": 4, "test": 2}
    assert load(path, "test").labels.tolist() == [0, 1]


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="pip install absdomain[data]")
    for place, label in (("train/cat", 0), ("train/dog", 1), ("test/cat", 0), ("test/dog", 1)):
        (tmp_path / place).mkdir(parents=True)
        for number in range(2):
            picture = np.full((3, 4), 40 * label + number, np.uint8)
            image.fromarray(picture).save(tmp_path / place / f"{number}.png")
    found = load(str(tmp_path), "train")
    assert found.shape == (1, 3, 4)  # all are grey
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.pixels[:, 0, 0, 0].tolist() == [0, 1, 40, 41]
    image.fromarray(np.zeros((5, 4), np.uint8)).save(tmp_path / "test/dog/9.png")
    with pytest.raises(DataError, match=r"9\.png.*resize it"):
        load(str(tmp_path), "test")


def test_a_public_name_is_not_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()
    assert len(load("toy", "test")) == 13


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"pictures": PIXELS, "labels": LABELS}, "x_test"),
        ({"images": PIXELS, "labels": LABELS.astype(float)}, "whole numbers"),
        ({"images": PIXELS, "labels": LABELS[:2]}, "whole numbers"),
        ({"images": PIXELS, "labels": LABELS - 1}, "from 0"),
        ({"images": PIXELS.astype(np.int32), "labels": LABELS}, "bytes or floats"),
        ({"images": np.full((4, 2), np.nan), "labels": LABELS}, "NaN"),
        ({"images": np.array([{}] * 4), "labels": LABELS}, "no file of images"),  # a pickle, which is not opened
    ],
)
def test_what_is_no_file_of_images(tmp_path: Path, arrays: dict[str, np.ndarray], told: str) -> None:
    path = str(tmp_path / "wrong.npz")
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=told):
        load(path, "test")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load(str(tmp_path / "none.npz"), "test")
    with pytest.raises(DataError, match="one for each class"):
        load(str(tmp_path), "test")
    with pytest.raises(DataError, match="folder of images of yours"):
        load("minst", "test")
