"""Certificates of what a search has proved, written with the checker's own library, so that it accepts them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from absdomain import linear
from absdomain.branching.decisions import Layout
from absdomain.branching.open_parts import Queue
from absdomain.branching.signs import Open, SignSearch
from absdomain.branching.target import Target
from absdomain.certificates import matching
from absdomain.certificates.growing import Failure, Grower, Growth, Remembered
from absdomain.certificates.recording import Leaf, Recorder
from absdomain.certificates.trees import bytes_of_multipliers, bytes_of_slopes, bytes_of_weights, tree_of
from absdomain.errors import NoCertificate
from absdomain.properties import Query
from absdomain.spec import Spec
from absdomain_check.bounds import Bounds, Boxes
from absdomain_check.checking import checked
from absdomain_check.errors import Refused, Unreadable
from absdomain_check.form import EACH, FORMAT, LINES, Path, Tree, canonical, digest, numbers, packed, write_tree
from absdomain_check.network import RELU, read_network
from absdomain_check.property import Case, read_property
from absdomain_check.property import Property as Asked

_SUBSETS = 5  # rows of a conjunction whose subsets are all weighed
_AXES = 24  # varying inputs up to which boxes are halved where no search says how
_ROUNDS = 6  # of repairs
_BATCH = 64


@dataclass(frozen=True, eq=False)
class Proof:
    """How a spec was proved over one box; the spec is of that one sample."""

    box: tuple[tuple[Fraction, Fraction], ...]
    spec: Spec
    record: Recorder = field(default_factory=Recorder)


@dataclass(eq=False)
class Writer:
    """Certificates about one network and one property, of their bytes."""

    network: bytes
    prop: bytes
    seconds: float = 60.0  # that a certificate may take, beyond the search
    proofs: list[Proof] = field(default_factory=list)

    def record(self, query: Query, box: int) -> Recorder:
        """What is told how this box is proved."""
        ends = query.cases[box].box.ends(query.layout.inputs)
        self.proofs.append(Proof(tuple(ends), query.spec.select(torch.tensor([box]))))
        return self.proofs[-1].record

    def unsat(self) -> bytes:
        """The certificate that the unsafe set is empty. Errors: NoCertificate with the reason."""
        until = time.monotonic() + self.seconds
        bounds, asked = self._read()
        proofs = {proof.box: proof for proof in reversed(self.proofs)}
        bodies = [body_of(bounds, case, proofs.get(case.box), until) for case in asked.cases]
        return self._sealed({"verdict": "unsat", "cases": bodies}, bounds, asked)

    def sat(self, point: Sequence[float]) -> bytes:
        """The certificate that a point is unsafe. Errors: NoCertificate with the reason."""
        bounds, asked = self._read()
        return self._sealed({"verdict": "sat", "point": [float(v).hex() for v in point]}, bounds, asked)

    def _read(self) -> tuple[Bounds, Asked]:
        try:
            return Remembered(read_network(self.network)), read_property(self.prop)
        except Unreadable as error:
            raise NoCertificate(f"the checker does not read this: {error}") from None

    def _sealed(self, found: dict[str, Any], bounds: Bounds, asked: Asked) -> bytes:
        content = {
            "format": FORMAT,
            "network": hashlib.sha256(self.network).hexdigest(),
            "property": hashlib.sha256(self.prop).hexdigest(),
            **found,
        }
        if found["verdict"] == "sat":
            try:
                checked(content, bounds.net, asked, "exact")
            except Refused as reason:
                raise NoCertificate(f"in real arithmetic the point is not a counterexample: {reason}") from None
        return canonical({**content, "digest": digest(content)})


def body_of(bounds: Bounds, case: Case, proof: Proof | None, until: float) -> dict[str, Any]:
    """What a certificate says of one case, by `until` (time.monotonic). Errors: NoCertificate with the reason."""
    return _Body(bounds, case, proof, until).written()


class _Body:
    """What a certificate says of one case."""

    def __init__(self, bounds: Bounds, case: Case, proof: Proof | None, until: float) -> None:
        self.bounds, self.case, self.proof, self.growth = bounds, case, proof, Growth(until)
        self.counts = [len(rows) for rows in case.conjunctions]
        self.unstable: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def written(self) -> dict[str, Any]:
        """By halved boxes where few inputs vary, and by signs elsewhere."""
        varying = sum(low < high for low, high in self.case.box)
        record = self.proof.record if self.proof else None
        by_signs = record is not None and isinstance(record.search, SignSearch)
        if by_signs or varying > _AXES:
            return self._by_signs()
        return self._by_axes()

    def _by_axes(self) -> dict[str, Any]:
        grower = self._grower(Tree(), weights=[_sums(n) for n in self.counts])
        grower.grow()
        return self._body(grower.tree, weights=[_sums(n) for n in self.counts])

    def _by_signs(self) -> dict[str, Any]:
        """A tree for each conjunction, repaired until the checker proves all of its leaves."""
        found = self._grower(Tree(kind=EACH, kids=[Tree() for _ in self.counts]))
        found.grow()
        if not found.failures:
            return self._body(found.tree)
        signs = _Signs(self, found)
        return self._body(signs.tree())

    def _grower(self, tree: Tree, **more: Any) -> Grower:
        return Grower(self.bounds, self.case, self._body(tree, **more), self.growth)

    def _body(self, tree: Tree, **more: Any) -> dict[str, Any]:
        gaps = np.diff(self.unstable, prepend=-1) - 1
        return {
            "plan": {str(i): None for i in self.bounds.curves},
            "tree": packed(write_tree(tree)),
            "unstable": packed(numbers(gaps.tolist())),
            **more,
        }


def _sums(count: int) -> list[list[int]]:
    """Each row, and the sums of subsets."""
    if count > _SUBSETS:
        return [[int(i == j) for j in range(count)] for i in range(count)] + [[1] * count]
    return [list(one) for one in product((0, 1), repeat=count) if any(one)]


class _Signs:
    """Trees below signs: from the leaves of a search, and where those fail from one on the checker's own boxes."""

    def __init__(self, body: _Body, first: Grower) -> None:
        self.body, self.first = body, first
        if body.proof is None or body.proof.record.asked is None:
            raise NoCertificate("the property's boxes are not those of the search")
        self.record = body.proof.record
        target = self.record.asked if self.record.search is None else self.record.search.target
        assert target is not None and first.boxes is not None
        self.target: Target = target
        self.layout = Layout.of(target.boxes)
        rows = matching.rows(body.proof.spec, body.case, body.bounds.net.nodes[-1].size)
        entries = matching.entries(target, self.layout, body.bounds)
        if rows is None or entries is None:
            raise NoCertificate("rows or operations of the search have no counterpart in the checker")
        self.rows, self.entries = rows, entries
        self.boxes: Boxes = first.boxes
        self.place = {int(entry): place for place, entry in enumerate(entries)}
        body.unstable = self._crossing()

    def _ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The checker's boxes of all curves' arguments."""
        args = [self.body.bounds.net.nodes[i].args[0] for i in self.body.bounds.curves]
        lower, upper = (np.concatenate([self.boxes[a][side][0] for a in args]) for side in (0, 1))
        return lower, upper

    def _crossing(self) -> NDArray[np.int64]:
        """The entries of relus that the boxes leave open."""
        lower, upper = self._ends()
        sizes = [self.body.bounds.net.nodes[i].size for i in self.body.bounds.curves]
        relu = np.repeat([self.body.bounds.net.nodes[i].curve == RELU for i in self.body.bounds.curves], sizes)
        return np.flatnonzero(relu & (lower < 0) & (upper > 0))

    def tree(self) -> Tree:
        """The tree that the checker proves. Errors: NoCertificate."""
        groups = {j: g for g, j in enumerate(self.rows.conjunction)}
        leaves: dict[int, list[Leaf]] = {}
        for leaf in self.record.of(self.target) if self.record.search is not None else []:
            leaves.setdefault(leaf.group, []).append(leaf)
        kids = [
            tree_of(self._renamed(leaves[groups[j]]), self.written) if groups[j] in leaves else Tree()
            for j in range(len(self.body.counts))
        ]
        root = Tree(kind=EACH, kids=kids)
        margin = 0.0
        for _ in range(_ROUNDS):
            walk = self.body._grower(root)
            walk.grow()
            if not walk.failures:
                return walk.tree
            margin = max(2 * margin, *(-2 * fail.low for fail in walk.failures if np.isfinite(fail.low)), 1e-9)
            self._repaired(walk.failures, min(margin, 1e-2))
            root = walk.tree
        raise NoCertificate(f"{len(walk.failures)} leaves are open after {_ROUNDS} repairs")

    def _renamed(self, leaves: Sequence[Leaf]) -> list[Leaf]:
        """The leaves with the checker's entries in the place of the search's."""
        return [
            replace(
                leaf,
                signs={int(self.entries[p]): s for p, s in leaf.signs.items()},
                multipliers={int(self.entries[p]): b for p, b in leaf.multipliers.items()},
            )
            for leaf in leaves
        ]

    def written(self, leaf: Leaf, path: Path) -> Tree:
        """A leaf with its lines."""
        decided = {entry for entry, _ in path}
        places = [self.place[e] for e in self.body.unstable.tolist() if e not in decided]
        node = Tree(kind=LINES, path=path, slopes=bytes_of_slopes(leaf.slopes[places]))
        node.multipliers = bytes_of_multipliers([leaf.multipliers.get(entry, 0.0) for entry, _ in path])
        if self.body.counts[self.rows.conjunction[leaf.group]] > 1:
            node.weights = self._weights(leaf)
        return node

    def _weights(self, leaf: Leaf) -> bytes:
        """The weights of the checker's rows, of those of the search, which has means and factors as well."""
        groups = self.target.groups.tolist()
        own = [k for k, g in enumerate(groups) if g == leaf.group]
        given = np.zeros(len(groups))
        np.add.at(given, [own[min(i, len(own) - 1)] for i in range(len(leaf.weights))], leaf.weights)
        single = given @ self.rows.means
        found = np.zeros(self.body.counts[self.rows.conjunction[leaf.group]])
        for k, w in enumerate(single):
            if groups[k] == leaf.group:
                found[self.rows.row[k]] += w * self.rows.factor[k]
        return bytes_of_weights(found)

    def _repaired(self, failures: Sequence[Failure], margin: float) -> None:
        """Another search below the leaves that fail, on the checker's boxes, for bounds that are larger by a margin."""
        lower, upper = (torch.from_numpy(end[self.entries]).unsqueeze(0) for end in self._ends())
        boxes: Mapping[Any, tuple[linear.Bounds, ...]] = self.layout.boxes(lower, upper)
        record = Recorder()
        target = replace(self.target, boxes=boxes, slack=self.target.slack + margin)
        search = SignSearch(target, _BATCH, lambda _: None, record)
        groups = {j: g for g, j in enumerate(self.rows.conjunction)}
        for fail in failures:
            search.open = Queue(self._opened(search, fail, groups[fail.job.conjunction], lower, upper))
            start = len(record.of(target))
            while len(search) and not search.stuck:
                search.step()
                if time.monotonic() > self.body.growth.until:
                    raise NoCertificate(f"time: a leaf with the bound {fail.low:.3g} is still open")
            if search.stuck:
                raise NoCertificate(search.stuck)
            node, path = fail.job.tree, fail.job.tree.path
            made = tree_of(self._renamed(record.of(target)[start:]), self.written, path, path)
            node.kind, node.place, node.kids = made.kind, made.place, made.kids
            node.slopes, node.weights, node.multipliers = made.slopes, made.weights, made.multipliers

    def _opened(
        self, search: SignSearch, fail: Failure, group: int, lower: torch.Tensor, upper: torch.Tensor
    ) -> Open:  # fmt: skip
        """The branch of a leaf, as the search holds it."""
        low, high, held = lower.clone(), upper.clone(), torch.zeros_like(lower)
        for entry, sign in fail.job.tree.path:
            place = self.place[entry]
            held[0, place] = sign
            if sign > 0:
                low[0, place] = max(0.0, float(low[0, place]))
            else:
                high[0, place] = min(0.0, float(high[0, place]))
        high = torch.maximum(low, high)
        d = search.d[group : group + 1]
        zero, none = torch.zeros_like(low), low.new_full((1,), -np.inf)
        whole = Open(torch.tensor([group]), low, high, held, zero, zero, zero, torch.zeros_like(d), none)
        lines = search.climb.start(search._branches(whole))
        return replace(whole, below=lines.below, above=lines.above)
