"""Mixed-integer programming: exact for piecewise-linear networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from absdomain.domain import Decision, Traits
from absdomain.domains.program.activation import Unevaluated
from absdomain.domains.program.programmed import Programmed
from absdomain.domains.program.search import Search
from absdomain.domains.program.solver import Minima


@dataclass(frozen=True)
class Exact(Programmed):
    """{ y : x in the region, y = f(x) }, where every op of f is affine or has pieces; a binary says which piece.

    Big-M constants are the op's bands at the slopes of its pieces over the given boxes (`exact.guided(by=...)`); alone,
    over boxes that the linear relaxation gives. An entry that its boxes settle costs no binary (Tjeng et al. 2019,
    section 4). A bound is what HiGHS has proved, less its tolerances; never the value of a point. It has `timeout`
    seconds for each sample that is asked (None: no limit). Where they run out, or the tolerances multiply, the
    bound is the better of what is proved and of the relaxation's (Gowal et al. 2018, section 5). An entry whose chord
    is off by no more than 1e-6 of max(1, |y|) is bounded by its chord: beside smaller numbers a binary is not reliable.

    `decide`, which certification asks, stops at the sign of the minimum and, unless entries have groups, at the first
    one below zero, and gives the point. UnsupportedOp: an op without pieces that its boxes do not settle, or a region
    that is no polyhedron.
    """

    lemma = "exact"
    timeout: float | None = None  # seconds for a sample

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"Exact: timeout is {self.timeout} seconds; give a number above 0, or None for no limit")

    @property
    def traits(self) -> Traits:
        """Minima over less are larger; what is proved by the end of a time limit need not be."""
        return replace(super().traits, monotone=self.timeout is None)

    def solve(self, e: Unevaluated, sample: int) -> Minima:
        return Search(e, sample, self.timeout).minima

    def decide(self, e: Unevaluated, groups: Tensor | None = None) -> Decision:
        like = e.region.centre
        lower, points, expired = like.new_zeros(len(like), prod(e.shape)), e.region.project(like), []
        for sample in range(len(like)):
            bounds, worst = Search(e, sample, self.timeout).decision(groups)
            lower[sample] = torch.from_numpy(bounds).to(like)
            if worst.point is not None:
                points[sample] = worst.point
            expired.append(worst.expired)
        return Decision(lower.view(-1, *e.shape), points, torch.tensor(expired, device=like.device))
