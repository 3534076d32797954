"""Labelled images with pixels in [0, 1]: `digits`, `mnist`, `fashion-mnist`, `cifar10`, `svhn`, and points: `toy`.

`digits` comes with scikit-learn, `toy` is drawn here. The others are read from a folder (argument `data_dir`, else the
environment variable ABSDOMAIN_DATA) or, when no folder is given, downloaded once into pooch's cache and checked against
the published MD5. The formats are the public ones, gzipped or plain IDX, the CIFAR-10 binary records and SVHN's MATLAB
files; nothing is ever unpickled. Images of one's own are read by `absdomain.data.own`.
"""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from absdomain.data import own
from absdomain.data.files import Blob, DataError, Shelf, shelf
from absdomain.data.labelled import Images
from absdomain.errors import near, needing

__all__ = ["DataError", "Images", "canonical", "counts", "load", "names", "statistics"]


CLASSES = 10  # of every public data set here


@dataclass(frozen=True)
class Source:
    """How a data set is read, and the channel statistics with which papers normalise it."""

    read: Callable[[str, Shelf], tuple[Tensor, Tensor]]  # split, files -> uint8 pixels (N, C, H, W), int64 labels (N,)
    counts: dict[str, int]  # images per split in the public files
    mean: tuple[float, ...] = (0.0,)  # the methods here are published for raw digits and articles
    std: tuple[float, ...] = (1.0,)
    white: int = 255
    classes: int = CLASSES


def load(name: str, split: str, *, data_dir: str | os.PathLike[str] | None = None, download: bool = True) -> Images:
    """The images of `name` (see `names()`), split "train" or "test".

    The files are looked for in `data_dir`, else in the folder that ABSDOMAIN_DATA names, else in the download cache.
    A folder that is given and lacks a file is an error, and nothing is downloaded in its place. A folder with fewer
    images than the public files gives what it has, with a warning that says how many. `name` may be a file or folder of
    images of one's own, too (`absdomain.data.own`).
    """
    if _own(name):
        return own.load(name, split)
    source = _source(name)
    if split not in source.counts:
        raise DataError(f"{name} has no split {split!r}; it has {', '.join(source.counts)}")
    pixels, labels = source.read(split, shelf(canonical(name), data_dir, download))
    if len(labels) != source.counts[split]:
        warnings.warn(f"{name}/{split}: {len(labels)} images of the public {source.counts[split]}", stacklevel=2)
    return Images(pixels, labels, source.classes, canonical(name), split, source.white)


def names() -> list[str]:
    """The data sets that `load` knows."""
    return list(SOURCES)


def canonical(name: str) -> str:
    """The name under which `load` knows a data set, whatever the case; DataError for one that it does not know."""
    if _own(name):
        return name
    if name.lower() not in SOURCES:
        told = f"unknown data set {name!r}, and no .npz file or folder of images of yours"
        raise DataError(f"{told}; {near(name, SOURCES, 'there are')}")
    return name.lower()


def counts(name: str) -> dict[str, int]:
    """{ split -> the number of images of the public files, or of one's own }."""
    if _own(name):
        return {split: len(own.load(name, split)) for split in own.SPLITS}
    return _source(name).counts


def statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) per channel in pixel units of [0, 1]; (0, 1) where the literature does not normalise."""
    if _own(name):
        return (0.0,), (1.0,)
    source = _source(name)
    return source.mean, source.std


def _own(name: str) -> bool:
    return name.lower() not in SOURCES and own.named(name)


def _source(name: str) -> Source:
    return SOURCES[canonical(name)]


# --- reading formats -------------------------------------------------------------------------------------------------


def _labels(origin: str, labels: np.ndarray) -> Tensor:
    if labels.max(initial=0) >= CLASSES:
        raise DataError(f"{origin}: label {labels.max()} is outside 0..{CLASSES - 1}; the file is damaged, replace it")
    return torch.from_numpy(labels.astype(np.int64))


def _read_idx(split: str, files: Shelf) -> tuple[Tensor, Tensor]:
    prefix = {"train": "train", "test": "t10k"}[split]
    images, labels = files.need(f"{prefix}-images-idx3-ubyte"), files.need(f"{prefix}-labels-idx1-ubyte")
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


def _read_cifar(split: str, files: Shelf) -> tuple[Tensor, Tensor]:
    if split == "test":
        blobs = [files.need("test_batch.bin")]
    else:
        rest = [files.find(f"data_batch_{k}.bin") for k in range(2, 6)]
        blobs = [files.need("data_batch_1.bin"), *filter(None, rest)]
    records = [_records(blob) for blob in blobs]
    labels = [_labels(origin, batch[:, 0]) for (origin, _), batch in zip(blobs, records, strict=True)]
    pixels = np.concatenate([batch[:, 1:] for batch in records]).reshape(-1, 3, 32, 32)
    return torch.from_numpy(pixels), torch.cat(labels)


def _records(blob: Blob) -> np.ndarray:
    origin, content = blob
    if not content or len(content) % RECORD:
        raise DataError(f"{origin}: {len(content)} bytes are not a whole number of {RECORD}-byte records; replace it")
    return np.frombuffer(content, np.uint8).reshape(-1, RECORD)


def _read_svhn(split: str, files: Shelf) -> tuple[Tensor, Tensor]:
    origin, content = files.need(f"{split}_32x32.mat")
    pixels, labels = _mat(origin, content)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[:3] != (32, 32, 3):
        raise DataError(f"{origin}: X is {pixels.dtype} {pixels.shape} where uint8 (32, 32, 3, N) belongs; replace it")
    if labels.dtype.kind not in "iu" or labels.size != pixels.shape[3]:
        raise DataError(
            f"{origin}: y is {labels.dtype} {labels.shape} where {pixels.shape[3]} integers belong; replace it"
        )
    classes = labels.ravel().astype(np.int64)
    outside = classes[(classes < 1) | (classes > CLASSES)]
    if len(outside):
        raise DataError(f"{origin}: label {outside[0]} is outside 1..{CLASSES}, where 10 is the digit 0; replace it")
    images = np.ascontiguousarray(pixels.transpose(3, 2, 0, 1))
    return torch.from_numpy(images), torch.from_numpy(classes % CLASSES)


def _mat(origin: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The arrays X and y of a MATLAB file of level 5."""
    from scipy.io import loadmat

    try:
        found = loadmat(io.BytesIO(content), variable_names=("X", "y"))
    except Exception as reason:  # scipy has no one type for what a damaged file may hold
        raise DataError(f"{origin}: not a MATLAB file ({reason}; {len(content)} bytes); replace it") from reason
    missing = {"X", "y"} - found.keys()
    if missing:
        raise DataError(f"{origin}: has no {' and no '.join(sorted(missing))}, SVHN's images and labels; replace it")
    return found["X"], found["y"]


DIGITS_TEST = 360  # scikit-learn's order is by writer: the last fifth are other people's digits, classes balanced


def _read_digits(split: str, files: Shelf) -> tuple[Tensor, Tensor]:
    with needing("data", "the data set digits"):
        from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    rows = slice(None, -DIGITS_TEST) if split == "train" else slice(-DIGITS_TEST, None)
    images = np.asarray(pixels)[rows].astype(np.uint8).reshape(-1, 1, 8, 8)
    return torch.from_numpy(images), torch.from_numpy(np.asarray(labels)[rows].astype(np.int64))


APART = 41  # in 255ths: balls of radius 0.08 around any two points are disjoint


def _read_toy(split: str, files: Shelf) -> tuple[Tensor, Tensor]:
    """13 points of the plane, drawn in [0, 1]^2; both splits are all of them (Gowal et al. 2019, section 4.3).

    That paper has any two at least 0.08 apart in l_inf, its radius, so that balls of two classes may meet and no
    network can be right on both; here they are more than 0.16 apart.
    """
    generator, points = np.random.default_rng(0), np.empty((0, 2), np.int64)
    while len(points) < TOY:
        point = generator.integers(0, 256, 2)
        if (np.abs(points - point).max(1) >= APART).all():
            points = np.vstack([points, point])
    labels = np.arange(TOY) < POSITIVE  # no order but that of drawing
    return torch.from_numpy(points.astype(np.uint8)).view(TOY, 1, 1, 2), torch.from_numpy(labels.astype(np.int64))


TOY, POSITIVE = 13, 5
SOURCES = {
    "digits": Source(_read_digits, {"train": 1437, "test": DIGITS_TEST}, white=16),
    "mnist": Source(_read_idx, {"train": 60000, "test": 10000}),
    "fashion-mnist": Source(_read_idx, {"train": 60000, "test": 10000}),
    "cifar10": Source(
        _read_cifar, {"train": 50000, "test": 10000}, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)
    ),
    "svhn": Source(
        _read_svhn, {"train": 73257, "test": 26032}, mean=(0.4377, 0.4438, 0.4728), std=(0.1980, 0.2010, 0.1970)
    ),
    "toy": Source(_read_toy, {"train": TOY, "test": TOY}, classes=2),
}
