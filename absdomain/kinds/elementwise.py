"""Nonlinear operations that act on every entry alone."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property, reduce
from itertools import combinations, pairwise

import torch
from torch import Tensor

from absdomain.kinds.curvature import Curvature
from absdomain.kinds.nonlinear import Line, Nonlinear, Piece, Slopes
from absdomain.kinds.op import Shape
from absdomain.linear import Bounds

# How an op whose derivative is not known is asked for its steepest slope.
_APART = 2.0**-20  # of a box's place: differences over less are mostly rounding
_SAMPLES = 16
_DOUBLINGS = 64


class Elementwise(Nonlinear):
    """f applied to every entry; it declares f and `critical`, from which an exact band follows.

    Law: over a box that leaves the domain the band is (-inf, inf).
    """

    def defined(self, box: Bounds) -> Tensor | None:
        """Where f is finite over the whole box, boolean (B, *shape); None: everywhere."""
        low, high = self.curvature.domain
        if (low, high) == (-torch.inf, torch.inf):
            return None
        ends = self(box.lower).isfinite() & self(box.upper).isfinite()
        return (box.lower >= low) & (box.upper <= high) & ends

    def _known(self, bound: Tensor, box: Bounds, otherwise: float) -> Tensor:
        """The bound, and this number where f is not defined over the box."""
        defined = self.defined(box)
        return bound if defined is None else torch.where(defined, bound, otherwise)

    @abstractmethod
    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """Points that include every kink and stationary point of f(x) - slope x inside the box.

        A point outside the box is moved to its nearest end, so that an op need not say which points lie inside.
        """

    def _gaps(self, slope: Tensor, box: Bounds) -> list[Tensor]:
        """f(p) - slope p at the ends and at the critical points."""
        # not clamp, which passes no gradient to a box of width 0
        inside = (torch.maximum(torch.minimum(p, box.upper), box.lower) for p in self.critical(slope, box))
        return [self(p) - slope * p for p in (box.lower, box.upper, *inside)]

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return self._known(reduce(torch.minimum, self._gaps(slopes[0], boxes[0])), boxes[0], -torch.inf)

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return self._known(reduce(torch.maximum, self._gaps(slopes[0], boxes[0])), boxes[0], torch.inf)

    def image(self, boxes: tuple[Bounds, ...]) -> Bounds:
        if not self.curvature.increasing:
            return super().image(boxes)
        (box,) = boxes
        return Bounds(self._known(self(box.lower), box, -torch.inf), self._known(self(box.upper), box, torch.inf))

    def shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """[-s, s] for an s > 0 with f - s x falling and f + s x rising from each critical point to the next.

        Between two neighbours of those that `critical` declares both are monotone. s is looked for by doubling, from
        the steepest difference of samples on; inf where none is found. An op that knows f' overrides this.
        """
        with torch.no_grad():
            (box,) = boxes
            least = torch.finfo(box.lower.dtype).tiny
            # wider, or rounding would hide what f does
            room = _APART * torch.maximum(box.lower.abs(), box.upper.abs()) + least**0.5
            wide = Bounds(box.lower - room, box.upper + room)
            x = torch.stack([torch.lerp(wide.lower, wide.upper, k / _SAMPLES) for k in range(_SAMPLES + 1)])
            steepest = (self(x).diff(dim=0).abs() / x.diff(dim=0)).amax(0)
            steep = 2 * steepest.clamp(min=least)
            for _ in range(_DOUBLINGS):
                found = self._falls(steep, wide) & self._falls(-steep, wide)
                if bool((found | ~steepest.isfinite()).all()):
                    break
                steep = torch.where(found, steep, 2 * steep)
            steep = torch.where(found, steep, torch.inf)
            return (Bounds(-steep, steep),)

    def _falls(self, slope: Tensor, box: Bounds) -> Tensor:
        """Whether f(x) - slope x falls throughout the box, or rises for a slope < 0."""
        ends = [box.lower, *self.critical(slope, box), box.upper]
        x = torch.stack([torch.maximum(torch.minimum(p, box.upper), box.lower) for p in ends]).sort(dim=0).values
        y, sx = self(x), slope * x
        size = y.abs() + sx.abs()
        rounding = 16 * torch.finfo(x.dtype).eps * (size[1:] + size[:-1])  # of these two: far off it may be anything
        return ((y - sx).diff(dim=0) * slope.sign() <= rounding).all(0)  # a NaN is not

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        (box,) = boxes
        width = box.upper - box.lower
        wide = width > 0
        run = torch.where(wide, width, torch.ones_like(width))  # masked before dividing: 0 * inf has a NaN gradient
        return (torch.where(wide, (self(box.upper) - self(box.lower)) / run, torch.zeros_like(width)),)


class PiecewiseLinear(Elementwise):
    """f affine between its kinks; it declares f and `kinks`, from which everything else follows."""

    @property
    @abstractmethod
    def kinks(self) -> tuple[float, ...]:
        """Where the slope changes, in increasing order."""

    @cached_property
    def curvature(self) -> Curvature:
        """Every piece is affine; where the slope jumps, and whether one is negative, f itself says."""
        slopes = self._slopes
        jumps = tuple((b > a) - (b < a) for a, b in pairwise(slopes))
        return Curvature(self.kinks, (0,) * len(slopes), jumps, increasing=min(slopes) >= 0)

    def defined(self, box: Bounds) -> Tensor | None:
        return None

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return tuple(torch.full_like(slope, kink) for kink in self.kinks)

    @cached_property
    def _slopes(self) -> tuple[float, ...]:
        """The slope of every piece, from left to right."""
        first, last = (self.kinks[0], self.kinks[-1]) if self.kinks else (0.0, 0.0)
        ends = first - max(1.0, abs(first)), last + max(1.0, abs(last))
        x = torch.tensor((ends[0], *self.kinks, ends[1]), dtype=torch.float64)
        return tuple((self(x).diff() / x.diff()).tolist())

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """The least and the greatest slope of the pieces of which the box has more than an end; a point has one."""
        (box,) = boxes
        least, most = torch.full_like(box.lower, torch.inf), torch.full_like(box.lower, -torch.inf)
        for slope, (start, end) in zip(self._slopes, pairwise((-torch.inf, *self.kinks, torch.inf)), strict=True):
            met = (box.lower < end) & ((box.upper > start) | (box.lower >= start))
            least = torch.where(met, least.clamp(max=slope), least)
            most = torch.where(met, most.clamp(min=slope), most)
        return (Bounds(least, most),)

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        """In a box as narrow as rounding a difference quotient may be anything: the slopes of the pieces bound it."""
        return self.clamped(super().chord(boxes), boxes)

    def _corners(self, box: Bounds) -> list[Tensor]:
        """The ends and the kinks between them, in order; a kink outside the box is its nearest end."""
        kinks = (torch.full_like(box.lower, kink) for kink in self.kinks)
        return [box.lower, *(torch.maximum(torch.minimum(k, box.upper), box.lower) for k in kinks), box.upper]

    def facets(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, ...]:
        """The slopes of all segments between two corners of f: their bands are the convex hull of f over the box."""
        return tuple(self.chord((Bounds(p, q),)) for p, q in combinations(self._corners(boxes[0]), 2))

    def pieces(self, boxes: tuple[Bounds, ...]) -> tuple[Piece, ...] | None:
        found = []
        for p, q in pairwise(self._corners(boxes[0])):
            slopes = self.chord((Bounds(p, q),))
            found.append(Piece(Line(slopes, self(p) - slopes[0] * p), (Bounds(p, q),)))
        return tuple(found)
