"""{ v : lower <= v <= upper, A v = b, C v <= d, v_j in {0, 1} }: what LP and Exact minimise on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from absdomain.domains.program.matrices import Array, Columns, widened

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Block = tuple["csr_array", Array]  # rows and their ends


@dataclass(frozen=True, eq=False)
class Expression:
    """M v + k, one row per flat entry; variables that came later have no column in M."""

    M: csr_array
    k: Array


@dataclass
class Program:
    """{ v : lower <= v <= upper, equations, inequalities, v_j 0 or 1 for j in `integer` }; the inputs come first."""

    lower: list[Array] = field(default_factory=list)
    upper: list[Array] = field(default_factory=list)
    integer: list[Columns] = field(default_factory=list)
    equations: list[Block] = field(default_factory=list)
    inequalities: list[Block] = field(default_factory=list)
    width: int = 0
    defined: bool = True  # no weight is NaN or infinite: else the network has no values to bound

    def variables(self, lower: Array, upper: Array) -> Columns:
        """New variables between these ends, of which an unknown one is open; their columns."""
        self.lower.append(np.where(lower < np.inf, lower, -np.inf))  # neither NaN nor overflow is an end
        self.upper.append(np.where(upper > -np.inf, upper, np.inf))
        self.width += len(lower)
        return np.arange(self.width - len(lower), self.width)

    def binaries(self, lower: Array, upper: Array) -> Columns:
        """New variables with values 0 or 1."""
        self.integer.append(self.variables(lower, upper))
        return self.integer[-1]

    def equal(self, rows: csr_array, ends: Array) -> None:
        """rows v = ends, for rows whose numbers are all known: to leave one out is sound."""
        known = _known(rows, ends)
        self.equations.append((rows[known], ends[known]))

    def at_most(self, rows: csr_array, ends: Array) -> None:
        """rows v <= ends, for rows whose numbers are all known: to leave one out is sound."""
        known = _known(rows, ends)
        self.inequalities.append((rows[known], ends[known]))

    def stacked(self, blocks: list[Block]) -> Block:
        """One matrix over all variables, and the ends."""
        from scipy import sparse

        if not blocks:
            return sparse.csr_array((0, self.width)), np.zeros(0)
        rows = [widened(rows, self.width) for rows, _ in blocks]
        return sparse.vstack(rows, "csr"), np.concatenate([ends for _, ends in blocks])


def _known(rows: csr_array, ends: Array) -> Columns:
    return np.flatnonzero(np.isfinite(ends) & np.isfinite(abs(rows).sum(1)).ravel())
