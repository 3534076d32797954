"""Elementwise operations that are known by their derivative and by where it is monotone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import reduce
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds.elementwise import Elementwise
from absdomain.kinds.nonlinear import Line, Slopes
from absdomain.kinds.stationary import bracket, least
from absdomain.linear import Bounds

_HALF = 8  # samples on either side of the middle, by which slopes are chosen
# These two choose slopes, which any line may have: no bound depends on their being right.
_NARROW = 1e-6  # of a box's place: below it a difference quotient is rounding, and the derivative is as good
_STEEP = 1e6  # a slope instead of an infinite derivative


class Smooth(Elementwise):
    """f with f' monotone between two breaks of its curvature, the kinks and inflection points.

    It declares f, `derivative`, `critical` and `curvature`; slopes for policies follow, tangents among them.
    """

    @abstractmethod
    def derivative(self, x: Tensor) -> Tensor:
        """f'(x); at a kink any number."""

    def _tangent(self, x: Tensor) -> Tensor:
        """f'(x), made finite where f stands upright: a hint."""
        return self.derivative(x).nan_to_num(nan=torch.nan, posinf=_STEEP, neginf=-_STEEP)

    def _narrow(self, box: Bounds) -> Tensor:
        """Whether the box is so narrow that f(u) - f(l) is mostly rounding."""
        low, high = self.curvature.domain
        scale = torch.minimum(1 + box.centre.abs(), torch.minimum((box.centre - low).abs(), (high - box.centre).abs()))
        return box.width <= _NARROW * scale

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        (box,) = boxes
        narrow = self._narrow(box)
        run = torch.where(narrow, 1.0, box.width)  # masked before dividing: 0 * inf has a NaN gradient
        rise = self(box.upper) - self(box.lower)
        return (self._moved(torch.where(narrow, self._tangent(box.centre), rise / run), box),)

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return self._known(self._bound(slopes[0], boxes[0], 1), boxes[0], -torch.inf)

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return self._known(-self._bound(slopes[0], boxes[0], -1), boxes[0], torch.inf)

    def _bound(self, slope: Tensor, box: Bounds, side: int) -> Tensor:
        """A lower bound of side (f(x) - slope x) over the box; inf where it overflows."""
        # not clamp, as in `_gaps`
        inside = (torch.maximum(torch.minimum(p, box.upper), box.lower) for p in self.critical(slope, box))
        return self._least_of((box.lower, box.upper, *inside), slope, side)

    def _least_of(self, points: Iterable[Tensor], slope: Tensor, side: int) -> Tensor:
        """A lower bound of side (f(p) - slope p) at these points, also where a part of it overflows.

        The largest float then stands for inf: a part is at least that, while the whole may be much less.
        """
        most = torch.finfo(slope.dtype).max
        gaps = [
            F.hardtanh(side * self(p), -torch.inf, most) - F.hardtanh(side * (slope * p), -most, torch.inf)
            for p in points
        ]
        return F.hardtanh(reduce(torch.minimum, gaps), -torch.inf, most)

    def image(self, boxes: tuple[Bounds, ...]) -> Bounds:
        """As of any op; where f is larger than every float, from the largest one to inf, and so below."""
        image, most = super().image(boxes), torch.finfo(boxes[0].lower.dtype).max
        return Bounds(F.hardtanh(image.lower, -torch.inf, most), F.hardtanh(image.upper, -most, torch.inf))

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        """Slopes of the convex and of the concave hull over the middle of the box: the least area between two lines."""
        (box,) = boxes
        convex, concave = self.curvature.convex, self.curvature.concave
        if convex or concave:
            tangent, chord = (self._tangent(box.centre),), self.chord(boxes)
            return (tangent, chord) if convex else (chord, tangent)
        return self._hull(box)

    def _hull(self, box: Bounds) -> tuple[Slopes, Slopes]:
        """Of 17 samples: the highest and the lowest of their chords over the middle, or the tangent there."""
        lay = (-1, *[1] * box.lower.dim())
        t = torch.arange(2 * _HALF + 1, dtype=box.lower.dtype, device=box.lower.device)
        y = self(torch.lerp(box.lower, box.upper, (t / (2 * _HALF)).view(lay)))
        left, middle, right = y[:_HALF].unsqueeze(1), y[_HALF], y[_HALF + 1 :]
        before, after = (_HALF - t[:_HALF]).view(lay).unsqueeze(1), (t[_HALF + 1 :] - _HALF).view(lay)
        span = before + after
        height = ((left * after + right * before) / span).flatten(0, 1)
        rise = ((right - left) / span).flatten(0, 1)
        narrow, tangent = self._narrow(box), self._tangent(box.centre)
        step = torch.where(narrow, 1.0, box.width) / (2 * _HALF)
        found = []
        for side in (-1, 1):
            best, index = (side * height).max(0, keepdim=True)
            inner = narrow | (side * middle >= best.squeeze(0))
            found.append((torch.where(inner, tangent, rise.gather(0, index).squeeze(0) / step),))
        return found[0], found[1]

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """The least and the greatest f' at the ends of the box and on both sides of the breaks in it.

        Nothing is known of f' over a box that leaves the domain, however alike its formula is at the ends.
        """
        (box,) = boxes
        steep = self.derivative(self._sides(box))
        return (Bounds(self._known(steep.amin(0), box, -torch.inf), self._known(steep.amax(0), box, torch.inf)),)

    def lines(self, below: Slopes, above: Slopes, boxes: tuple[Bounds, ...]) -> tuple[Line, Line]:
        """As of any op, but that a slope which is moved to an end of the range moves on with the box."""
        (box,) = boxes
        low = (self._moved(below[0], box),)
        high = low if below[0] is above[0] else (self._moved(above[0], box),)
        return Line(low, self.inf(low, boxes)), Line(high, self.sup(high, boxes))

    def _moved(self, slope: Tensor, box: Bounds) -> Tensor:
        """The slope between the least and the greatest f' over the box, as `clamped`, with its gradient to the box."""
        sides = self._sides(box)
        with torch.no_grad():
            steep = self.derivative(sides)
            (least, low), (most, high) = steep.min(0), steep.max(0)
            flat, steeper = (slope < least) & least.isfinite(), (slope > most) & most.isfinite()
            outside, index = flat | steeper, torch.where(flat, low, high).unsqueeze(0)
        at = sides.gather(0, index).squeeze(0)
        at = torch.where(outside, at, at.detach())  # or 0 times an infinite f'' would reach the box where s stays
        return torch.where(outside, self.derivative(at), slope)

    def _sides(self, box: Bounds) -> Tensor:
        """The ends, and the breaks between them from both sides: f' is extreme there; (points, B, *shape)."""
        ends = [box.lower, box.upper]
        for b in self.curvature.breaks:
            place = torch.full_like(box.lower, b)
            near = (torch.nextafter(place, torch.full_like(place, way)) for way in (-torch.inf, torch.inf))
            ends += [torch.maximum(torch.minimum(p, box.upper), box.lower) for p in near]
        return torch.stack(ends)

    def _marks(self, box: Bounds) -> list[Tensor]:
        """The ends and the breaks between them; a break outside the box is its nearest end."""
        ends = [torch.full_like(box.lower, b) for b in self.curvature.breaks]
        return [box.lower, *(torch.maximum(torch.minimum(b, box.upper), box.lower) for b in ends), box.upper]


class Bracketed(Smooth):
    """A smooth f whose f'(x) = s has no closed form; it declares f, `derivative` and `curvature`, bends among it.

    On a piece where f is convex, f - s x is greatest at an end, and least at a stationary point that is bracketed and
    closed by tangents (kinds.stationary); where f is concave, the other way round.
    """

    def _pieces(self, box: Bounds, bends: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor] | None:
        """The parts of the box where f bends so: their ends, and how, (pieces, B, *shape) each; None: nowhere."""
        ends = zip(pairwise(self._marks(box)), self.curvature.bends, strict=True)
        parts = [(low, high, bend) for (low, high), bend in ends if bend in bends]
        if not parts:
            return None
        lows, highs, ways = zip(*parts, strict=True)
        bend = torch.tensor(ways, dtype=box.lower.dtype, device=box.lower.device)
        return torch.stack(lows), torch.stack(highs), bend.view(-1, *[1] * box.lower.dim())

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        pieces = self._pieces(box, (-1, 1))
        if pieces is None:
            return tuple(self._marks(box))
        low, high, bend = pieces
        ends = bracket(self.derivative, slope, low, high, bend)
        return (*self._marks(box), *(x for t in ends for x in torch.lerp(low, high, t)))

    def _bound(self, slope: Tensor, box: Bounds, side: int) -> Tensor:
        gaps = [self._least_of(self._marks(box), slope, side)]
        pieces = self._pieces(box, (side,))
        if pieces is not None:
            gaps += _finite(least(self, self.derivative, slope, *pieces[:2], side), slope)
        return reduce(torch.minimum, gaps)


def _finite(bound: Tensor, slope: Tensor) -> Tensor:
    """A lower bound of f(x) - slope x that is not inf, which no number is: where it overflows it is the largest float.

    So at slope 0; at others slope x may be what overflows, and nothing is known.
    """
    known = torch.where(slope == 0, torch.full_like(bound, torch.finfo(bound.dtype).max), -torch.inf)
    return torch.where(bound == torch.inf, known, bound)
