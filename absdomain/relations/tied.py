"""Slopes that a search moves together, as the op's `ties` say: along the edge between two planes, and inside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from absdomain.kinds import Slopes
from absdomain.linear import Bounds
from absdomain.relations.backward import Relaxation

_INSIDE = 1e-4  # of the range


def tied(relaxation: Relaxation) -> bool:
    """Whether the op has ties."""
    return relaxation.op.ties is not None


def along(relaxation: Relaxation, gradients: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradients of the slopes below and above, in their units: those of tied ones along their edge.

    A slope whose range is a point stays where it is: what its gradient says moves nothing.
    """
    ties = relaxation.op.ties
    if ties is None:
        return tuple(gradients)
    moving = [r.width > 0 for r in _ranges(relaxation)]
    free = [g * m for g, m in zip(gradients, 2 * moving, strict=True)]
    return ties.along(tuple(free[: len(moving)]), tuple(free[len(moving) :]))


def inside(relaxation: Relaxation, slopes: Slopes, units: Slopes) -> None:
    """Tied slopes, in these units, are moved a little inside their ranges; in place.

    Between two planes the intercept is linear. At either plane a third end of f ties with the two that it depends on,
    and the gradient would be a mean with that of the end which counts outside alone.
    """
    if not tied(relaxation):
        return
    with torch.no_grad():
        for slope, r, unit in zip(slopes, 2 * _ranges(relaxation), units, strict=True):
            slope.clamp_(*(torch.lerp(r.lower, r.upper, share) / unit for share in (_INSIDE, 1 - _INSIDE)))


def _ranges(relaxation: Relaxation) -> tuple[Bounds, ...]:
    ranges = relaxation.op.slope_range(relaxation.boxes)
    if ranges is None:
        raise ValueError(f"{relaxation.op}: `ties` move slopes within `slope_range`, which is None; give both")
    return ranges
