"""Points of a region at which a property does not hold, looked for by gradients."""

from __future__ import annotations

from math import cos, pi

import torch
from torch import Tensor

from absdomain.attack import steepest
from absdomain.branching.target import Target
from absdomain.region import Region


def descended(target: Target, region: Region, steps: int, restarts: int, seed: int = 0) -> Tensor:
    """Points of a one-sample region at which the worst group of rows is small, (R, *shape), the least first.

    Projected gradient descent on min over groups of max over rows of C f(x) + d, all restarts in one batch; a restart
    for each group descends on that group alone, for where the least group is, may be decided by the others.
    """
    generator = torch.Generator().manual_seed(seed)
    own = torch.arange(restarts) % (target.count + 1)  # the group of each restart; the last: the worst of all
    many = region.select(torch.zeros(restarts, dtype=torch.long))
    points = many.sample(1, generator)[0]
    points[0] = region.project(region.centre)[0]
    best, least = points.clone(), torch.full((restarts,), torch.inf, dtype=points.dtype)
    for step in range(steps + 1):
        x = points.detach().requires_grad_()
        with torch.enable_grad():
            groups = target.best(target.rows(x))
            goal = torch.cat([groups, groups.amin(1, keepdim=True)], 1).gather(1, own.unsqueeze(1)).squeeze(1)
            (gradient,) = torch.autograd.grad(goal.sum(), x)
        worst = groups.detach().amin(1)
        better = worst < least
        least = torch.where(better, worst, least)
        best[better] = points[better]
        if bool((least <= 0).any()):
            break
        pace = (1 + cos(pi * step / max(1, steps))) / 2
        points = many.project(points - pace * steepest(many, gradient))
    return best[least.argsort()]
