"""min <c, v> + k over one sample's program, posed in cvxpy, and what weak duality proves of its relaxation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from absdomain.domains.program.activation import Unevaluated, build
from absdomain.domains.program.inputs import constrained
from absdomain.domains.program.matrices import Array, Columns, flat, widened
from absdomain.domains.program.program import Block
from absdomain.linear import Bounds, Rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_BLOCK = 2**21  # coefficients of rows whose minima over the region are taken at once
UNIT = 2.0**-53  # rounding of a double, relative
_LARGE = 1e15  # HiGHS refuses greater coefficients
quietly = np.errstate(invalid="ignore", over="ignore")  # numbers that are not finite are told apart, row by row


@dataclass(frozen=True, eq=False)
class Objectives:
    """{ <M_k, v> + k_k : lower <= v <= upper, E v = f, A v <= b }: the entries of an activation, for one sample."""

    e: Unevaluated
    sample: int
    M: csr_array
    k: Array
    lower: Array
    upper: Array
    equations: Block  # E, f
    inequalities: Block  # A, b
    integer: Columns  # the variables that are 0 or 1; none in a relaxation
    defined: bool = True

    @staticmethod
    @quietly
    def of(e: Unevaluated, sample: int, *, pieces: bool = False) -> Objectives:
        """Those of e; exact with `pieces`, relaxed without."""
        built, value = build(e, sample, pieces=pieces)
        ends = np.concatenate(built.lower), np.concatenate(built.upper)
        ties = built.stacked(built.equations), built.stacked(built.inequalities)
        integer = np.concatenate([np.zeros(0, np.int64), *built.integer])
        return Objectives(e, sample, widened(value.M, built.width), value.k, *ends, *ties, integer, built.defined)

    @property
    def inputs(self) -> int:
        """How many variables are the network's inputs; they come first."""
        return prod(self.e.region.centre.shape[1:])

    @cached_property
    def posed(self) -> Posed:
        """The problem in cvxpy, made once for all rows."""
        return Posed(self)

    @quietly
    def minima(self, index: Columns, sign: float) -> Array:
        """Lower bounds of sign * entry over the relaxation, for these entries: what the solver's multipliers prove.

        For any nu and any lam >= 0, <c, v> >= <c + E' nu + A' lam, v> - <nu, f> - <lam, b> on the program, and the
        right side's minimum over the region and the ends of the other variables has a closed form (weak duality;
        Neumaier and Shcherbina 2004, section 3). So the solver is not trusted: its tolerances and its failures cost
        tightness alone. What rounding may have added is subtracted: multipliers may be larger than the coefficients by
        which `absdomain.rounding` measures it. An unknown bound is -inf.
        """
        if not self.defined:
            return np.full(len(index), -inf)
        (E, f), (A, b) = self.equations, self.inequalities
        found = [np.zeros(0)]
        for block in np.array_split(index, 1 + len(index) * len(self.lower) // _BLOCK):
            c = sign * self.M[block].toarray()
            nu, lam = np.zeros((len(c), len(f))), np.zeros((len(c), len(b)))
            for row in np.flatnonzero(c[:, self.inputs :].any(1)):  # what reads the inputs alone needs no solver
                nu[row], lam[row] = self.posed.multipliers(c[row])
            least = self._least(c + nu @ E + lam @ A) + sign * self.k[block] - nu @ f - lam @ b
            found.append(least - self._rounding(np.abs(c), np.abs(nu), lam) - UNIT * np.abs(self.k[block]))
        bounds = np.concatenate(found)
        return np.where(np.isnan(bounds), -inf, bounds)

    def _rounding(self, c: Array, nu: Array, lam: Array) -> Array:
        """gamma (|c| + |nu| |E| + lam |A|) |v| + gamma (|nu| |f| + lam |b|), for sums over all variables and rows."""
        (E, f), (A, b) = self.equations, self.inequalities
        box = self.e.region.box()
        ends = [np.maximum(np.abs(flat(box.lower, self.sample)), np.abs(flat(box.upper, self.sample)))]
        ends += [np.maximum(np.abs(self.lower), np.abs(self.upper))[self.inputs :]]
        sizes, reach = c + nu @ abs(E) + lam @ abs(A), np.concatenate(ends)
        terms = np.where(sizes > 0, sizes * reach, 0.0).sum(1) + nu @ np.abs(f) + lam @ np.abs(b)
        rounding: Array = 2 * (len(reach) + len(f) + len(b) + 2) * UNIT * terms
        return rounding

    def _least(self, c: Array) -> Array:
        """min <c_k, v> over the region and the ends of the other variables."""
        like, n = self.e.region.centre, self.inputs
        rows = torch.from_numpy(c[:, :n]).to(like).view(len(c), 1, *like.shape[1:])
        over_region = self.e.region.minimum(Rows.of(rows))[:, self.sample].double().cpu().numpy()
        rest = c[:, n:]  # 0 * inf is not taken
        ends = np.where(rest > 0, rest * self.lower[n:], np.where(rest < 0, rest * self.upper[n:], 0 * rest))
        least: Array = over_region + ends.sum(1)
        return least


class Posed:
    """min <c, v> + k as a cvxpy problem with c and k as parameters, so that one canonicalisation serves all rows."""

    def __init__(self, of: Objectives) -> None:
        import cvxpy as cp

        (E, f), (A, b) = of.equations, of.inequalities
        self.x = cp.Variable(of.inputs)
        width, ends = len(of.lower), (of.lower[of.inputs :], of.upper[of.inputs :])
        others = [cp.Variable(width - of.inputs, bounds=list(ends))] if width > of.inputs else []
        v = cp.hstack([self.x, *others])
        self.equal = E @ v == f if len(f) else None
        self.at_most = A @ v <= b if len(b) else None
        whole = v[of.integer] == cp.Variable(len(of.integer), boolean=True) if len(of.integer) else None
        region = constrained(self.x, of.e.region.constraints(), of.sample)
        self.c, self.k = cp.Parameter(width), cp.Parameter(1)
        one = cp.Variable(1, bounds=[np.ones(1), np.ones(1)])  # a variable, so that a relative gap counts k
        ties = [tie for tie in (self.equal, self.at_most, whole, *region) if tie is not None]
        self.problem = cp.Problem(cp.Minimize(self.c @ v + self.k @ one), ties)
        numbers = (E.data, A.data, f, b)
        self.solvable = (
            all(bool((np.abs(t) < _LARGE).all()) for t in numbers) and not np.isnan(of.lower - of.upper).any()
        )
        self.none = np.zeros(len(f)), np.zeros(len(b))

    @property
    def linear(self) -> bool:
        """Whether the region is a polyhedron, so that the problem is one for HiGHS."""
        return bool(self.problem.is_qp())

    def solve(self, c: Array, k: float, **options: Any) -> bool:
        """Minimise <c, v> + k; whether the solver came to an end that has numbers."""
        import cvxpy as cp

        if not self.solvable or not bool((np.abs(c) < _LARGE).all()) or not np.isfinite(k):
            return False
        self.c.value, self.k.value = c, np.array([k])
        # No warm start: HiGHS 1.15 has returned a stale MIP start as optimal, with its value as the proven bound.
        try:
            with warnings.catch_warnings(action="ignore"):  # that a solution may be inaccurate, which is allowed for
                self.problem.solve(solver=cp.HIGHS if self.linear else cp.CLARABEL, warm_start=False, **options)
        except (cp.SolverError, ValueError):
            return False
        return self.problem.status in cp.settings.SOLUTION_PRESENT

    @property
    def finished(self) -> bool:
        """Whether the last solve ended by itself, not by a limit."""
        return str(self.problem.status) == "optimal"

    def ends(self) -> tuple[float, float]:
        """After branch and bound: the best value found (inf: none), and the bound proved for all."""
        info: Any = self.problem.solver_stats.extra_stats
        return float(info.objective_function_value), float(info.mip_dual_bound)

    def multipliers(self, c: Array) -> tuple[Array, Array]:
        """The solver's nu and lam >= 0; zeros where it has none."""
        if not self.solve(c, 0.0):
            return self.none
        ties = (self.equal, self.at_most)
        values = [none if tie is None else tie.dual_value for tie, none in zip(ties, self.none, strict=True)]
        if any(value is None or not np.isfinite(value).all() for value in values):
            return self.none
        return values[0], np.maximum(values[1], 0.0)


Minima = Callable[[Columns, float], Array]  # (entries, sign) -> lower bounds of sign * entry


def boxed(e: Unevaluated, where: Tensor | None = None) -> Bounds:
    """Bounds of the relaxation over the whole of which the region may be a part, as intermediate bounds are taken."""
    least, most = minima(replace(e, region=e.region.whole), (1.0, -1.0), relaxed, where)
    return Bounds(least, -most)


def relaxed(e: Unevaluated, sample: int) -> Minima:
    """Bounds of one sample's entries over the linear relaxation."""
    return Objectives.of(e, sample).minima


def minima(
    e: Unevaluated, signs: tuple[float, ...], of: Callable[[Unevaluated, int], Minima], where: Tensor | None = None
) -> list[Tensor]:
    """Lower bounds of sign * e for each sign, (B, *shape), sample by sample; -inf where they are not asked for."""
    like = e.region.centre
    found = [like.new_full((len(like), prod(e.shape)), -torch.inf) for _ in signs]
    asked = torch.ones_like(found[0], dtype=torch.bool) if where is None else where.reshape(found[0].shape)
    for sample in asked.any(1).nonzero().flatten().tolist():
        index = asked[sample].nonzero().squeeze(1)
        own = of(e, sample)
        for bounds, sign in zip(found, signs, strict=True):
            bounds[sample, index] = torch.from_numpy(own(index.cpu().numpy(), sign)).to(like)
    return [bounds.view(-1, *e.shape) for bounds in found]
