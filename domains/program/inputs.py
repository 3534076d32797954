"""A region's constraints as those of a cvxpy problem."""

from __future__ import annotations

from typing import Any

from absdomain.domains.program.matrices import flat
from absdomain.region import Constraints


def constrained(x: Any, region: Constraints, sample: int) -> list[Any]:
    """x, a flat cvxpy expression, is in one sample's region."""
    import cvxpy as cp

    found = []
    if region.box is not None:
        found += [x >= flat(region.box.lower, sample), x <= flat(region.box.upper, sample)]
    for ball in region.ellipsoids:
        part = x if ball.places is None else x[ball.places.cpu().numpy()]
        d, radius = cp.Variable(part.size), flat(ball.radius, sample)
        found += [part == flat(ball.centre, sample) + cp.multiply(radius, d)]
        found += [cp.norm(d, ball.order) <= 1]
    if region.A is not None and region.b is not None:
        b = flat(region.b, sample)
        found += [flat(region.A, sample).reshape(len(b), -1) @ x <= b]
    return found
