"""Walks of the checker that do not refuse where a leaf is open: boxes are halved, and leaves below signs are told."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from absdomain.errors import NoCertificate
from absdomain_check import checking
from absdomain_check.affine import Array
from absdomain_check.ball import Ball, Box
from absdomain_check.bounds import Bounds, Boxes, Cutter
from absdomain_check.checking import Job, Part, Walk
from absdomain_check.form import CUT, Tree
from absdomain_check.network import Network
from absdomain_check.property import Case

_FLOOR = 0.3  # of the largest coefficient: no axis is starved


@dataclass(eq=False)
class Failure:
    """A leaf that is open, and its lower bound."""

    job: Job
    low: float


@dataclass(eq=False)
class Growth:
    """How far trees may grow."""

    until: float  # time.monotonic
    leaves: int = 200_000


class Remembered(Bounds):
    """Bounds in the numbers of `ball` that keep the last boxes of one box: a tree is grown several times below it."""

    def __init__(self, net: Network) -> None:
        super().__init__(net, Ball())
        self._asked: object = None
        self._last: Boxes = []

    def boxes(self, box: Box, plan: Collection[int] = (), slopes: Mapping[int, Array] | None = None) -> Boxes:
        if len(box[0]) > 1:
            return super().boxes(box, plan, slopes)
        taken = tuple((i, some.tobytes()) for i, some in sorted((slopes or {}).items()))
        asked = (box[0].tobytes(), box[1].tobytes(), frozenset(plan), taken)
        if asked != self._asked:
            self._last, self._asked = super().boxes(box, plan, slopes), asked
        return self._last


class Grower(Walk):
    """Halves every box that is open, along the axis that moves its bound most, and keeps what fails below signs."""

    def __init__(self, bounds: Bounds, case: Case, body: dict[str, Any], growth: Growth) -> None:
        super().__init__(bounds, case.conjunctions, body)
        self.case, self.growth, self.grown = case, growth, 0
        self.failures: list[Failure] = []
        self.boxes: Boxes | None = None  # of the last tree below signs

    def grow(self) -> None:
        """Walk through the case's box."""
        self.run(*checking.ends_of(self.case))

    def open(self, part: Part, low: float, cutting: Cutter, place: int) -> None:
        """The leaf becomes a cut."""
        self.grown += 1
        if time.monotonic() > self.growth.until or self.grown > self.growth.leaves:
            raise NoCertificate(f"{self.grown} boxes were halved, and one still has the lower bound {low:.3g}")
        width = part.upper - part.lower
        row = cutting.line[0][0][:, int(cutting.low[place].argmax())][:, None]
        slope = self.bounds.grade.coefficients(row)[0][place]
        score = np.maximum(slope, _FLOOR * slope.max()) * width
        axis = int(np.argmax(score if score.max() > 0 else width))
        middle = part.lower[axis] / 2 + part.upper[axis] / 2
        if not part.lower[axis] < middle < part.upper[axis]:
            raise NoCertificate(f"a box of neighbouring floats has the lower bound {low:.3g}")
        part.tree.kind, part.tree.place, part.tree.kids = CUT, axis, [Tree(), Tree()]

    def below(self, part: Part, boxes: Boxes) -> None:
        self.boxes = boxes
        super().below(part, boxes)

    def failed(self, job: Job, low: float) -> None:
        """The leaf is kept."""
        self.failures.append(Failure(job, low))
