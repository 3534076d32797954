"""Piecewise-linear activations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Curvature, Line, PiecewiseLinear, Slopes
from absdomain.kinds.live import live
from absdomain.linear import Bounds


@dataclass(frozen=True, eq=False)
class ReLU(PiecewiseLinear):
    """max(x, 0)."""

    lemma = "relu"
    kinks = (0.0,)

    def __post_init__(self) -> None:
        _ = self.curvature  # found and kept here: a compiled step cannot take the lock of a cached property

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].relu()

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """0: a value is kept, or is 0."""
        return torch.zeros_like(boxes[0].lower)

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """[0, 0] for a neuron that is never active, [1, 1] for one that always is, and [0, 1]."""
        (box,) = boxes
        active = (box.lower >= 0).to(box.lower)
        return (Bounds(active, torch.maximum(active, (box.upper > 0).to(active))),)

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        """u+ / (u+ - l-), and exactly 1 for an active neuron; widths below 1e-8 count as 1e-8 (finite derivative)."""
        (box,) = boxes
        below, above, active = (-box.lower).relu(), box.upper.relu(), (box.lower >= 0).to(box.lower)
        width = (below + above - 1e-8).relu() + 1e-8
        return (torch.addcmul(active, 1 - active, above / width),)

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        (box,) = boxes
        return ((box.upper > -box.lower).to(box.lower),), self.chord(boxes)

    def lines(self, below: Slopes, above: Slopes, boxes: tuple[Bounds, ...]) -> tuple[Line, Line]:
        """Slopes outside [f'(l), f'(u)] are moved to its nearest end: never looser for a convex f.

        The lower line then passes through the origin, and a stable neuron's lines are the neuron itself. Written with
        relu and products, since the derivatives of clamp and maximum are slow on CPU.
        """
        (box,) = boxes
        active = (box.lower >= 0).to(box.lower)
        unstable = (box.upper > 0).to(box.lower) - active
        s = torch.addcmul(active, unstable, F.hardtanh(above[0], 0.0, 1.0))
        shared = below[0] is above[0]
        a = s if shared else torch.addcmul(active, unstable, F.hardtanh(below[0], 0.0, 1.0))
        at_lower = s * (-box.lower).relu()  # f(l) - s l, and below f(u) - s u: the intercept is the larger
        intercept = at_lower + ((1 - s) * box.upper.relu() - at_lower).relu()
        return Line((a,), None), Line((s,), intercept)


@dataclass(frozen=True, eq=False)
class LeakyReLU(PiecewiseLinear):
    """max(x, 0) + slope min(x, 0)."""

    slope: float = 0.01
    lemma = "leaky_relu"
    kinks = (0.0,)

    @cached_property
    def _slopes(self) -> tuple[float, ...]:
        return self.slope, 1.0

    def __call__(self, *xs: Tensor) -> Tensor:
        return F.leaky_relu(xs[0], self.slope)

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        (box,) = boxes
        chord = self.chord(boxes)
        active = (box.upper > -box.lower).to(box.lower)
        tangent = (active + self.slope * (1 - active),)  # numbers in `where` would be float32
        return (tangent, chord) if self.slope <= 1 else (chord, tangent)


@dataclass(frozen=True, eq=False)
class PReLU(PiecewiseLinear):
    """max(x, 0) + a min(x, 0) (He et al. 2015); a broadcasts to x, one a channel say, and may be of any sign."""

    slope: Tensor = live(required=True)
    lemma = "prelu"
    kinks = (0.0,)
    curvature = Curvature((0.0,), (0, 0))

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].relu() - self.slope * (-xs[0]).relu()

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """1 where x >= 0 all over the box, a where x <= 0, and both."""
        (box,) = boxes
        a = self.slope.expand_as(box.lower)
        left = torch.where(box.lower >= 0, torch.ones_like(a), a)
        right = torch.where((box.upper > 0) | (box.lower >= 0), torch.ones_like(a), a)
        return (Bounds(torch.minimum(left, right), torch.maximum(left, right)),)

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        """Of a convex one, a <= 1, the tangent below and the chord above; of a concave one the other way round."""
        (box,) = boxes
        (chord,) = self.chord(boxes)
        active = (box.upper > -box.lower).to(box.lower)
        tangent = active + self.slope * (1 - active)
        convex = (self.slope <= 1).expand_as(chord)
        return (torch.where(convex, tangent, chord),), (torch.where(convex, chord, tangent),)


@dataclass(frozen=True, eq=False)
class Abs(PiecewiseLinear):
    """max(x, -x)."""

    lemma = "abs"
    kinks = (0.0,)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].abs()

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """0: a sign is changed."""
        return torch.zeros_like(boxes[0].lower)

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        (box,) = boxes
        return (2 * (box.upper > -box.lower).to(box.lower) - 1,), self.chord(boxes)


@dataclass(frozen=True, eq=False)
class Clamp(PiecewiseLinear):
    """min(max(x, low), high); either end may be infinite."""

    low: float = -torch.inf
    high: float = torch.inf
    lemma = "clamp"

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"{type(self).__name__}: low is {self.low} and high is {self.high}; low < high is needed")

    @property
    def kinks(self) -> tuple[float, ...]:
        """The finite ends."""
        return tuple(end for end in (self.low, self.high) if abs(end) < torch.inf)

    @cached_property
    def _slopes(self) -> tuple[float, ...]:
        return (*(0.0,) * (self.low > -torch.inf), 1.0, *(0.0,) * (self.high < torch.inf))

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].clamp(self.low, self.high)

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        """Below, the chord from the lower kink or 0; above, the chord to the upper kink or 0: what the middle needs."""
        (box,) = boxes
        (below,) = self.chord((Bounds(box.lower.clamp(min=self.low), box.upper),))
        (above,) = self.chord((Bounds(box.lower, box.upper.clamp(max=self.high)),))
        middle = box.centre
        return (below * (middle >= self.low),), (above * (middle <= self.high),)


@dataclass(frozen=True, eq=False)
class HardTanh(Clamp):
    """min(max(x, -1), 1), or between other ends."""

    low: float = -1.0
    high: float = 1.0
