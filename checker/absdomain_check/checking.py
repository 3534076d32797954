"""Whether a certificate proves what it says of a network and a property."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from absdomain_check.affine import Array
from absdomain_check.ball import Ball
from absdomain_check.bounds import Bounds, Boxes, Cutter, Rows, outward
from absdomain_check.curves import image
from absdomain_check.errors import Refused
from absdomain_check.exact import Exact
from absdomain_check.form import (
    CUT,
    EACH,
    HALVE,
    LEAF,
    LINES,
    Tree,
    ascending,
    multipliers_of,
    opened,
    read_tree,
    slopes_of,
    unpacked,
)  # fmt: skip
from absdomain_check.network import RELU, Network, read_network
from absdomain_check.points import noted
from absdomain_check.property import Case, Property, Row, read_property

GRADES = {"ball": Ball, "exact": Exact}
_ROOM, _LEAVES = 1 << 21, 64  # entries of a batch of boxes; leaves that are bounded at once
_ROUNDS = 2  # of cuts


@dataclass(frozen=True)
class Accepted:
    """What was checked: the verdict of these files, in real arithmetic on the numbers in them."""

    verdict: str
    grade: str
    leaves: int
    least: float  # the least of the leaves' bounds, or for `sat` 0
    note: str = ""


@dataclass(eq=False)
class Part:
    """A part of one of the boxes of the input, below a node of the tree, with the conjunctions that are open."""

    tree: Tree
    lower: Array  # (n,)
    upper: Array
    open: tuple[int, ...]
    number: int = 0  # of the box


@dataclass(eq=False)
class Job:
    """A leaf below signs, for one conjunction."""

    tree: Tree
    conjunction: int


def check(data: bytes, network: bytes, prop: bytes, grade: str = "ball") -> Accepted:
    """The certificate of these bytes against the files' bytes. Errors: Refused with the reason, Unreadable."""
    content = opened(data)
    for name, given in (("network", network), ("property", prop)):
        if content.get(name) != hashlib.sha256(given).hexdigest():
            raise Refused(f"the certificate is of another {name}")
    net, asked = read_network(network), read_property(prop)
    return checked(content, net, asked, grade)


def checked(content: Mapping[str, Any], net: Network, asked: Property, grade: str) -> Accepted:
    """The certificate's content against what was read. Errors: Refused."""
    if net.nodes[0].size != asked.inputs or net.nodes[-1].size != asked.outputs:
        raise Refused(f"the property has {asked.inputs} inputs and {asked.outputs} outputs, the network others")
    with np.errstate(all="ignore"):
        if content.get("verdict") == "sat":
            note = noted(content.get("point"), Bounds(net, GRADES[grade]()), asked)
            return Accepted("sat", grade, 0, 0.0, note)
        if content.get("verdict") != "unsat":
            raise Refused(f"the verdict {content.get('verdict')!r} is none that is checked")
        cases = content.get("cases")
        if not isinstance(cases, list) or len(cases) != len(asked.cases):
            raise Refused(f"the property has {len(asked.cases)} cases, the certificate others")
        bounds, leaves, least = Bounds(net, GRADES[grade]()), 0, np.inf
        for number, (case, body) in enumerate(zip(asked.cases, cases, strict=True)):
            try:
                walk = Walk(bounds, case.conjunctions, body)
                walk.run(*ends_of(case))
            except (Refused, MemoryError) as error:
                raise Refused(f"case {number}: {error}") from None
            leaves, least = leaves + walk.leaves, min(least, walk.least)
        return Accepted("unsat", grade, leaves, least)


def ends_of(case: Case) -> tuple[Array, Array]:
    """The case's box, rounded outwards, (1, n) each."""
    return np.array([[outward(low, -1) for low, _ in case.box]]), np.array([[outward(high, 1) for _, high in case.box]])


class Walk:
    """What a certificate says of boxes over which the same conjunctions are unsafe, from the tree's root to its leaves.

    `usual`: the slopes of open relus where none are stored, by curve; where there are none they are adaptive.
    """

    def __init__(self, bounds: Bounds, conjunctions: tuple[tuple[Row, ...], ...], body: object) -> None:
        self.bounds, self.conjunctions, self.leaves, self.least = bounds, conjunctions, 0, np.inf
        net = bounds.net
        self.curves = [(i, net.nodes[i].args[0], net.nodes[i].size) for i in bounds.curves]
        self.starts = np.cumsum([0, *(size for _, _, size in self.curves)])
        if not isinstance(body, dict):
            raise Refused("the certificate has no tree for it")
        self.unstable = ascending(unpacked(body.get("unstable")), int(self.starts[-1]))
        self.end, usual = _number(body, "end", len(net.nodes) - 2), body.get("slopes")
        slope = slopes_of(bytes([_number(body, "slopes", 255)]))[0]
        sizes = [(i, size) for i, _, size in self.curves if net.nodes[i].curve == RELU]
        self.usual = {} if usual is None else {i: np.full((1, n), slope) for i, n in sizes}
        self.plan = self._plan(body.get("plan"))
        counts, inputs = [len(rows) for rows in conjunctions], net.nodes[0].size
        self.weights = _weights(body.get("weights"), counts)
        self.tree = read_tree(unpacked(body.get("tree")), self.unstable, counts, inputs, int(self.starts[-1]))
        self._rows: dict[tuple[int, bytes | None], list[Row]] = {}

    def run(self, lower: Array, upper: Array) -> None:
        """For boxes of the input with these ends (B, n). Errors: Refused where a leaf's bound is not positive."""
        if any(not rows for rows in self.conjunctions):
            raise Refused("all of the box is unsafe")
        every = tuple(range(len(self.conjunctions)))
        front = [Part(self.tree, low, high, every, b) for b, (low, high) in enumerate(zip(lower, upper, strict=True))]
        rows = max(1, sum(map(len, self.conjunctions)) // 8)  # a row of each node beside its box
        size = max(1, _ROOM // (rows * self.bounds.widest))
        while front:
            batch, front = front[:size], front[size:]
            bounded = [part for part in batch if part.tree.kind != HALVE]
            for part in batch:
                if part.tree.kind == HALVE:
                    front += halves(part)
            if bounded:
                front += self._bounded(bounded)

    def open(self, part: Part, low: float, cutting: Cutter, place: int) -> None:
        """A leaf whose bounds are not positive."""
        raise Refused(f"a leaf has the lower bound {low:.3g}, which is not positive")

    def failed(self, job: Job, low: float) -> None:
        """A leaf below signs and conjunctions whose bound is not positive."""
        at = f"of conjunction {job.conjunction} below {len(job.tree.path)} signs"
        raise Refused(f"a leaf {at} has the lower bound {low:.3g}, which is not positive")

    def _bounded(self, parts: list[Part]) -> list[Part]:
        """The parts that are to be bounded next."""
        box = np.stack([part.lower for part in parts]), np.stack([part.upper for part in parts])
        boxes = self.bounds.boxes(box, self.plan, self.usual)
        plain = [b for b, part in enumerate(parts) if part.tree.kind in (LEAF, CUT)]
        front = self._settled([parts[b] for b in plain], _selected(boxes, plain)) if plain else []
        for b, part in enumerate(parts):
            if part.tree.kind not in (LEAF, CUT):
                self.below(part, _selected(boxes, [b]))
        return front

    def _settled(self, parts: list[Part], boxes: Boxes) -> list[Part]:
        """Leaves are proved; boxes that are cut become two."""
        rows = [self._of(g, None) for g in range(len(self.conjunctions))]
        flat = Rows.of([[row for some in rows for row in some]], boxes[0][0].shape[1], boxes[-1][0].shape[1])
        cutting = self.bounds.cutter(flat.repeated(len(parts)), boxes, self.usual, self.end)
        groups = np.split(np.arange(len(flat.c[0])), np.cumsum([len(some) for some in rows])[:-1])
        best = np.stack([cutting.low[:, places].max(1) for places in groups], 1)
        front = []
        left = [tuple(g for g in part.open if not own[g] > 0) for part, own in zip(parts, best, strict=True)]
        for b, part in enumerate(parts):
            if part.tree.kind == LEAF and left[b]:
                self.open(part, float(min(best[b, g] for g in left[b])), cutting, b)
            if part.tree.kind == LEAF:
                self.leaves += 1
                self.least = min(self.least, *(float(best[b, g]) for g in part.open))
        if any(part.tree.kind == CUT for part in parts):
            if self.end:
                raise Refused("boxes are cut by rows of the input alone")
            hulls = [cutting.cut(places, _ROUNDS) for places in groups]
            for b, part in enumerate(parts):
                still = tuple(g for g in left[b] if not (hulls[g][0][b] > hulls[g][1][b]).any())
                if part.tree.kind == CUT and still:
                    lower = np.min([hulls[g][0][b] for g in still], 0)
                    upper = np.max([hulls[g][1][b] for g in still], 0)
                    front += halves(replace(part, lower=lower, upper=upper, open=still))
        return front

    def below(self, part: Part, boxes: Boxes) -> None:
        """All leaves below signs and conjunctions."""
        jobs = list(jobs_of(part.tree, part.open))
        for start in range(0, len(jobs), _LEAVES):
            some = jobs[start : start + _LEAVES]
            for job, low in zip(some, self.lows(some, boxes), strict=True):
                self.leaves += 1
                if low > 0:
                    self.least = min(self.least, float(low))
                else:
                    self.failed(job, float(low))

    def lows(self, jobs: list[Job], boxes: Boxes) -> Array:
        """The best lower bound of each leaf."""
        rows = [self._of(job.conjunction, job.tree.weights) for job in jobs]
        most = max(map(len, rows))
        asked = [[*some, *[some[-1]] * (most - len(some))] for some in rows]
        entries = Rows.of(asked, boxes[0][0].shape[1], boxes[-1][0].shape[1])
        own, slopes, held = self._decided(jobs, boxes)
        _, low = self.bounds.linear(entries, own, {**self.usual, **slopes}, held, self.end)
        return low.max(1)

    def _decided(self, jobs: list[Job], boxes: Boxes) -> tuple[Boxes, dict[int, Array], dict[int, Array]]:
        """The boxes of each leaf, its slopes and its multipliers, curve by curve."""
        total = int(self.starts[-1])
        signs, held = np.zeros((len(jobs), total)), np.zeros((len(jobs), total))
        slopes = np.full((len(jobs), total), np.nan)
        for j, job in enumerate(jobs):
            entries = [entry for entry, _ in job.tree.path]
            own = np.array([s for _, s in job.tree.path], dtype=np.float64)
            signs[j, entries] = own
            if job.tree.slopes is not None:
                slopes[j, [e for e in self.unstable.tolist() if e not in set(entries)]] = slopes_of(job.tree.slopes)
            if job.tree.multipliers is not None:
                held[j, entries] = own * multipliers_of(job.tree.multipliers)
        own_boxes, found, multipliers = list(boxes), {}, {}
        for (i, a, size), start in zip(self.curves, self.starts, strict=False):
            some = slice(int(start), int(start) + size)
            if signs[:, some].any():
                low, high = boxes[a]
                low = np.where(signs[:, some] > 0, np.maximum(low, 0), low)
                high = np.where(signs[:, some] < 0, np.minimum(high, 0), high)
                own_boxes[a] = low, np.maximum(low, high)
                own_boxes[i] = image(self.bounds.net.nodes[i].curve, own_boxes[a])
                multipliers[i] = held[:, some]
            if not np.isnan(slopes[:, some]).all():
                found[i] = slopes[:, None, some]
        return own_boxes, found, multipliers

    def _of(self, conjunction: int, weights: bytes | None) -> list[Row]:
        """The rows of which one is to be positive: sums of the conjunction's rows with weights."""
        key = (conjunction, weights)
        if key not in self._rows:
            rows = self.conjunctions[conjunction]
            sums = self.weights[conjunction] if weights is None else [list(weights)]
            if not all(any(one) for one in sums):
                raise Refused("a leaf weighs all rows by 0")
            self._rows[key] = [_sum(rows, one) for one in sums]
        return self._rows[key]

    def _plan(self, given: object) -> set[int]:
        """The curves whose arguments are bounded by rows, too."""
        named = {str(i): i for i in self.bounds.curves}
        if not isinstance(given, dict) or given.keys() - named.keys() or any(v is not None for v in given.values()):
            raise Refused("the plan names no curves")
        return {named[name] for name in given}


def halves(part: Part) -> list[Part]:
    """Both halves of a box along the node's axis."""
    axis = part.tree.place
    middle = part.lower[axis] / 2 + part.upper[axis] / 2
    low, high = part.lower.copy(), part.upper.copy()
    low[axis] = high[axis] = middle
    left, right = part.tree.kids
    return [replace(part, tree=left, upper=high), replace(part, tree=right, lower=low)]


def _selected(boxes: Boxes, places: list[int]) -> Boxes:
    return [(low[places], high[places]) for low, high in boxes]


def jobs_of(root: Tree, open_: tuple[int, ...]) -> Iterator[Job]:
    """Every leaf below, once for each conjunction that it is to close."""
    pending = [(root, open_)]
    while pending:
        node, own = pending.pop()
        if node.kind in (LEAF, LINES):
            yield from (Job(node, g) for g in own)
        elif node.kind == EACH:
            pending += [(kid, (g,)) for g, kid in enumerate(node.kids) if g in own]
        else:
            pending += [(kid, own) for kid in node.kids]


def _number(body: Mapping[str, Any], name: str, most: int) -> int:
    """A number from 0 to `most` of a case; 0 where it has none."""
    found = 0 if body.get(name) is None else body[name]
    if type(found) is not int or not 0 <= found <= most:
        raise Refused(f"{name} is {found!r}, not a number from 0 to {most}")
    return found


def _weights(given: object, counts: list[int]) -> list[list[list[int]]]:
    """For each conjunction lists of weights; by default each of its rows alone."""
    if given is None:
        return [[[int(i == j) for j in range(n)] for i in range(n)] for n in counts]
    whole = isinstance(given, list) and len(given) == len(counts) and all(isinstance(some, list) for some in given)
    found: list[Any] = list(given) if whole and isinstance(given, list) else []
    for some, n in zip(found, counts, strict=False):
        for one in some:
            fine = isinstance(one, list) and len(one) == n
            if not fine or any(type(w) is not int or not 0 <= w <= 255 for w in one):
                whole = False
    if not whole or not all(found):
        raise Refused("the weights of rows are not lists of bytes, one for each row")
    return found


def _sum(rows: tuple[Row, ...], weights: list[int]) -> Row:
    """sum_k w_k row_k, exactly."""
    x: dict[int, Fraction] = {}
    y: dict[int, Fraction] = {}
    for row, w in zip(rows, weights, strict=True):
        for own, terms in ((x, row.x), (y, row.y)):
            for i, a in terms:
                own[i] = own.get(i, Fraction(0)) + w * a
    c = sum((w * row.c for row, w in zip(rows, weights, strict=True)), Fraction(0))
    return Row(tuple(x.items()), tuple(y.items()), c)
