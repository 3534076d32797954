"""Certificates of a certification: one for each verified or falsified image of a data set, in a folder.

The form, and what an image's certificate shows, is that of `absdomain_check.images`. Whatever domain verified an image,
its certificate is the first of these by which the checker's own bounds prove it (`ladder`):

- intervals, up to the rows of the last layer: as Box;
- rows over boxes of intervals, with adaptive slopes or slopes of 0: as CROWN-IBP;
- rows over boxes that are made by rows, too: as Box & DeepPoly;
- slopes found by ascent, and multipliers below signs that are decided, by a search as for `verify`: all others. What
  that does not find in its time has no certificate, and the image's line says why.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from absdomain.certificates.growing import Remembered
from absdomain.certificates.ladder import Ladder
from absdomain.certificates.network import onnx_of
from absdomain.certificates.recording import Proofs
from absdomain.certification.verdict import Status, Verdict
from absdomain.data import Images
from absdomain.errors import NoCertificate
from absdomain.graph import Graph
from absdomain.lowering import to_graph
from absdomain.runtime.folders import Kind
from absdomain.runtime.modes import copied
from absdomain_check.bounds import Bounds
from absdomain_check.data import Images as Bytes
from absdomain_check.errors import Unreadable
from absdomain_check.form import canonical, digest, packed
from absdomain_check.images import FORMAT, LINES, MANIFEST, NETWORK, Balls, broken, inside, point_of
from absdomain_check.network import Network, read_network

FOLDER = Kind("certificates of images", earlier=lambda folder: False)
_CLOSE = 1e-9  # of outputs, evaluated in float64 in two orders
_BATCH = 256  # points at once
Watch = Callable[[int], None]


@dataclass(frozen=True)
class Written:
    """How many images have a certificate, and why others that are decided have none: the reasons, with their number."""

    verified: int
    falsified: int
    missing: Mapping[str, int]


def write(
    folder: Path,
    network: nn.Module,
    images: Images,
    verdicts: Sequence[Verdict],
    *,
    eps: float | Sequence[float],
    clip: tuple[float, float] | None = (0.0, 1.0),
    weights: str | None = None,
    seconds: float = 60.0,
    graph: Graph | None = None,
    proofs: Proofs | None = None,
    watch: Watch = lambda done: None,
) -> Written:
    """Certificates of the verdicts on the first images of a data set, in real arithmetic on the network's numbers.

    Regions are balls of radius `eps`, one number or one for each image, within `clip`. `weights` is the name of the
    file with the network's numbers in a folder above, if there is one; `seconds` what a search may take for an image;
    `graph` the network's in float64, where it has been lowered already; `proofs` what was recorded while `certify`
    searched, and need not be searched again; and `watch` is told how many are done.
    Errors: NoCertificate for a network that the checker does not read, WriteError for files of others in the folder.
    """
    verdicts = sorted(verdicts, key=lambda verdict: verdict.index)
    output, count = FOLDER.claim(folder, MANIFEST, LINES, NETWORK), len(verdicts)
    exact = copied(network).cpu().double().eval().requires_grad_(False)
    x = (images.pixels[:8].float() / images.white).double()
    graph = to_graph(exact, x[:1]) if graph is None else graph
    data, own = onnx_of(graph, exact)
    net = _agreed(data, exact, x)
    radii = [float(eps)] * count if isinstance(eps, int | float) else [float(one) for one in eps]
    pixels, labels = (t[:count].numpy().astype(np.uint8) for t in (images.pixels, images.labels))
    balls = Balls(Bytes(images.name, pixels, labels, images.white), radii, clip, net.nodes[-1].size)
    with np.errstate(all="ignore"):
        bounds = Remembered(net)
        verified = [i for i, verdict in enumerate(verdicts) if verdict.status is Status.VERIFIED]
        said = dict[int, dict[str, Any]]()
        for i, body in Ladder(graph, bounds, balls, seconds, proofs or Proofs()).climb(verified, watch).items():
            said[i] = {"none": body} if isinstance(body, str) else {"case": body}
        said |= _points(bounds, balls, {i: v.witness for i, v in enumerate(verdicts) if v.witness is not None})
    missing = Counter(one["none"] for one in said.values() if "none" in one)
    lines = [canonical({"image": i, **said.get(i, {"none": "not decided"})}) for i in range(count)]
    manifest = {
        "format": FORMAT,
        "network": hashlib.sha256(data).hexdigest(),
        "images": hashlib.sha256(b"".join(lines)).hexdigest(),
        "count": count,
        "eps": radii if len(set(radii)) > 1 else radii[0],
        "clip": None if clip is None else [float(end) for end in clip],
        "data": {"name": images.name, "digest": balls.images.digest()},
        "weights": weights if own else None,
    }
    output.write(NETWORK, data)
    output.write(LINES, b"".join(lines))
    output.write(MANIFEST, canonical({**manifest, "digest": digest(manifest)}))
    kinds = Counter(next(iter(one)) for one in said.values())
    return Written(kinds["case"], kinds["point"], missing)


def _agreed(data: bytes, exact: nn.Module, x: Tensor) -> Network:
    """The network as the checker reads it, which is the module at these points."""
    try:
        net = read_network(data)
    except Unreadable as error:
        raise NoCertificate(f"the checker does not read the network: {error}") from None
    with torch.no_grad():
        own, theirs = exact(x).flatten(1).numpy(), net.evaluate(x.flatten(1).numpy())[-1]
    if own.shape != theirs.shape or not np.allclose(own, theirs, rtol=0, atol=_CLOSE * np.abs(own).max()):
        raise NoCertificate("the network that was written has other values than the module: a defect of absdomain")
    return net


def _points(bounds: Bounds, balls: Balls, witnesses: Mapping[int, Tensor]) -> dict[int, dict[str, Any]]:
    """Lines of falsified images; those whose points the checker does not prove to be misclassified say so."""
    found: dict[int, dict[str, Any]] = {}
    numbers = list(witnesses)
    for start in range(0, len(numbers), _BATCH):
        some = numbers[start : start + _BATCH]
        told = [_point(balls, i, witnesses[i]) for i in some]
        x = np.stack([point_of(balls, i, point) for i, point in zip(some, told, strict=True)])
        fine = inside(balls, some, x) & broken(bounds, balls, some, x)
        for i, point, proved in zip(some, told, fine, strict=True):
            none = "in real arithmetic the point is not proved to be another class"
            found[i] = {"point": point} if proved else {"none": none}
    return found


def _point(balls: Balls, number: int, witness: Tensor) -> dict[str, str] | None:
    """The point in its own numbers; None for the image itself."""
    array = witness.detach().cpu().numpy().reshape(-1)
    if (array == point_of(balls, number, None)).all():
        return None
    kind = "<f8" if array.dtype.itemsize == 8 else "<f4"
    return {"dtype": kind, "data": packed(array.astype(kind).tobytes())}
