"""Test images of data sets, read from the files of the public downloads, gzipped or not."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from absdomain_check.affine import Array
from absdomain_check.errors import Unreadable
from absdomain_check.property import unpacked

_RECORD = 1 + 3 * 32 * 32  # of CIFAR-10: the label, and the red, green and blue bytes
_DIGITS = 360  # the last of scikit-learn's digits: other people wrote them


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images of bytes; a pixel is the float32 quotient of its byte and `white`."""

    name: str
    pixels: Array  # (N, C, H, W), bytes
    labels: Array  # (N,), bytes
    white: int

    def first(self, count: int) -> Images:
        """The first of them. Errors: Unreadable where there are fewer."""
        if count > len(self.labels):
            raise Unreadable(f"{self.name} has {len(self.labels)} test images in this folder, and {count} are needed")
        return Images(self.name, self.pixels[:count], self.labels[:count], self.white)

    def digest(self) -> str:
        """sha256 of their sizes, white, pixels and labels."""
        head = " ".join(map(str, (*self.pixels.shape, self.white))).encode() + b"\n"
        return hashlib.sha256(head + self.pixels.tobytes() + self.labels.tobytes()).hexdigest()


def read_images(name: str, folder: Path) -> Images:
    """The test images of a data set. Errors: Unreadable."""
    if name not in _SETS:
        raise Unreadable(f"data set {name!r} is not read by the checker, which reads {', '.join(_SETS)}")
    found = _SETS[name](name, folder)
    if found.pixels.max(initial=0) > found.white or len(found.labels) != len(found.pixels):
        raise Unreadable(f"{name}: {len(found.labels)} labels for {len(found.pixels)} images, or a byte above white")
    return found


def _file(folder: Path, places: tuple[str, ...]) -> bytes:
    for place in places:
        if (folder / place).is_file():
            return unpacked((folder / place).read_bytes())
    raise Unreadable(f"{folder} has none of {', '.join(places)}")


def _idx(data: bytes, axes: int) -> Array:
    """Magic 0x800 + axes, the sizes in big-endian order, bytes."""
    sizes = [int.from_bytes(data[at : at + 4], "big") for at in range(4, 4 + 4 * axes, 4)]
    start = 4 + 4 * axes
    if data[:4] != (0x800 + axes).to_bytes(4, "big") or len(data) != start + prod(sizes):
        raise Unreadable(f"no IDX file of bytes with {axes} axes")
    return np.frombuffer(data, np.uint8, offset=start).reshape(sizes)


def _of_idx(below: str) -> Callable[[str, Path], Images]:
    def read(name: str, folder: Path) -> Images:
        files = [
            _file(folder, tuple(f"{sub}{kind}{end}" for sub in (below, "") for end in (".gz", "")))
            for kind in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
        ]
        return Images(name, _idx(files[0], 3)[:, None], _idx(files[1], 1), 255)

    return read


def _cifar(name: str, folder: Path) -> Images:
    data = _file(folder, ("cifar-10-batches-bin/test_batch.bin", "test_batch.bin"))
    if not data or len(data) % _RECORD:
        raise Unreadable(f"no records of {_RECORD} bytes")
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
    return Images(name, records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0], 255)


def _digits(name: str, folder: Path) -> Images:
    """The folder sklearn/datasets/data has this file."""
    data = _file(folder, ("digits.csv.gz", "digits.csv"))
    try:
        rows = np.loadtxt(io.BytesIO(data), np.uint8, delimiter=",", ndmin=2)[-_DIGITS:]
        return Images(name, rows[:, :-1].reshape(-1, 1, 8, 8), rows[:, -1], 16)
    except ValueError as error:
        raise Unreadable(f"no rows of 64 pixels and a label: {error}") from None


_SETS: dict[str, Callable[[str, Path], Images]] = {
    "mnist": _of_idx("MNIST/raw/"),
    "fashion-mnist": _of_idx("FashionMNIST/raw/"),
    "cifar10": _cifar,
    "digits": _digits,
}
