"""The end of a branch in which every kink is decided: a linear program gives the best multipliers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from absdomain.branching.climb import Branches, Climb, Lines
from absdomain.linear import Rows
from absdomain.relations import backward

# For leaving the branch, in units of the row's largest coefficient: a branch that is empty needs a large one.
_PENALTIES = (1e2, 1e4, 1e6, 1e8)


def solved(climb: Climb, branches: Branches, lines: Lines) -> tuple[Lines, Tensor, bool]:
    """Multipliers of the linear program over a branch (of one), where it is least, and whether that is in the branch.

    min <c, f(x)> + M tau over x of the box and tau >= 0, with s_j (z_j(x) - t_j) + tau >= 0 for what was decided, M
    growing until tau is 0 or the bound positive. The multipliers are HiGHS', and are believed as little as any: the
    bound is evaluated with them anew.
    """
    from scipy.optimize import linprog

    bare = replace(lines, beta=torch.zeros_like(lines.beta))
    e = climb.element(branches)
    _, row = climb.evaluated(e, branches, bare)
    A, offsets, entries = _decided(climb, branches, e)
    signs = branches.held[0, entries].numpy()
    ends = torch.where(branches.held > 0, branches.lower, branches.upper)[0, entries].numpy()
    cost = row.data[0, 0].flatten().detach().numpy()
    box = branches.region.box()
    low, high = (t[0].flatten().numpy() for t in (box.lower, box.upper))
    scale = max(1e-6, float(np.abs(cost).max(initial=0.0)))
    tied = np.concatenate([-signs[:, None] * A, -np.ones((len(A), 1))], 1)
    limits = [*zip(low.tolist(), high.tolist(), strict=True), (0.0, None)]
    point, inside = branches.region.centre, False
    for penalty in _PENALTIES:
        found = linprog(np.append(cost, penalty * scale), tied, signs * (offsets - ends), bounds=limits, method="highs")
        if found.x is None:
            break
        beta = torch.zeros_like(lines.beta)
        beta[0, entries] = torch.from_numpy(np.maximum(-found.ineqlin.marginals, 0.0))
        bare = replace(bare, beta=beta)
        point = torch.from_numpy(found.x[:-1]).view(1, *branches.region.centre.shape[1:])
        inside = bool(found.x[-1] <= 0)
        if inside or bool(climb.evaluated(e, branches, bare)[0] > 0):
            break
    return bare, branches.region.project(point), inside


def _decided(climb: Climb, branches: Branches, e: backward.Relation) -> tuple[np.ndarray, np.ndarray, Tensor]:
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
                found, constant = backward.to_input(arg, Rows.units(index, arg.shape, branches.region.centre))
                rows.append(found.data[:, 0].flatten(1).numpy())
                offsets.append(constant.expand(len(index), 1)[:, 0].numpy())
                places.append(start + index)
            start += size
    return np.concatenate(rows), np.concatenate(offsets), torch.cat(places)
