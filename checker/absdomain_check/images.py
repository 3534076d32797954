"""Certificates of images: one for each, in a folder with the network; and what they show of a data set's test images.

    manifest.json   { format, network: sha256 of network.onnx, images: sha256 of images.jsonl, count, eps, clip, data:
                    the name and the digest of the data set's first `count` test images, weights: the name of the run's
                    file that holds the network's weights, or null, digest }, in canonical bytes as in `form`
    images.jsonl    a line for each image in order, each in canonical bytes: { image: its number } and one of
                    case      what shows it verified, in the form of a case
                    point     { dtype: <f4 or <f8, data: base64 } of a point that shows it falsified; null: the image
                    none      nothing is claimed, and why

The ball of image x is { z : |z - x| <= eps, clip[0] <= z <= clip[1] }; eps is a number, or one for each image. x is in
float32, and eps the larger of the float64 and the decimal number that are written alike. Verified: at all z of the ball
the output of the label is larger than every other. Falsified: at some z of it, it is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from absdomain_check import weights
from absdomain_check.affine import Array
from absdomain_check.bounds import Bounds, Rows, outward
from absdomain_check.checking import GRADES, Walk
from absdomain_check.data import Images, read_images
from absdomain_check.errors import Refused, Unreadable
from absdomain_check.form import LARGEST, canonical, opened, unpacked
from absdomain_check.network import read_network
from absdomain_check.property import Row

FORMAT = "absdomain certificates of images 1"
MANIFEST, LINES, NETWORK = "manifest.json", "images.jsonl", "network.onnx"
_BATCH = 256  # points at once


@dataclass(frozen=True)
class Shown:
    """What was checked of the first `count` test images of a data set."""

    data: str
    count: int
    verified: int
    falsified: int
    least: float  # bound of a verified image
    eps: str
    clip: list[float] | None
    grade: str
    weights: str | None  # the run's file, with which the network was compared


@dataclass(frozen=True, eq=False)
class Balls:
    """Each image's ball, and where the label's output is not the largest."""

    images: Images
    eps: list[float]  # of each
    clip: tuple[float, float] | None
    outputs: int

    def ends(self, numbers: list[int], side: int = 1) -> tuple[Array, Array]:
        """Ends of some balls, (B, n) each, rounded outwards (1) or inwards (-1)."""
        pixels = self.images.pixels[numbers].reshape(len(numbers), -1)
        lower, upper = np.empty(pixels.shape), np.empty(pixels.shape)
        for eps in {self.eps[i] for i in numbers}:
            rows = [b for b, i in enumerate(numbers) if self.eps[i] == eps]
            low, high = table(eps, self.clip, self.images.white, side)
            lower[rows], upper[rows] = low[pixels[rows]], high[pixels[rows]]
        return lower, upper

    def unsafe(self, number: int) -> tuple[tuple[Row, ...], ...]:
        """z_y <= z_j, for each j that is not the label y."""
        y = int(self.images.labels[number])
        if y >= self.outputs:
            raise Refused(f"image {number} has the label {y}, and the network {self.outputs} outputs")
        one = Fraction(1)
        return tuple((Row((), ((y, one), (j, -one)), Fraction(0)),) for j in range(self.outputs) if j != y)


def values(pixels: Array, white: int) -> Array:
    """The float32 numbers of bytes, as float64."""
    return (pixels.astype(np.float32) / np.float32(white)).astype(np.float64)


@lru_cache(maxsize=64)
def table(eps: float, clip: tuple[float, float] | None, white: int, side: int) -> tuple[Array, Array]:
    """The ends of the interval about each byte, rounded outwards (1) or inwards (-1)."""
    radius, ends = max(Fraction(eps), Fraction(repr(eps))), []
    for value in values(np.arange(white + 1), white).tolist():
        low, high = Fraction(value) - radius, Fraction(value) + radius
        if clip is not None:
            low, high = max(low, Fraction(clip[0])), min(high, Fraction(clip[1]))
        ends.append((outward(low, -side), outward(high, side)))
    lower, upper = np.array(ends).T
    return lower, upper


def check_images(folder: Path, data_dir: Path, grade: str = "ball") -> Shown:
    """All certificates of a folder against the network there, the data set's files, and the run's weights.

    Errors: Refused with the reason, Unreadable.
    """
    content = opened((folder / MANIFEST).read_bytes(), FORMAT)
    network, lines = (folder / NETWORK).read_bytes(), (folder / LINES).read_bytes()
    for name, given in (("network", network), ("images", lines)):
        if content.get(name) != hashlib.sha256(given).hexdigest():
            raise Refused(f"the certificates are of another {name} file")
    own = content.get("weights")
    if own is not None:
        weights.compare(network, _weights(folder, own))
    net, data = read_network(network), content.get("data")
    if not isinstance(data, dict) or type(content.get("count")) is not int or content["count"] < 1:
        raise Refused("the manifest does not say the data set, or how many images")
    images = read_images(str(data.get("name")), data_dir).first(content["count"])
    if images.digest() != data.get("digest"):
        raise Refused("the certificates are of another data set")
    if images.pixels[0].size != net.nodes[0].size:
        raise Refused(f"images have {images.pixels[0].size} pixels, and the network {net.nodes[0].size} inputs")
    balls = Balls(images, *_ball(content, len(images.labels)), net.nodes[-1].size)
    told = _lines(lines, len(images.labels))
    with np.errstate(all="ignore"):
        bounds = Bounds(net, GRADES[grade]())
        verified, least = _verified(bounds, balls, {i: one["case"] for i, one in enumerate(told) if "case" in one})
        falsified = _falsified(bounds, balls, {i: one["point"] for i, one in enumerate(told) if "point" in one})
    eps = sorted(set(balls.eps))
    said = f"{eps[0]!r}" if len(eps) == 1 else f"{eps[0]!r} to {eps[-1]!r}"
    return Shown(images.name, len(told), verified, falsified, least, said, content["clip"], grade, own)


def _weights(folder: Path, name: object) -> bytes:
    """The run's file: in a folder above."""
    if not isinstance(name, str) or Path(name).name != name:
        raise Refused(f"the weights are in {name!r}, which is no name of a file")
    for above in folder.resolve().parents:
        if (above / name).is_file():
            return (above / name).read_bytes()
    raise Unreadable(f"{name}, which has the run's weights, is in no folder above {folder}")


def _ball(content: Mapping[str, Any], count: int) -> tuple[list[float], tuple[float, float] | None]:
    """The radius of each image, and the range of pixels."""
    eps, clip = content.get("eps"), content.get("clip")
    radii: list[Any] = eps if isinstance(eps, list) else [eps] * count
    if len(radii) != count or not all(type(r) is float and 0 <= r < np.inf for r in radii):
        raise Refused("eps is no number >= 0, nor one for each image")
    if clip is None:
        return radii, None
    if not isinstance(clip, list) or len(clip) != 2 or not all(type(v) is float and np.isfinite(v) for v in clip):
        raise Refused("clip is no pair of numbers")
    if clip[0] > 0 or clip[1] < 1:
        raise Refused("clip leaves images outside of their own balls")
    return radii, (clip[0], clip[1])


def _lines(data: bytes, count: int) -> list[dict[str, Any]]:
    """What is said of each image."""
    rows = data.split(b"\n")
    if len(data) > LARGEST or len(rows) != count + 1 or rows[-1]:
        raise Refused(f"{count} images need as many lines; there are {len(rows) - 1}")
    found = []
    for i, row in enumerate(rows[:-1]):
        try:
            one = json.loads(row)
            whole = isinstance(one, dict) and canonical(one) == row + b"\n"
        except (ValueError, RecursionError) as error:
            raise Refused(f"line {i + 1} is no JSON: {error}") from None
        if not whole or one.get("image") != i or set(one) - {"image"} not in ({"case"}, {"point"}, {"none"}):
            raise Refused(f"line {i + 1} is not that of image {i}, or says none or more than one thing of it")
        found.append(one)
    return found


def _verified(bounds: Bounds, balls: Balls, cases: Mapping[int, Any]) -> tuple[int, float]:
    """How many, and the least bound: those with one label and one certificate together."""
    groups: dict[tuple[int, bytes], list[int]] = {}
    for i, case in cases.items():
        groups.setdefault((int(balls.images.labels[i]), canonical({"case": case})), []).append(i)
    least = np.inf
    for numbers in groups.values():
        walk = Walk(bounds, balls.unsafe(numbers[0]), cases[numbers[0]])
        try:
            walk.run(*balls.ends(numbers))
        except Refused as reason:
            raise Refused(_first(bounds, balls, cases, numbers) or str(reason)) from None
        least = min(least, walk.least)
    return len(cases), least


def _first(bounds: Bounds, balls: Balls, cases: Mapping[int, Any], numbers: list[int]) -> str:
    """Which of the images is the first that is refused, and why."""
    for i in numbers:
        try:
            Walk(bounds, balls.unsafe(i), cases[i]).run(*balls.ends([i]))
        except Refused as reason:
            return f"image {i}: {reason}"
    return ""


def _falsified(bounds: Bounds, balls: Balls, points: Mapping[int, Any]) -> int:
    """How many. Errors: Refused where a point is outside of its ball, or may be classified as its label says."""
    numbers = list(points)
    for start in range(0, len(numbers), _BATCH):
        some = numbers[start : start + _BATCH]
        x = np.stack([point_of(balls, i, points[i]) for i in some])
        for i, held, wrong in zip(some, inside(balls, some, x), broken(bounds, balls, some, x), strict=True):
            if not held or not wrong:
                told = "does not show another class" if held else "is outside of its ball"
                raise Refused(f"image {i}: the point {told}")
    return len(points)


def point_of(balls: Balls, number: int, given: object) -> Array:
    """The point of a line, (n,). Errors: Refused."""
    size = balls.images.pixels[0].size
    if given is None:
        return values(balls.images.pixels[number].reshape(-1), balls.images.white)
    if not isinstance(given, dict) or given.get("dtype") not in ("<f4", "<f8"):
        raise Refused(f"image {number}: its point is of no type that is read")
    data = unpacked(given.get("data"))
    if len(data) != size * int(given["dtype"][2]):
        raise Refused(f"image {number}: its point has {len(data)} bytes")
    return np.frombuffer(data, given["dtype"]).astype(np.float64)


def inside(balls: Balls, numbers: list[int], x: Array) -> Array:
    """Which points are in the balls of these images, (B,)."""
    lower, upper = balls.ends(numbers, -1)
    return np.asarray(((lower <= x) & (x <= upper)).all(1))


def broken(bounds: Bounds, balls: Balls, numbers: list[int], x: Array) -> Array:
    """At which points (B, n) some output is at least the label's, whatever was rounded, (B,)."""
    found, labels = np.zeros(len(numbers), dtype=bool), balls.images.labels[numbers]
    for y in set(labels.tolist()):
        some = np.flatnonzero(labels == y)
        rows = [Row((), tuple((k, -a) for k, a in row.y), row.c) for (row,) in balls.unsafe(numbers[some[0]])]
        asked = Rows.of([rows], x.shape[1], balls.outputs).repeated(len(some))
        _, low = bounds.linear(asked, bounds.boxes((x[some], x[some])), {}, {}, len(bounds.net.nodes) - 2)
        found[some] = (low >= 0).any(1)
    return found
