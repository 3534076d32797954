"""Piecewise constant operations: signs, steps and rounding."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.kinds import Curvature, Elementwise, Slopes
from absdomain.linear import Bounds

# A slope that is steeper makes a large number of what rounding has left of an argument: level lines are as good.
_STEEP = 1e4


class Steps(Elementwise):
    """A nondecreasing f, constant between its jumps; it declares f, and its first and its last jump inside a box.

    Law: the limits before the jumps lie on one line, and so do those after them. So f(x) - s x, which is monotone from
    one jump to the next, is extreme at an end of the box, or beside the first or the last jump; the next floats stand
    for the limits. At a jump, and as near to one as rounding may come, f counts as all that is between its limits: an
    end of a box that was computed may lie on the wrong side. f has no slope there, so that it is never certified.
    """

    curvature = Curvature(increasing=True)

    @abstractmethod
    def jumps(self, box: Bounds) -> tuple[Tensor, Tensor]:
        """The least jump above the lower end and the greatest below the upper one; outside the box where none is in."""

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """The first and the last jump, and the floats beside them."""
        with torch.no_grad():
            return tuple(p for jump in self.jumps(box) for p in (jump, *_beside(jump)))

    def _gaps(self, slope: Tensor, box: Bounds) -> list[Tensor]:
        """f(p) - slope p at the ends and at the critical points of a box that rounding may have made of this one."""
        wide = _rounded(box)
        points = (wide.lower, wide.upper, *(_within(p, wide) for p in self.critical(slope, wide)))
        return [self(p) - slope * _within(p, box) for p in points]

    def image(self, boxes: tuple[Bounds, ...]) -> Bounds:
        """f at both ends of that box."""
        wide = _rounded(boxes[0])
        return Bounds(self(wide.lower), self(wide.upper))

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """[0, 0] where f is the same all over that box, and [0, inf]."""
        image, level = self.image(boxes), torch.zeros_like(boxes[0].lower)
        return (Bounds(level, level.masked_fill(image.lower != image.upper, torch.inf)),)

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        """Between the ends of f, but level where that is too steep."""
        (box,) = boxes
        return (_rise(box.lower, box.upper, self(box.lower), self(box.upper)),)

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        """Of the convex and of the concave hull over the middle: level, along the jumps, or from a jump to an end."""
        (box,) = boxes
        with torch.no_grad():
            first, last = (_within(jump, box) for jump in self.jumps(box))
            before, after = (tuple(self(_within(_beside(j)[side], box)) for j in (first, last)) for side in (0, 1))
            middle, level = box.centre, torch.zeros_like(first)
            ramp = _rise(first, last, before[0], before[1])
            below = torch.where(middle <= last, ramp, _rise(last, box.upper, before[1], self(box.upper)))
            above = torch.where(middle >= first, ramp, _rise(box.lower, first, self(box.lower), after[0]))
        return (torch.where(middle <= first, level, below),), (torch.where(middle >= last, level, above),)


@dataclass(frozen=True, eq=False)
class Heaviside(Steps):
    """0 for x < 0, 1 for x > 0, and `at_zero` at 0: x > 0 where that is 0, and x >= 0 where it is 1."""

    at_zero: float = 0.0
    lemma = "steps"

    def __post_init__(self) -> None:
        if not 0 <= self.at_zero <= 1:
            raise ValueError(f"Heaviside: at_zero is {self.at_zero}; give a number from 0 to 1, so that it increases")

    def __call__(self, *xs: Tensor) -> Tensor:
        (x,) = xs
        level = (x.sign() + 1) / 2
        return torch.where(x == 0, torch.full_like(x, self.at_zero), torch.where(x == x, level, x))

    def jumps(self, box: Bounds) -> tuple[Tensor, Tensor]:
        zero = torch.zeros_like(box.lower)
        return zero, zero


@dataclass(frozen=True, eq=False)
class Sign(Steps):
    """-1 for x < 0, 0 at 0, and 1 for x > 0."""

    lemma = "steps"

    def __call__(self, *xs: Tensor) -> Tensor:
        return torch.where(xs[0] == xs[0], xs[0].sign(), xs[0])  # NaN stays: it marks what is not known

    def jumps(self, box: Bounds) -> tuple[Tensor, Tensor]:
        zero = torch.zeros_like(box.lower)
        return zero, zero


@dataclass(frozen=True, eq=False)
class Floor(Steps):
    """The largest whole number that is at most x."""

    lemma = "steps"

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].floor()

    def jumps(self, box: Bounds) -> tuple[Tensor, Tensor]:
        return box.lower.floor() + 1, box.upper.ceil() - 1


@dataclass(frozen=True, eq=False)
class Ceil(Floor):
    """The least whole number that is at least x."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].ceil()


@dataclass(frozen=True, eq=False)
class Round(Steps):
    """The whole number that is nearest to x; of two that are as near, the even one."""

    lemma = "steps"

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].round()

    def jumps(self, box: Bounds) -> tuple[Tensor, Tensor]:
        return (box.lower + 0.5).floor() + 0.5, (box.upper - 0.5).ceil() - 0.5


def _beside(x: Tensor) -> tuple[Tensor, Tensor]:
    """The floats before and after x."""
    far = torch.full_like(x, torch.inf)
    return torch.nextafter(x, -far), torch.nextafter(x, far)


def _within(x: Tensor, box: Bounds) -> Tensor:
    """x, or the nearest end of the box."""
    return torch.maximum(torch.minimum(x, box.upper), box.lower)


def _rounded(box: Bounds) -> Bounds:
    """The box with the room that rounding may have taken from it, or added: eps^(3/4) of its ends, or of 1."""
    part = torch.finfo(box.lower.dtype).eps ** 0.75
    return Bounds(box.lower - part * (1 + box.lower.abs()), box.upper + part * (1 + box.upper.abs()))


def _rise(start: Tensor, end: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The slope from (start, low) to (end, high); level where that is no number, or too large a one."""
    run = end - start
    slope = (high - low) / torch.where(run > 0, run, 1.0)
    return torch.where((run > 0) & (slope < _STEEP), slope, 0.0)
