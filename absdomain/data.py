"""Labelled images with pixels in [0, 1]: `digits`, `mnist`, `fashion-mnist`, `cifar10`.

`digits` comes with scikit-learn. The others are read from a folder (argument `data_dir`, else the environment variable
ABSDOMAIN_DATA) or, when no folder is given, downloaded once into pooch's cache and checked against the published MD5.
The formats are the public ones, gzipped or plain IDX and the CIFAR-10 binary records; nothing is ever unpickled.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import tarfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

ENVIRONMENT = "ABSDOMAIN_DATA"


class DataError(ValueError):
    """A data file is missing, damaged or not what its name says; the text has the file, the finding and the remedy."""


@dataclass(frozen=True, eq=False)
class Images:
    """{ (x_i, y_i) : x_i = pixels_i / white in [0, 1]^(C, H, W), y_i in 0..classes-1 }, kept as bytes."""

    pixels: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64
    classes: int
    name: str
    split: str
    white: int = 255  # the byte that means 1.0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> tuple[Tensor, Tensor]:
        """(x, y) of the rows named by an index, a slice or an index tensor; x in torch's default dtype."""
        return self.floats(self.pixels[rows]), self.labels[rows]

    def floats(self, pixels: Tensor) -> Tensor:
        """pixels / white, in torch's default dtype."""
        return pixels.to(torch.get_default_dtype()).div_(self.white)

    @property
    def images(self) -> Tensor:
        """(N, C, H, W) all images as floats in [0, 1]: converted at each access, so take it once or use batches."""
        return self.floats(self.pixels)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image."""
        return tuple(self.pixels.shape[1:])

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The images in order, `size` at a time; the last batch may be smaller."""
        for first in range(0, len(self), size):
            yield self[first : first + size]

    def select(self, rows: Tensor, split: str) -> Images:
        """The named rows (N',) as a data set of their own."""
        return replace(self, pixels=self.pixels[rows], labels=self.labels[rows], split=split)

    def holdout(self, count: int, seed: int) -> tuple[Images, Images]:
        """(rest, held out): `count` rows drawn without replacement, the same for the same seed; both in file order."""
        if not 0 <= count < len(self):
            raise DataError(
                f"cannot hold out {count} of the {len(self)} images of {self.name}/{self.split}; ask for fewer"
            )
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(self)))
        rest, held = order[count:].sort().values, order[:count].sort().values
        return self.select(rest, self.split), self.select(held, "validation")


@dataclass(frozen=True)
class Source:
    """How a data set is read, and the channel statistics with which papers normalise it."""

    read: Callable[[str, Shelf], tuple[Tensor, Tensor]]  # split, files -> uint8 pixels (N, C, H, W), int64 labels (N,)
    counts: dict[str, int]  # images per split in the public files
    mean: tuple[float, ...] = (0.0,)  # the methods here are published for raw digits and articles
    std: tuple[float, ...] = (1.0,)
    white: int = 255


Blob = tuple[str, bytes]  # where it came from, for messages, and the plain content


class Shelf(Protocol):
    """Where the files of one data set are looked for."""

    def find(self, file: str) -> Blob | None:
        """The content of a file of the public name, without gzip; None if there is no such file."""

    def need(self, file: str) -> Blob:
        """The same; a missing file is a DataError."""


def load(name: str, split: str, *, data_dir: str | os.PathLike[str] | None = None, download: bool = True) -> Images:
    """The images of `name` (see `names()`), split "train" or "test".

    The files are looked for in `data_dir`, else in the folder that ABSDOMAIN_DATA names, else in the download cache.
    A folder that is given and lacks a file is an error: it never leads to a download behind one's back. A folder
    with fewer images than the public files gives what it has, with a warning that says how many.
    """
    source = _source(name)
    if split not in source.counts:
        raise DataError(f"{name} has no split {split!r}; it has {', '.join(source.counts)}")
    pixels, labels = source.read(split, _shelf(name.lower(), data_dir, download))
    if len(labels) != source.counts[split]:
        warnings.warn(f"{name}/{split}: {len(labels)} images of the public {source.counts[split]}", stacklevel=2)
    return Images(pixels, labels, CLASSES, name.lower(), split, source.white)


def names() -> list[str]:
    """The data sets that `load` knows."""
    return list(SOURCES)


def statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) per channel in pixel units of [0, 1]; (0, 1) where the literature does not normalise."""
    source = _source(name)
    return source.mean, source.std


def _source(name: str) -> Source:
    if name.lower() not in SOURCES:
        raise DataError(f"unknown data set {name!r}; there are {', '.join(SOURCES)}")
    return SOURCES[name.lower()]


# --- finding files ---------------------------------------------------------------------------------------------------


def _shelf(name: str, data_dir: str | os.PathLike[str] | None, download: bool) -> Shelf:
    if data_dir is not None:
        return Folder(name, Path(data_dir), "data_dir")
    if os.environ.get(ENVIRONMENT):
        return Folder(name, Path(os.environ[ENVIRONMENT]), ENVIRONMENT)
    return Cache(name, download)


FOLDERS = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw", "cifar10": "cifar-10-batches-bin"}


@dataclass(frozen=True)
class Folder:
    """The files below a folder of the user's, in the public download's own subfolder or directly in it."""

    name: str
    path: Path
    origin: str  # who named the folder

    def find(self, file: str) -> Blob | None:
        if not self.path.is_dir():
            raise DataError(
                f"{self.path}: not a folder; let {self.origin} name the one with the data, or unset it to download"
            )
        for place in self._places(file):
            if place.is_file():
                return str(place), _plain(str(place), place.read_bytes())
        return None

    def need(self, file: str) -> Blob:
        blob = self.find(file)
        if blob is None:
            tried = ", ".join(map(str, self._places(file)))
            raise DataError(f"{file}: none of {tried} exists; put it there, or unset {self.origin} to download it")
        return blob

    def _places(self, file: str) -> list[Path]:
        return [sub / (file + end) for sub in (self.path / FOLDERS[self.name], self.path) for end in (".gz", "")]


def _plain(origin: str, content: bytes) -> bytes:
    """The content without its gzip wrapping, if it has one."""
    if not origin.endswith(".gz"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as reason:
        raise DataError(f"{origin}: not a whole gzip file ({reason}; {len(content)} bytes); replace it") from reason


MIRRORS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "cifar10": "https://www.cs.toronto.edu/~kriz/",
}
MD5 = {
    ("mnist", "train-images-idx3-ubyte.gz"): "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    ("mnist", "train-labels-idx1-ubyte.gz"): "d53e105ee54ea40749a09fcbcd1e9432",
    ("mnist", "t10k-images-idx3-ubyte.gz"): "9fb629c4189551a2d022fa330f9573f3",
    ("mnist", "t10k-labels-idx1-ubyte.gz"): "ec29112dd5afa0611ce80d1b7f02629c",
    ("fashion-mnist", "train-images-idx3-ubyte.gz"): "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    ("fashion-mnist", "train-labels-idx1-ubyte.gz"): "25c81989df183df01b3e8a0aad5dffbe",
    ("fashion-mnist", "t10k-images-idx3-ubyte.gz"): "bef4ecab320f06d8554ea6380940ec79",
    ("fashion-mnist", "t10k-labels-idx1-ubyte.gz"): "bb300cfdad3c16e7a12a480ee83cd310",
    ("cifar10", "cifar-10-binary.tar.gz"): "c32a1d4ab5d03f1284b67883e8d87530",
}


@dataclass(frozen=True)
class Cache:
    """The public files in pooch's cache, downloaded at first use."""

    name: str
    download: bool

    def find(self, file: str) -> Blob | None:
        return self.need(file)

    def need(self, file: str) -> Blob:
        if self.name == "cifar10":
            return self._member(_retrieve(self.name, "cifar-10-binary.tar.gz", self.download), file)
        path = _retrieve(self.name, file + ".gz", self.download)
        return str(path), _plain(str(path), path.read_bytes())

    def _member(self, archive: Path, file: str) -> Blob:
        # Read out of the archive rather than unpacked: a killed unpacking would leave short files behind.
        with tarfile.open(archive) as tar:
            member = tar.extractfile(f"cifar-10-batches-bin/{file}")
            if member is None:
                raise DataError(f"{archive}: has no file {file}; delete it to download it again")
            return f"{archive}:{file}", member.read()


def _retrieve(name: str, file: str, download: bool) -> Path:
    import pooch

    cache = Path(pooch.os_cache("absdomain")) / name
    if not download and not (cache / file).is_file():
        raise DataError(
            f"{cache / file}: missing, and download is off; allow it, or name a folder by data_dir or {ENVIRONMENT}"
        )
    try:
        return Path(
            pooch.retrieve(
                MIRRORS[name] + file,
                known_hash=f"md5:{MD5[name, file]}",
                fname=file,
                path=cache,
                downloader=pooch.HTTPDownloader(progressbar=_Bar(file), timeout=60),
            )
        )
    except (OSError, ValueError) as reason:  # requests' errors are OSErrors; a wrong checksum is a ValueError
        raise DataError(
            f"{MIRRORS[name]}{file}: not downloaded ({reason}); try again, or name a folder by {ENVIRONMENT}"
        ) from reason


class _Bar:
    """What pooch asks of a progress bar (total, update, reset, close), drawn by rich on the error stream."""

    def __init__(self, file: str) -> None:
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

        columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
        self.progress = Progress(*columns, console=Console(stderr=True))
        self.task = self.progress.add_task(file)

    @property
    def total(self) -> float | None:
        return self.progress.tasks[0].total

    @total.setter
    def total(self, size: float) -> None:
        self.progress.update(self.task, total=size)
        self.progress.start()

    def update(self, size: float) -> None:
        self.progress.update(self.task, advance=size)

    def reset(self) -> None:
        self.progress.update(self.task, completed=0)

    def close(self) -> None:
        self.progress.stop()


# --- reading formats -------------------------------------------------------------------------------------------------


CLASSES = 10  # of every data set here


def _labels(origin: str, labels: np.ndarray) -> Tensor:
    if labels.max(initial=0) >= CLASSES:
        raise DataError(f"{origin}: label {labels.max()} is outside 0..{CLASSES - 1}; the file is damaged, replace it")
    return torch.from_numpy(labels.astype(np.int64))


def _read_idx(split: str, shelf: Shelf) -> tuple[Tensor, Tensor]:
    prefix = {"train": "train", "test": "t10k"}[split]
    images, labels = shelf.need(f"{prefix}-images-idx3-ubyte"), shelf.need(f"{prefix}-labels-idx1-ubyte")
    pixels, classes = _idx(images, 3), _idx(labels, 1)
    if pixels.shape[1:] != (28, 28):
        raise DataError(f"{images[0]}: images of {pixels.shape[1:]} pixels where (28, 28) belong; replace it")
    if len(pixels) != len(classes):
        raise DataError(
            f"{labels[0]}: {len(classes)} labels for the {len(pixels)} images of {images[0]}; replace both files"
        )
    return torch.from_numpy(pixels).unsqueeze(1), _labels(labels[0], classes)


def _idx(blob: Blob, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes: magic 0x00000800 + dimensions, that many big-endian sizes, then the entries."""
    origin, content = blob
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataError(f"{origin}: {len(content)} bytes, too few for an IDX header of {header}; replace it")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", content[:header])
    if magic != 0x800 + dimensions:
        raise DataError(
            f"{origin}: starts with {magic:#010x}, where this IDX file has {0x800 + dimensions:#010x}; replace it"
        )
    size = header + math.prod(shape)
    if len(content) != size:
        raise DataError(f"{origin}: {len(content)} bytes, but its header {tuple(shape)} announces {size}; replace it")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()  # a copy can be written to


RECORD = 1 + 3 * 32 * 32  # a CIFAR-10 record: the label, then 1024 red, green and blue bytes, row by row


def _read_cifar(split: str, shelf: Shelf) -> tuple[Tensor, Tensor]:
    if split == "test":
        blobs = [shelf.need("test_batch.bin")]
    else:
        rest = [shelf.find(f"data_batch_{k}.bin") for k in range(2, 6)]
        blobs = [shelf.need("data_batch_1.bin"), *filter(None, rest)]
    records = [_records(blob) for blob in blobs]
    labels = [_labels(origin, batch[:, 0]) for (origin, _), batch in zip(blobs, records, strict=True)]
    pixels = np.concatenate([batch[:, 1:] for batch in records]).reshape(-1, 3, 32, 32)
    return torch.from_numpy(pixels), torch.cat(labels)


def _records(blob: Blob) -> np.ndarray:
    origin, content = blob
    if not content or len(content) % RECORD:
        raise DataError(f"{origin}: {len(content)} bytes are no whole number of {RECORD}-byte records; replace it")
    return np.frombuffer(content, np.uint8).reshape(-1, RECORD)


DIGITS_TEST = 360  # scikit-learn's order is by writer: the last fifth are other people's digits, classes balanced


def _read_digits(split: str, shelf: Shelf) -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = slice(None, -DIGITS_TEST) if split == "train" else slice(-DIGITS_TEST, None)
    pixels = torch.from_numpy(bunch.images[rows].astype(np.uint8)).unsqueeze(1)
    return pixels, torch.from_numpy(bunch.target[rows].astype(np.int64))


SOURCES = {
    "digits": Source(_read_digits, {"train": 1437, "test": DIGITS_TEST}, white=16),
    "mnist": Source(_read_idx, {"train": 60000, "test": 10000}),
    "fashion-mnist": Source(_read_idx, {"train": 60000, "test": 10000}),
    "cifar10": Source(
        _read_cifar, {"train": 50000, "test": 10000}, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)
    ),
}
