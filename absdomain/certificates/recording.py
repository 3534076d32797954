"""What a search on activations has closed, leaf by leaf, in few bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from absdomain.branching.open_parts import OpenParts
from absdomain.branching.record import Record
from absdomain.branching.signs import Open
from absdomain.branching.target import Target
from absdomain.region import Region

Ints = NDArray[np.int64]
_LEAVES = 4096  # of one sample's searches; more are not kept in memory


@dataclass(frozen=True, eq=False)
class Leaf:
    """A closed branch: what was decided, and the lines of its bound; places are those of the search's layout."""

    group: int
    signs: dict[int, int]  # by place: 1 for z >= t, -1 for z <= t
    multipliers: dict[int, float]
    slopes: NDArray[np.uint8]  # of 256ths, at most 255
    weights: NDArray[np.float64]  # of the group's rows as the search has them, the last repeated


@dataclass(eq=False)
class Recorder(Record):
    """The leaves of every search on one question, and which of the searches has proved it."""

    leaves: dict[int, list[Leaf]] = field(default_factory=dict)  # by the identity of the search's target
    held: list[Target] = field(default_factory=list)  # so that no identity is used twice
    asked: Target | None = None
    search: Any = None  # None: the bounds of the whole proved it

    def closed(self, target: Target, some: OpenParts) -> None:
        assert isinstance(some, Open)
        if id(target) not in self.leaves:
            self.leaves[id(target)] = []
            self.held.append(target)
        slopes = (some.below.clamp(0, 1) * 256).round().clamp(max=255).byte().numpy()
        weights, beta, held = some.mu.softmax(1).numpy(), some.beta.numpy(), some.held.numpy()
        for b, group in enumerate(some.group.tolist()):
            places = np.flatnonzero(held[b]).tolist()
            signs = {p: 1 if held[b, p] > 0 else -1 for p in places}
            own = {p: float(beta[b, p]) for p in places}
            self.leaves[id(target)].append(Leaf(group, signs, own, slopes[b], weights[b]))

    def proved(self, asked: Target, searches: Sequence[Any]) -> None:
        self.asked = asked
        self.search = next((search for search in searches if not len(search)), None)

    def of(self, target: Target) -> list[Leaf]:
        """The leaves of the search on a target."""
        return self.leaves.get(id(target), [])


@dataclass(eq=False)
class Proofs:
    """How a certification has proved samples by a search, by the centre of the region; for `recording`."""

    held: dict[bytes, Recorder] = field(default_factory=dict)
    last: bytes = b""

    def __call__(self, region: Region) -> Recorder:
        """What is told of this region. The one before is kept if it is proved, in few enough leaves."""
        self._sift()
        self.last = _key(region.centre[0].detach().cpu().double().numpy())
        self.held[self.last] = Recorder()
        return self.held[self.last]

    def of(self, centre: NDArray[np.float64]) -> Recorder | None:
        """How the region around this point was proved."""
        self._sift()
        return self.held.get(_key(centre))

    def _sift(self) -> None:
        """Drop the last one where it proves nothing, or is too large."""
        last = self.held.get(self.last)
        if last is not None and (last.asked is None or sum(map(len, last.leaves.values())) > _LEAVES):
            del self.held[self.last]


def _key(centre: NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(centre).tobytes()
