"""Branch and bound over one sample's program: a proven bound, the point it ends at, and whether time ran out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from absdomain.domains.program.activation import Unevaluated
from absdomain.domains.program.matrices import Array, Columns
from absdomain.domains.program.solver import UNIT, Objectives, quietly

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_TOLERANCE = 1e-9  # of feasibility, of reduced costs and of integrality; HiGHS's own are 1e-7 and 1e-6
_TOLERANCES = {f"{kind}_feasibility_tolerance": _TOLERANCE for kind in ("primal", "dual", "mip")}
_DROPPED = 1e-9  # HiGHS takes smaller coefficients for zero
_ROUNDING = 1e-12  # of the objective, relative to the sum of its terms' absolute values
_CLOSE = 1e-6  # relative: a bound as near its point's value needs no second opinion
_GAP = 0.9  # relative: below 1, so that bound and best value have one sign


@dataclass(frozen=True, eq=False)
class Found:
    """bound <= min of an entry over the region, and the point with the least value that the search came to."""

    bound: float
    point: Tensor | None = None  # (*input shape), of the region
    value: float = inf  # of the entry at the point
    expired: bool = False  # time ran out before the search was through


class Search:
    """The exact minima of one sample's entries, with at most `seconds` for all that are asked."""

    def __init__(self, e: Unevaluated, sample: int, seconds: float | None) -> None:
        self.e, self.sample = e, sample
        self.end = inf if seconds is None else monotonic() + seconds
        self.exact = Objectives.of(e, sample, pieces=True)
        if len(self.exact.integer) and not self.exact.posed.linear:
            raise _refused(e)

    @cached_property
    def _drift(self) -> Tensor:
        return self.e.drift()[self.sample].flatten()

    @cached_property
    def relaxed(self) -> Objectives:
        """The same entries over the linear relaxation: the fall-back."""
        return Objectives.of(self.e, self.sample)

    def minima(self, index: Columns, sign: float) -> Array:
        """Lower bounds of sign * entry for these entries: the minima, or the better of what is proved and relaxed."""
        return np.array([self._minimum(int(entry), sign) for entry in index])

    def _minimum(self, entry: int, sign: float) -> float:
        found = self._searched(entry, sign, gap=0.0, target=-inf)
        if isfinite(found.value) and found.value - found.bound <= _CLOSE * max(1.0, abs(found.value)):
            return found.bound
        return max(found.bound, float(self.relaxed.minima(np.array([entry]), sign)[0]))

    def decision(self, groups: Tensor | None = None) -> tuple[Array, Found]:
        """Bounds of all entries good enough for their signs, and the least point met; over at the first below zero.

        Entries that the relaxation proves are not searched; the others are, from the least bound up. With groups, of
        which one entry suffices, those of a group that has a positive bound are not searched, and all others are.
        """
        bounds = self.relaxed.minima(np.arange(len(self.exact.k)), 1.0)
        names = np.arange(len(bounds)) if groups is None else groups.cpu().numpy()
        worst = Found(-inf)
        for entry in bounds.argsort().tolist():
            if bounds[names == names[entry]].max() > 0:
                continue
            found = self._decided(entry)
            bounds[entry] = max(bounds[entry], found.bound)
            worst = min(worst, found, key=lambda f: f.value)
            if (found.value < 0 and groups is None) or found.expired:
                return bounds, replace(worst, expired=found.expired and found.value >= 0)
        return bounds, worst

    def _decided(self, entry: int) -> Found:
        """As far as the sign of an entry's minimum needs: to a point below 0, or to a bound above 0."""
        return self._searched(entry, 1.0, gap=_GAP, target=-2 * self._slack(entry))

    def _searched(self, entry: int, sign: float, *, gap: float, target: float) -> Found:
        """The solver's proven bound, less its tolerances, and its best point, evaluated by the network itself."""
        c, k = sign * self.exact.M[[entry]].toarray()[0], sign * float(self.exact.k[entry])
        if not len(self.exact.integer):  # affine over the region, but for barely unstable entries
            bound = float(self.exact.minima(np.array([entry]), sign)[0])
            solved = self.exact.posed.solve(c, k)
            return self._at_point(Found(bound), entry, sign) if solved else Found(bound)
        slack = self._slack(entry)
        if not (isfinite(slack) and self.exact.defined and self._resolved):  # the solver's word is worth nothing
            return Found(-inf)
        left = self.end - monotonic()
        if left <= 0:
            return Found(-inf, expired=True)
        options = {"mip_rel_gap": gap, "mip_abs_gap": 0.0, "objective_target": target, **_TOLERANCES}
        options |= {"time_limit": left} if isfinite(left) else {}
        if not self.exact.posed.solve(c, k, **options):  # "infeasible" and the like are never a proof
            return Found(-inf)
        best, proved = self.exact.posed.ends()
        if not isfinite(best):
            return Found(proved - slack, expired=True)
        # Nodes within the gap of the best value are dropped, whatever the solver then reports as its bound.
        bound = min(proved, best - gap * abs(best)) - slack
        unfinished = not self.exact.posed.finished and best > target
        return self._at_point(Found(bound, expired=unfinished), entry, sign)

    def _at_point(self, found: Found, entry: int, sign: float) -> Found:
        """With the solver's point, moved into the region, and the entry's value there: a bound above it is no bound."""
        region = self.e.region
        points = region.centre.clone()
        points[self.sample] = torch.from_numpy(self.exact.posed.x.value).to(points).view(points.shape[1:])
        points = region.project(points)
        value = sign * self.e.value(points)[self.sample].flatten()[entry].item()
        bound = found.bound
        if bound > value + self._slack(entry):
            warnings.warn(f"HiGHS proves {bound:.9g}, but a point has {value:.9g}: its proof is not used", stacklevel=2)
            bound = -inf
        return Found(bound, points[self.sample], value, found.expired)

    @cached_property
    @quietly
    def _resolved(self) -> bool:
        """Whether the solver's arithmetic can tell that a row holds: its rounding is below the tolerance."""
        reach = np.maximum(np.abs(self.exact.lower), np.abs(self.exact.upper))
        sizes = (abs(rows) @ reach + np.abs(b) for rows, b in (self.exact.equations, self.exact.inequalities))
        return all(float(size.max(initial=0.0)) * UNIT <= _TOLERANCE for size in sizes)

    @quietly
    def _slack(self, entry: int) -> float:
        """What the solver's tolerances may have lifted its bound by.

        A basis whose reduced costs are within the tolerance of feasible is optimal up to the tolerance times the range
        of every variable and of every row's slack; pruned nodes are as good as the best within one tolerance more. What
        a row is missed by, the tolerance or coefficients so small that the solver drops them, later weights multiply.
        """
        of = self.exact
        A, b = of.inequalities
        reach = np.maximum(np.abs(of.lower), np.abs(of.upper))
        least = A.maximum(0) @ of.lower + A.minimum(0) @ of.upper
        ranges = float((of.upper - of.lower).sum() + (b - least).sum())
        terms = float(abs(of.M[[entry]]).sum(0) @ reach + abs(of.k[entry]))
        unit = _TOLERANCE + max(_largest_dropped(rows, reach) for rows, _ in (of.equations, of.inequalities))
        drift = float(self._drift[entry])
        return _TOLERANCE * (1 + ranges) + unit * drift + _ROUNDING * terms


def _largest_dropped(rows: csr_array, reach: Array) -> float:
    """The most by which a row is missed for the coefficients that HiGHS takes for zero."""
    small = rows.copy()
    small.data = np.where(np.abs(small.data) < _DROPPED, np.abs(small.data), 0.0)
    small.eliminate_zeros()  # 0 * inf is not taken
    return float((small @ reach).max(initial=0.0))


def _refused(e: Unevaluated) -> Exception:
    from absdomain.lowering import UnsupportedOp  # loads torch.export

    return UnsupportedOp(
        f"Exact over {type(e.region).__name__}: it is not a polyhedron, so that this is no mixed-integer linear "
        "program; bound this region with LP, or with box & deeppoly"
    )
