"""The form of a certificate: canonical JSON, and trees in bytes.

    { format, network, property: sha256 of the files' bytes, verdict, cases or point, digest }

The digest is sha256 of the canonical bytes (sorted keys, no spaces, ASCII, one newline) without it; a file that is not
canonical is refused. For `sat`, `point` has the inputs as hexadecimal floats. For `unsat`, `cases` has for each case of
the property, in the order of its file,

    plan      { node: null }, the curves (relu, tanh) whose arguments are bounded by rows, as well as by intervals.
              Boxes are always recomputed, never stored
    end       (0) the node at whose box rows end, as at those of earlier nodes: 0 is the input
    slopes    (none) the slope, as a byte, of every open relu for which none is stored; adaptive ones without it
    unstable  entries of curves' arguments (numbered through all curves) whose slopes are stored
    weights   for each conjunction the weights of its rows that are tried where a leaf names none
    tree      in preorder, numbers as LEB128:
      0             LEAF: every conjunction that is open has a weighted sum of rows with a positive bound
      1 axis        HALVE: two trees, for the lower and the upper half of the box's axis
      2 axis        CUT: the same, after what is closed is dropped, and the box is cut to where the rest may hold
      3 entry       SIGN: two trees, for z <= 0 and z >= 0
      4             EACH: a tree for each conjunction of the case
      5 flags ...   LINES: a leaf with (1) slopes, (2) weights of its rows, (4) multipliers of the path's signs

Slopes are a byte v for each unstable entry that the path has not decided: (v + [v > 127]) / 256. Weights are a byte
each. Multipliers are two bytes each, float16, >= 0, times 2^scale, where the byte `scale` stands before them. Curves,
slopes and multipliers are believed as little as anything: whatever they are, the bound that is recomputed holds.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from absdomain_check.affine import Array
from absdomain_check.errors import Refused

FORMAT = "absdomain certificate 1"
LARGEST = 1 << 29  # bytes of a certificate
LEAF, HALVE, CUT, SIGN, EACH, LINES = range(6)
Path = tuple[tuple[int, int], ...]  # (entry, 1 for z >= 0 and -1 for z <= 0)


@dataclass(eq=False)
class Tree:
    """A node of the tree."""

    kind: int = LEAF
    place: int = 0  # axis or entry
    kids: list[Tree] = field(default_factory=list)
    slopes: bytes | None = None
    weights: bytes | None = None
    multipliers: bytes | None = None  # float16, little-endian, after the byte of their scale
    path: Path = ()


def digest(content: dict[str, Any]) -> str:
    """sha256 of the canonical bytes without the digest."""
    return hashlib.sha256(canonical({k: v for k, v in content.items() if k != "digest"})).hexdigest()


def canonical(content: dict[str, Any]) -> bytes:
    """The bytes of a certificate."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def opened(data: bytes, form: str = FORMAT) -> dict[str, Any]:
    """The certificate of a file's bytes, in this format. Errors: Refused."""
    if not isinstance(data, bytes):
        raise Refused(f"a certificate is the bytes of its file, not a {type(data).__name__}; read_bytes gives them")
    if len(data) > LARGEST:
        raise Refused(f"the certificate has {len(data)} bytes, more than {LARGEST}")
    try:
        content = json.loads(data)
        whole = isinstance(content, dict) and canonical(content) == data
    except (ValueError, RecursionError) as error:
        raise Refused(f"the certificate is cut off, or no JSON: {error}") from None
    if not whole or content.get("format") != form:
        raise Refused(f"the certificate is not in the canonical bytes of {form!r}")
    if content.get("digest") != digest(content):
        raise Refused("the digest is not that of the certificate: it was changed")
    return content


def unpacked(text: object) -> bytes:
    """Bytes that are written in base64. Errors: Refused."""
    if not isinstance(text, str):
        raise Refused("bytes are missing in the certificate")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused(f"no base64: {error}") from None


def packed(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode()


def numbers(values: list[int]) -> bytes:
    """Numbers >= 0 as LEB128."""
    out = bytearray()
    for value in values:
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        out.append(value)
    return bytes(out)


class Stream:
    """Reads bytes from their beginning to their end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    @property
    def over(self) -> bool:
        return self.place == len(self.data)

    def take(self, count: int) -> bytes:
        """So many bytes. Errors: Refused where there are fewer."""
        if count > len(self.data) - self.place:
            raise Refused("the tree is cut off")
        self.place += count
        return self.data[self.place - count : self.place]

    def number(self) -> int:
        """One number below 2^35."""
        found = shift = 0
        while True:
            (byte,) = self.take(1)
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return found
            if shift > 28:
                raise Refused("a number of the tree is too large")


def ascending(data: bytes, limit: int) -> Array:
    """Different entries below a limit, in their order, from their differences."""
    stream, found, last = Stream(data), [], -1
    while not stream.over:
        last += stream.number() + 1
        if last >= limit:
            raise Refused(f"entry {last} of {limit}")
        found.append(last)
    return np.array(found, dtype=np.int64)


def read_tree(data: bytes, unstable: Array, rows: list[int], axes: int, entries: int) -> Tree:
    """The tree of a case whose conjunctions have so many rows. Errors: Refused."""
    stream, listed = Stream(data), set(unstable.tolist())
    root = Tree()
    # a node to be read, the conjunction that it is of (-1: all), and whether the input may be halved
    pending: list[tuple[Tree, int, bool]] = [(root, -1, True)]
    while pending:
        node, one, free = pending.pop()
        node.kind = stream.take(1)[0]
        if node.kind in (HALVE, CUT, SIGN):
            node.place = stream.number()
            if node.place >= (entries if node.kind == SIGN else axes):
                raise Refused(f"the tree splits {node.place}, which is not there")
        left = len(unstable) - sum(1 for entry, _ in node.path if entry in listed)
        if node.kind in (HALVE, CUT) and not free:
            raise Refused("the tree halves the input below another node")
        if node.kind == SIGN and any(entry == node.place for entry, _ in node.path):
            raise Refused("the tree decides an entry twice")
        if node.kind in (HALVE, CUT):
            node.kids = [Tree(), Tree()]
        elif node.kind == SIGN:
            node.kids = [Tree(path=(*node.path, (node.place, s))) for s in (-1, 1)]
        elif node.kind == EACH:
            if one >= 0:
                raise Refused("the tree parts conjunctions twice")
            node.kids = [Tree(path=node.path) for _ in rows]
            pending += [(kid, i, False) for i, kid in reversed(list(enumerate(node.kids)))]
            continue
        elif node.kind == LINES:
            _read_lines(stream, node, left, rows, one)
        elif node.kind != LEAF:
            raise Refused(f"the tree has a node of kind {node.kind}")
        free = node.kind in (HALVE, CUT)
        pending += [(kid, one, free) for kid in reversed(node.kids)]
    if not stream.over:
        raise Refused("bytes follow the tree")
    return root


def _read_lines(stream: Stream, node: Tree, left: int, rows: list[int], one: int) -> None:
    (flags,) = stream.take(1)
    if flags > 7 or (flags & 2 and one < 0):
        raise Refused("a leaf has weights for no single conjunction, or unknown flags")
    node.slopes = stream.take(left) if flags & 1 else None
    node.weights = stream.take(rows[one]) if flags & 2 else None
    node.multipliers = stream.take(1 + 2 * len(node.path)) if flags & 4 else None


def write_tree(root: Tree) -> bytes:
    """The bytes that are read as this tree."""
    out, pending = bytearray(), [root]
    while pending:
        node = pending.pop()
        out.append(node.kind)
        if node.kind in (HALVE, CUT, SIGN):
            out += numbers([node.place])
        parts = (node.slopes, node.weights, node.multipliers)
        if node.kind == LINES:
            out.append(sum(1 << i for i, part in enumerate(parts) if part is not None))
            out += b"".join(part for part in parts if part is not None)
        pending += reversed(node.kids)
    return bytes(out)


def slopes_of(data: bytes) -> Array:
    """Slopes between 0 and 1 of their bytes."""
    v = np.frombuffer(data, np.uint8).astype(np.float64)
    return (v + (v > 127)) / 256


def multipliers_of(data: bytes) -> Array:
    """Multipliers of their bytes. Errors: Refused for a negative one, or none."""
    with np.errstate(over="ignore"):
        found = np.frombuffer(data[1:], "<f2").astype(np.float64) * 2.0 ** (data[0] - 128)
    if not (np.isfinite(found).all() and (found >= 0).all() and not np.signbit(found).any()):
        raise Refused("a multiplier is negative, or no number")
    return found
