"""A small data set of images, and certificates of them, for the tests."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from absdomain_check.ball import Ball
from absdomain_check.bounds import Bounds
from absdomain_check.data import read_images
from absdomain_check.form import canonical, digest, packed
from absdomain_check.images import FORMAT, LINES, MANIFEST, NETWORK
from absdomain_check.network import read_network

EPS = 0.01
Content = dict[str, Any]


def data_set(folder: Path, seed: int, count: int, side: int = 3, classes: int = 3) -> None:
    """Test images of MNIST's format, of random bytes."""
    rng = np.random.default_rng(seed)
    place = folder / "MNIST" / "raw"
    place.mkdir(parents=True, exist_ok=True)
    pixels, labels = rng.integers(0, 256, (count, side, side)), rng.integers(0, classes, count)
    for name, axes, array in (("images-idx3", 3, pixels), ("labels-idx1", 1, labels)):
        head = (0x800 + axes).to_bytes(4, "big") + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
        file = place / f"t10k-{name}-ubyte.gz"
        file.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes(), mtime=0))


def labelled(folder: Path, net: bytes) -> None:
    """The labels become the classes that the network gives."""
    images = read_images("mnist", folder)
    flat = (images.pixels.reshape(len(images.pixels), -1) / 255).astype(np.float32).astype(np.float64)
    y = read_network(net).evaluate(flat)[-1].argmax(1).astype(np.uint8)
    write_labels(folder, y.tobytes())


def write_labels(folder: Path, labels: bytes) -> None:
    """Other labels."""
    data = (0x801).to_bytes(4, "big") + len(labels).to_bytes(4, "big") + labels
    (folder / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(data, mtime=0))


def by_intervals(net: bytes) -> Content:
    """A case that intervals prove."""
    last = Bounds(read_network(net), Ball()).curves[-1]
    return {"plan": {}, "tree": packed(bytes([0])), "unstable": "", "end": last}


def write_set(folder: Path, net: bytes, data: Path, lines: list[Content], /, **changes: Any) -> None:
    """A set of certificates with all digests, for these lines; `changes` are of the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = b"".join(map(canonical, lines))
    manifest = {
        "format": FORMAT,
        "network": hashlib.sha256(net).hexdigest(),
        "images": hashlib.sha256(rows).hexdigest(),
        "count": len(lines),
        "eps": EPS,
        "clip": [0.0, 1.0],
        "data": {"name": "mnist", "digest": read_images("mnist", data).first(len(lines)).digest()},
        "weights": None,
    } | changes
    (folder / NETWORK).write_bytes(net)
    (folder / LINES).write_bytes(rows)
    (folder / MANIFEST).write_bytes(canonical({**manifest, "digest": digest(manifest)}))


def read_set(folder: Path) -> tuple[Content, list[Content]]:
    """(manifest, lines)."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    return manifest, [json.loads(row) for row in (folder / LINES).read_bytes().splitlines()]
