"""Files of images are read exactly, or refused with their name, what was found and what to do."""

import gzip
import hashlib
import os
import struct
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from absdomain import data
from absdomain.data import DataError, Images, files, load
from absdomain.data.images import RECORD
from tests.data.test_svhn import write_svhn

real = pytest.mark.skipif("ABSDOMAIN_DATA" not in os.environ, reason="ABSDOMAIN_DATA names no folder of real data")
BROKEN_GZIP = gzip.compress(bytes(1000))[:-9]


def idx(entries: np.ndarray) -> bytes:
    return struct.pack(f">{1 + entries.ndim}I", 0x800 + entries.ndim, *entries.shape) + entries.tobytes()


def write_mnist(folder: Path, count: int = 6, *, pack: bool = True) -> np.ndarray:
    """Both splits of a small MNIST; returns its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = np.arange(count, dtype=np.uint8) % 10
    folder.mkdir(parents=True, exist_ok=True)
    for prefix in ("train", "t10k"):
        for kind, entries in (("images-idx3", pixels), ("labels-idx1", labels)):
            content = idx(entries)
            name = f"{prefix}-{kind}-ubyte" + (".gz" if pack else "")
            (folder / name).write_bytes(gzip.compress(content) if pack else content)
    return pixels


def write_cifar(folder: Path, file: str, count: int = 4) -> np.ndarray:
    records = np.random.default_rng(1).integers(0, 256, (count, RECORD), dtype=np.uint8)
    records[:, 0] %= 10
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(records.tobytes())
    return records


@pytest.mark.parametrize("subfolder", ["MNIST/raw", "."])
@pytest.mark.parametrize("pack", [True, False], ids=["gzipped", "plain"])
def test_idx_is_read_from_either_layout(tmp_path: Path, subfolder: str, pack: bool) -> None:
    pixels = write_mnist(tmp_path / subfolder, pack=pack)
    with pytest.warns(UserWarning, match="6 images of the public 60000"):
        images = load("mnist", "train", data_dir=tmp_path)
    assert images.pixels.dtype == torch.uint8
    assert images.labels.tolist() == [0, 1, 2, 3, 4, 5]
    x, y = images[2:4]
    assert torch.equal(x, torch.from_numpy(pixels[2:4]).unsqueeze(1).float() / 255)
    assert y.tolist() == [2, 3]
    assert images.images.shape == (6, 1, 28, 28)


def test_the_environment_names_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path)
    monkeypatch.setenv("ABSDOMAIN_DATA", str(tmp_path))
    with pytest.warns(UserWarning, match="of the public 10000"):
        assert len(load("MNIST", "test")) == 6


def test_partial_cifar_is_read_and_said(tmp_path: Path) -> None:
    first = write_cifar(tmp_path, "data_batch_1.bin")
    write_cifar(tmp_path, "data_batch_3.bin", 2)
    with pytest.warns(UserWarning, match="cifar10/train: 6 images of the public 50000"):
        images = load("cifar10", "train", data_dir=tmp_path)
    assert images.shape == (3, 32, 32)
    assert torch.equal(images.pixels[1, 2], torch.from_numpy(first[1, 1 + 2048 :].reshape(32, 32)))
    assert images.labels[:4].tolist() == first[:, 0].tolist()


IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
SPOILT = {
    "missing": (IMAGES, None, "none of .*t10k-images-idx3-ubyte.* exists; put it there"),
    "bad gzip": (IMAGES, b"no gzip at all", "not a whole gzip file .*14 bytes.*replace it"),
    "truncated gzip": (IMAGES, BROKEN_GZIP, "not a whole gzip file .*replace it"),
    "empty": (IMAGES, gzip.compress(b""), "0 bytes, too few for an IDX header of 16; replace it"),
    "wrong magic": (IMAGES, gzip.compress(bytes(100)), "0x00000000, where this IDX file has 0x00000803; replace it"),
    "labels as images": (
        IMAGES,
        gzip.compress(idx(np.zeros(99, np.uint8))),
        "0x00000801, where this IDX file has",
    ),
    "truncated": (IMAGES, gzip.compress(idx(np.zeros((6, 28, 28), np.uint8))[:-1]), r"4719 bytes, .* announces 4720"),
    "too long": (LABELS, gzip.compress(idx(np.zeros(6, np.uint8)) + b"x"), "15 bytes, .* announces 14"),
    "other size": (IMAGES, gzip.compress(idx(np.zeros((6, 5, 5), np.uint8))), r"\(5, 5\) pixels where \(28, 28\)"),
    "fewer labels": (
        LABELS,
        gzip.compress(idx(np.zeros(5, np.uint8))),
        "5 labels for the 6 images of .* both",
    ),
    "label": (LABELS, gzip.compress(idx(np.array([1, 2, 10, 0, 0, 0], np.uint8))), "label 10 is outside 0..9"),
}


@pytest.mark.parametrize(("file", "content", "message"), SPOILT.values(), ids=SPOILT)
def test_a_bad_file_is_named(tmp_path: Path, file: str, content: bytes | None, message: str) -> None:
    write_mnist(tmp_path)
    path = tmp_path / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load("mnist", "test", data_dir=tmp_path)
    assert file.removesuffix(".gz") in str(caught.value)


def test_a_bad_cifar_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data_batch_1\.bin.*exists; put it there, or unset data_dir"):
        load("cifar10", "train", data_dir=tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(bytes(RECORD + 1))
    with pytest.raises(DataError, match=r"test_batch\.bin: 3074 bytes are not a whole number of 3073-byte records"):
        load("cifar10", "test", data_dir=tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(bytes([77]) + bytes(RECORD - 1))
    with pytest.raises(DataError, match=r"test_batch\.bin: label 77 is outside 0\.\.9"):
        load("cifar10", "test", data_dir=tmp_path)


def test_bad_requests() -> None:
    with pytest.raises(DataError, match=r"unknown data set 'digit', .*; did you mean digits\?$"):
        load("digit", "test")
    with pytest.raises(DataError, match=r"unknown data set 'qqqq', .*; there are digits, mnist, "):
        load("qqqq", "test")
    with pytest.raises(DataError, match=r"unknown data set 'mnits', .*; did you mean mnist"):
        load("mnits", "train")
    with pytest.raises(DataError, match="digits has no split 'valid'; it has train, test"):
        load("digits", "valid")
    with pytest.raises(DataError, match=r"/nowhere: not a folder; let data_dir name"):
        load("mnist", "train", data_dir="/nowhere")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a small public mirror on this machine, and an empty cache."""
    import pooch

    folder = tmp_path / "mirror"
    write_mnist(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("ABSDOMAIN_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    for name in ("mnist", "cifar10", "svhn"):
        monkeypatch.setitem(files.MIRRORS, name, f"http://127.0.0.1:{server.server_port}/")
    yield folder
    server.shutdown()
    server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        pass


def publish(monkeypatch: pytest.MonkeyPatch, name: str, path: Path) -> None:
    monkeypatch.setitem(files.MD5, (name, path.name), hashlib.md5(path.read_bytes()).hexdigest())


@pytest.mark.filterwarnings("ignore:mnist/test")
def test_a_download_is_checked_and_kept(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: not downloaded .*hash.*; try again"):
        load("mnist", "test")
    for file in (IMAGES, LABELS):
        publish(monkeypatch, "mnist", mirror / file)
    assert len(load("mnist", "test")) == 6
    (mirror / IMAGES).unlink()
    assert len(load("mnist", "test", download=False)) == 6  # from the cache
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: missing, and download is off"):
        load("mnist", "train", download=False)
    (mirror / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: not downloaded .*404"):
        load("mnist", "train")


@pytest.mark.parametrize("download", [True, False])
def test_a_file_of_others_in_the_cache_is_left_as_it_is(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, download: bool
) -> None:
    for file in (IMAGES, LABELS):
        publish(monkeypatch, "mnist", mirror / file)
    theirs = tmp_path / "cache/absdomain/mnist" / IMAGES
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    with pytest.raises(DataError, match=r"idx3-ubyte\.gz: not the public file, whose MD5 is .*; move it away"):
        load("mnist", "test", download=download)
    assert theirs.read_bytes() == b"theirs"
    assert list(theirs.parent.iterdir()) == [theirs]


@pytest.mark.filterwarnings("ignore:cifar10/test")
def test_cifar_is_read_out_of_the_downloaded_archive(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = write_cifar(mirror, "test_batch.bin")
    archive = mirror / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(mirror / "test_batch.bin", "cifar-10-batches-bin/test_batch.bin")
    publish(monkeypatch, "cifar10", archive)
    assert load("cifar10", "test").labels.tolist() == records[:, 0].tolist()
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: has no file data_batch_.\.bin; delete it"):
        load("cifar10", "train")


@pytest.mark.filterwarnings("ignore:svhn/test")
def test_svhn_is_downloaded_as_it_is_published(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = write_svhn(mirror, "test")
    with pytest.raises(DataError, match=r"test_32x32\.mat: not downloaded .*hash.*; try again"):
        load("svhn", "test")
    publish(monkeypatch, "svhn", mirror / "test_32x32.mat")
    assert torch.equal(load("svhn", "test").pixels[0], torch.from_numpy(pixels[..., 0].transpose(2, 0, 1).copy()))


def test_digits_come_with_scikit_learn() -> None:
    train, test = load("digits", "train"), load("digits", "test")
    assert (len(train), len(test)) == (1437, 360)
    assert train.shape == (1, 8, 8)
    assert train.images.min() == 0
    assert train.images.max() == 1
    assert torch.bincount(test.labels).min() >= 33  # balanced


def test_holdout_is_a_partition_and_repeats() -> None:
    images = load("digits", "train")
    rest, held = images.holdout(144, seed=3)
    assert (len(rest), len(held), held.split) == (1293, 144, "validation")
    both = torch.cat([rest.pixels, held.pixels]).flatten(1)
    assert torch.equal(both.float().sum(0), images.pixels.flatten(1).float().sum(0))
    assert torch.equal(held.pixels, images.holdout(144, seed=3)[1].pixels)
    assert not torch.equal(held.pixels, images.holdout(144, seed=4)[1].pixels)
    with pytest.raises(DataError, match="cannot hold out 1437 of the 1437 images"):
        images.holdout(1437, seed=0)


def test_batches_cover_everything_in_order() -> None:
    images = load("digits", "test")
    batches = list(images.batches(100))
    assert [len(y) for _, y in batches] == [100, 100, 100, 60]
    assert torch.equal(torch.cat([x for x, _ in batches]), images.images)


def test_statistics() -> None:
    assert data.statistics("mnist") == ((0.0,), (1.0,))
    assert all(len(part) == 3 for part in data.statistics("svhn"))
    assert data.statistics("CIFAR10") == ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))


# MD5 of the uncompressed public files
MNIST = {
    "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
}


@real
def test_the_real_mnist_is_the_public_one() -> None:
    for split, prefix, count in (("train", "train", 60000), ("test", "t10k", 10000)):
        images: Images = load("mnist", split)
        assert len(images) == count
        entries = idx(images.pixels.squeeze(1).numpy()), idx(images.labels.numpy().astype(np.uint8))
        for kind, content in zip(("images-idx3", "labels-idx1"), entries, strict=True):
            assert hashlib.md5(content).hexdigest() == MNIST[f"{prefix}-{kind}-ubyte.gz"]


@real
@pytest.mark.filterwarnings("ignore:cifar10/train")
@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10"])
def test_the_real_test_images_are_balanced(name: str) -> None:
    assert torch.bincount(load(name, "test").labels).tolist() == [1000] * 10
    assert len(load(name, "train")) > 0
