"""How the parts of a question to the search are called by the checker: cases, conjunctions, rows and entries.

Nothing here is believed by the checker: a wrong match gives a certificate that it refuses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from absdomain.branching.climb import arguments
from absdomain.branching.decisions import Layout
from absdomain.branching.target import Target, numbered, with_means
from absdomain.spec import Spec
from absdomain_check.bounds import Bounds as CheckerBounds
from absdomain_check.property import Case, Row

_POINTS = 3
_CLOSE = 1e-6  # of the largest: both evaluate in float64, in different orders


@dataclass(frozen=True, eq=False)
class RowMatch:
    """Conjunctions of the search's groups; the row and the positive factor of each row of its specification."""

    conjunction: list[int]
    row: list[int]
    factor: list[float]
    means: NDArray[np.float64]  # (K', K): the rows with means, as sums of the given ones


def entries(target: Target, layout: Layout, bounds: CheckerBounds) -> NDArray[np.int64] | None:
    """For each place of the layout the checker's entry (of all curves' arguments), or None: they do not correspond.

    They are compared by their values at points of the region.
    """
    x = target.region.sample(_POINTS, torch.Generator().manual_seed(0))[:, 0]
    values = arguments(target.graph, x)
    net = bounds.net
    theirs = net.evaluate(x.flatten(1).double().numpy())
    starts = np.cumsum([0, *(net.nodes[i].size for i in bounds.curves)])
    free, found = list(range(len(bounds.curves))), []
    for op in layout.ops:
        (own,) = values[op] if len(values[op]) == 1 else (None,)
        if own is None:
            return None
        flat, y = own.flatten(1).double().numpy(), op(own).flatten(1).double().numpy()
        curves = [(k, bounds.curves[k]) for k in free]
        place = next((k for k, i in curves if _alike(flat, y, theirs, i, net.nodes[i].args[0])), None)
        if place is None:
            return None
        free.remove(place)
        found.append(starts[place] + np.arange(flat.shape[1]))
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _alike(
    z: NDArray[np.float64], y: NDArray[np.float64], theirs: list[NDArray[np.float64]], curve: int, arg: int
) -> bool:
    return all(
        own.shape == other.shape and bool(np.allclose(own, other, rtol=0, atol=_CLOSE * (1e-300 + np.abs(own).max())))
        for own, other in ((z, theirs[arg]), (y, theirs[curve]))
    )


def rows(spec: Spec, case: Case, outputs: int) -> RowMatch | None:
    """The checker's conjunctions and rows of a specification of one sample; None: they do not correspond."""
    spec = numbered(spec)
    assert spec.groups is not None
    C, d, groups = spec.C[0].double(), spec.d.expand(1, -1)[0].double(), spec.groups.tolist()
    if C.shape[1] != outputs or any(row.x for rows in case.conjunctions for row in rows):
        return None
    conjunction, row, factor = [], [0] * len(groups), [1.0] * len(groups)
    free = set(range(len(case.conjunctions)))
    for group in dict.fromkeys(groups):
        places = [k for k, g in enumerate(groups) if g == group]
        for j in sorted(free):
            found = [_found(C[k], float(d[k]), case.conjunctions[j]) for k in places]
            if len(places) == len(case.conjunctions[j]) and len({r for r, _ in found}) == len(places) and found[0][1]:
                if any(f <= 0 for _, f in found):
                    continue
                for k, (r, f) in zip(places, found, strict=True):
                    row[k], factor[k] = r, f
                conjunction.append(j)
                free.remove(j)
                break
        else:
            return None
    eye = torch.eye(len(groups), dtype=torch.float64).unsqueeze(0)
    means = with_means(Spec(eye, torch.zeros(1, len(groups), dtype=torch.float64), spec.groups)).C[0].numpy()
    return RowMatch(conjunction, row, factor, means)


def _found(C: Tensor, d: float, rows: tuple[Row, ...]) -> tuple[int, float]:
    """The row that this one is a positive multiple of, and the factor; 0: none."""
    for r, row in enumerate(rows):
        own = torch.zeros_like(C)
        for i, a in row.y:
            own[i] = float(a)
        factor = float(C @ own / (own @ own)) if bool(own.any()) else 1.0
        size = float(C.abs().max()) + abs(d) + 1e-300
        if factor > 0 and float((C - factor * own).abs().max()) + abs(d - factor * float(row.c)) <= _CLOSE * size:
            return r, factor
    return -1, 0.0
