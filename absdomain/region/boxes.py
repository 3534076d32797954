"""Regions that are their own interval hull."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from absdomain.errors import check_range, check_type
from absdomain.kinds import Affine
from absdomain.linear import Bounds, Rows
from absdomain.region.base import Draws, Region, check_ball, inhabited, uniform
from absdomain.region.constraints import Constraints
from absdomain.values import assembled


class BoxRegion(Region):
    """A region that is its own interval hull."""

    any_columns = True

    def minimum(self, c: Rows) -> Tensor:
        return c.minimum(self.box())

    def argmin(self, c: Tensor) -> Tensor:
        box = self.box()
        return torch.lerp(box.lower, box.upper, (1 - c.sign()) / 2)

    def sample(self, n: int, generator: Draws = None) -> Tensor:
        box = self.box()
        u = uniform(n, box.lower, generator)
        u[: n // 2] = u[: n // 2].round()  # corners
        return self.project(torch.lerp(box.lower, box.upper, u))

    def project(self, x: Tensor) -> Tensor:
        box = self.box()
        return torch.clamp(x, box.lower, box.upper)

    def constraints(self) -> Constraints:
        return Constraints(box=self.box())

    def image(self, op: Affine) -> Region | Bounds:
        ends = op.image(self.box())
        return assembled(Interval, lower=ends.lower, upper=ends.upper) if op.diagonal else ends


@dataclass(frozen=True, eq=False, repr=False)
class Interval(BoxRegion):
    """{ x : lower <= x <= upper }, both (B, *shape). An empty interval or a NaN is an error, never a proof."""

    lower: Tensor
    upper: Tensor

    def __post_init__(self) -> None:
        for end in (self.lower, self.upper):
            check_type("Interval", end, Tensor, "give both ends as batches (B, *shape)")
        if self.lower.shape != self.upper.shape:
            raise ValueError(f"Interval: lower has shape {tuple(self.lower.shape)}, upper {tuple(self.upper.shape)}")
        inhabited(self)

    @property
    def centre(self) -> Tensor:
        """(lower + upper) / 2."""
        return self.box().centre

    def box(self) -> Bounds:
        return Bounds(self.lower, self.upper)


@dataclass(frozen=True, eq=False, repr=False)
class Linf(BoxRegion):
    """{ x : |x - centre| <= radius, clip[0] <= x <= clip[1] }.

    The radius is a number, or a tensor or array that broadcasts to centre.
    Clip in pixel space and normalise inside the network. A ball that the clip leaves empty is an error.
    """

    centre: Tensor  # (B, *shape)
    radius: Tensor | float
    clip: tuple[float, float] | None = None
    _box: Bounds = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_ball(self)
        check_range(type(self).__name__, self.clip)
        self._derive()
        inhabited(self)

    def _derive(self) -> None:
        """Its box, for which the check here and every bound ask."""
        lower, upper = self.centre - self.radius, self.centre + self.radius
        if self.clip is not None:
            lower, upper = lower.clamp(min=self.clip[0]), upper.clamp(max=self.clip[1])
        object.__setattr__(self, "_box", Bounds(lower, upper))

    def box(self) -> Bounds:
        return self._box

    def project(self, x: Tensor) -> Tensor:
        """Into the box of the floats of the ball: an end of the computed box may be rounded out of it."""
        box = self._box
        least, most = self.centre - self.radius, self.centre + self.radius
        low = torch.where(_error(self.centre, -self.radius, least) > 0, least.nextafter(self.centre), least)
        high = torch.where(_error(self.centre, self.radius, most) < 0, most.nextafter(self.centre), most)
        return torch.clamp(x, torch.maximum(low, box.lower), torch.minimum(high, box.upper))


def _error(a: Tensor, b: Tensor | float, total: Tensor) -> Tensor:
    """a + b - total, exactly, where total is the rounded sum (Knuth 1998, section 4.2.2, theorem B)."""
    second = total - a
    return (a - (total - second)) + (b - second)
