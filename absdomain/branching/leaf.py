"""The end of a branch in which every kink is decided: a linear program gives the best multipliers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from absdomain.branching.climb import Branches, Climb, Lines
from absdomain.linear import Rows
from absdomain.region import Region
from absdomain.relations import backward

Array = np.ndarray[Any, np.dtype[np.float64]]

# For leaving the branch, in units of the row's largest coefficient: a branch that is empty needs a large one.
_PENALTIES = (1e2, 1e4, 1e6, 1e8)


def solved(climb: Climb, branches: Branches, lines: Lines) -> tuple[Lines, Tensor, bool]:
    """Multipliers of the linear program over a branch (of one), where it is least, and whether that is in the branch.

    min <c, f(x)> + M tau over x of the region and tau >= 0, with s_j (z_j(x) - t_j) + tau >= 0 for what was decided, M
    growing until tau is 0 or the bound positive. The multipliers are a solver's, and are believed as little as any: the
    bound is evaluated with them anew.
    """
    bare = replace(lines, beta=torch.zeros_like(lines.beta))
    e, region = climb.element(branches), climb.target.region
    _, row = climb.evaluated(e, branches, bare)
    if not bool(branches.held.any()):
        return bare, region.argmin(row.data.detach())[0], True
    A, offsets, entries = _decided(climb, branches, climb.drawn(e, branches, climb.start(branches)))
    signs = branches.held[0, entries].numpy()
    ends = branches.ends[0, entries].numpy()
    cost = row.data[0, 0].flatten().detach().numpy()
    scale = max(1e-6, float(np.abs(cost).max(initial=0.0)))
    program = _Program(region, signs[:, None] * A, signs * (ends - offsets))
    point, inside = region.centre, False
    for penalty in _PENALTIES:
        found = program.solve(cost, penalty * scale)
        if found is None:
            break
        x, tau, multipliers = found
        beta = torch.zeros_like(lines.beta)
        beta[0, entries] = torch.from_numpy(np.maximum(multipliers, 0.0))
        bare = replace(bare, beta=beta)
        point, inside = torch.from_numpy(x).view_as(region.centre), tau <= 0
        if inside or bool(climb.evaluated(e, branches, bare)[0] > 0):
            break
    return bare, region.project(point), inside


class _Program:
    """min <c, x> + M tau over x of a region of one sample and tau >= 0, with A x + tau >= b."""

    def __init__(self, region: Region, A: Array, b: Array) -> None:
        import cvxpy as cp

        from absdomain.domains.program.inputs import constrained

        self.x, self.tau = cp.Variable(A.shape[1]), cp.Variable(nonneg=True)
        self.c, self.M = cp.Parameter(A.shape[1]), cp.Parameter(nonneg=True)
        self.tied = A @ self.x + self.tau >= b
        ties = [self.tied, *constrained(self.x, region.constraints(), 0)]
        self.problem = cp.Problem(cp.Minimize(self.c @ self.x + self.M * self.tau), ties)

    def solve(self, c: Array, M: float) -> tuple[Array, float, Array] | None:
        """(x, tau, the multipliers of A x + tau >= b); None where the solver has no numbers."""
        import cvxpy as cp

        self.c.value, self.M.value = c, M
        try:
            self.problem.solve(solver=cp.HIGHS if self.problem.is_qp() else cp.CLARABEL, warm_start=False)
        except (cp.SolverError, ValueError):
            return None
        x, tau, multipliers = self.x.value, self.tau.value, self.tied.dual_value
        found = all(v is not None and bool(np.isfinite(v).all()) for v in (x, tau, multipliers))
        return (x, float(tau), multipliers) if found else None


def _decided(climb: Climb, branches: Branches, e: backward.Relation) -> tuple[Array, Array, Tensor]:
    """z_j = <A_j, x> + offset_j of the entries that were decided, and their places in the layout."""
    held, start = branches.held[0], 0
    nodes = {node.relaxation.op: node for node in backward.relaxations(e) if node.relaxation is not None}
    rows, offsets, places = [], [], []
    for op in climb.layout.ops:
        for number, shape in enumerate(climb.layout.shapes[op]):
            size = int(np.prod(shape))
            index = held[start : start + size].nonzero().squeeze(1)
            if len(index):
                arg = nodes[op].args[number]
                found, constant = backward.to_input(arg, Rows.units(index, arg.shape, climb.target.region.centre))
                rows.append(found.data[:, 0].flatten(1).numpy())
                offsets.append(constant.expand(len(index), 1)[:, 0].numpy())
                places.append(start + index)
            start += size
    return np.concatenate(rows), np.concatenate(offsets), torch.cat(places)
