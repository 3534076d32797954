"""Nonlinear operations: the band of f(x) - <s, x> over a box, for any slopes."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple, final

import torch
from torch import Tensor

from absdomain.kinds.curvature import Curvature
from absdomain.kinds.linearised import Linearised, entrywise
from absdomain.kinds.op import Op
from absdomain.kinds.ties import Ties
from absdomain.linear import Bounds, Rows

Slot = tuple["Nonlinear", int]  # where an activation is read: by which op, as which of its arguments
Slopes = tuple[Tensor, ...]  # one tensor per argument, each of that argument's shape (B, *shape)


class Line(NamedTuple):
    """{ (x, y) : y = <slopes, x> + intercept }: one side of a relaxation."""

    slopes: Slopes
    intercept: Tensor | None  # (B, *output shape); None where the op itself knows that it is exactly zero


class Piece(NamedTuple):
    """{ (x, y) : y = <slopes, x> + intercept, x in domain }: one affine piece of a piecewise-linear op."""

    line: Line
    domain: tuple[Bounds, ...]  # one box per argument


class Nonlinear(Op):
    """f with `inf` and `sup` of f(x) - <s, x> over a box, for any slopes s: an enclosure, so that every slope is sound.

    Law: for x in the boxes, inf(s, boxes) <= f(x) - linearised(s)(x) <= sup(s, boxes).
    """

    @property
    def curvature(self) -> Curvature:
        """Where f of one variable is convex, concave, increasing and defined; nothing is said here."""
        return Curvature()

    @property
    def ties(self) -> Ties | None:
        """Which slopes a search moves together, within `slope_range`; None: each for itself."""
        return None

    def linearised(self, slopes: Slopes) -> Linearised:
        """x -> <s, x>, of the output's shape; here entry by entry, for arguments that all have that shape."""
        return entrywise(slopes)

    @abstractmethod
    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """A lower bound of inf over the boxes of f(x) - <s, x>, (B, *output shape)."""

    @abstractmethod
    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """An upper bound of sup over the boxes of f(x) - <s, x>, (B, *output shape)."""

    @final
    def band(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Bounds:
        """[inf, sup] of f(x) - <s, x> over the boxes."""
        return Bounds(self.inf(slopes, boxes), self.sup(slopes, boxes))

    def image(self, boxes: tuple[Bounds, ...]) -> Bounds:
        """The band at slope 0: an interval that holds f.

        Over an infinite box an end is told only where f comes to rest: where from the square root of the largest float
        to a quarter of it the end moves by rounding alone, as of a sigmoid or 1 / x; that of a logarithm goes on. It is
        moved on by as much again.
        """
        level = tuple(torch.zeros_like(b.lower) for b in boxes)
        if torch.compiler.is_compiling() or not any(bool((b.width == torch.inf).any()) for b in boxes):
            return self.band(level, boxes)
        most = torch.finfo(boxes[0].lower.dtype).max
        near, far = (
            self.band(level, tuple(Bounds(b.lower.clamp(-end, end), b.upper.clamp(-end, end)) for b in boxes))
            for end in (most**0.5, most / 4)  # widths are floats
        )
        eps = torch.finfo(far.lower.dtype).eps
        lower, upper = far.lower - (near.lower - far.lower).abs(), far.upper + (far.upper - near.upper).abs()
        rests = (far.lower - lower <= eps * (1 + far.lower.abs()), upper - far.upper <= eps * (1 + far.upper.abs()))
        return Bounds(lower.masked_fill(~rests[0], -torch.inf), upper.masked_fill(~rests[1], torch.inf))

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """Bounds of f's partial derivatives over the boxes, one per argument, (B, *shape); None: not known.

        Law: f(x) - f(x') = <s, x - x'> for x and x' in the boxes and some s in the ranges. Without it nothing is
        known of what rounding of the arguments does to f, so that nothing behind this op is ever certified.
        """
        return None

    @final
    def steepness(self, boxes: tuple[Bounds, ...]) -> Slopes:
        """The largest absolute partial derivatives over the boxes, inf where they are not known."""
        ranges = self.slope_range(boxes)
        if ranges is None:
            return tuple(torch.full_like(b.lower, torch.inf) for b in boxes)
        sizes = (torch.maximum(r.lower.abs(), r.upper.abs()) for r in ranges)
        return tuple(size.masked_fill(size.isnan(), torch.inf) for size in sizes)

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """How far f(x), as `__call__` computes it, may be from f(x) at floats x of the boxes, in units of the roundoff.

        (B, *output shape). Here 8 (|f| + sum_i |df / dx_i| |x_i|): what an f loses that is computed as if from
        arguments that are off by a few units in the last place. A formula whose terms cancel loses more, and says so.
        """
        image, steep = self.image(boxes), self.steepness(boxes)
        sizes = tuple(torch.maximum(b.lower.abs(), b.upper.abs()) for b in boxes)
        return 8 * (torch.maximum(image.lower.abs(), image.upper.abs()) + self.linearised(steep)(*sizes))

    @final
    def settled(self, boxes: tuple[Bounds, ...]) -> tuple[Tensor, ...] | None:
        """Per argument, where f is affine over its box (boolean, (B, *shape)): its slope is one; None: not known.

        Law: there, the band of the chord is as narrow as over a point, so that tighter boxes could not improve the
        relaxation: of width 0, but for an op that gives several values.
        """
        ranges = self.slope_range(boxes)
        return None if ranges is None else tuple(r.width == 0 for r in ranges)  # not of infinite slopes

    @abstractmethod
    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        """Slopes through the ends of f; a hint for slope policies, untrusted."""

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        """Slopes (below, above) of lines with a small area between them; a hint for slope policies, untrusted."""
        chord = self.chord(boxes)
        return chord, chord

    def facets(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, ...]:
        """Slopes whose bands together make the polyhedral relaxation of f over the boxes, for LP; untrusted."""
        zero = tuple(torch.zeros_like(b.lower) for b in boxes)
        return (zero, self.chord(boxes), *self.tight_slopes(boxes))

    def pieces(self, boxes: tuple[Bounds, ...]) -> tuple[Piece, ...] | None:
        """Affine pieces that make up f over the boxes, for exact optimisation; None: f is not piecewise linear.

        Law: y = f(x) just where y is on the line of a piece whose domain holds x, and within the band of every facet.
        """
        return None

    @final
    def clamped(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Slopes:
        """The slopes, those outside `slope_range` moved to its nearest end; as given where that is not known.

        Such lines are never looser: f - <s, x> is monotone along that axis, so that the line of the nearest end meets
        f on the same face of the box. Nor are they steeper than f, by which rounding is measured: an intercept
        f(p) - <s, p> of a steep line is the difference of two large numbers.
        """
        ranges = self.slope_range(boxes)
        if ranges is None:
            return slopes
        # not clamp or maximum, which halve the gradient of a slope at an end
        pairs = [(torch.where(s < r.lower, r.lower, s), r.upper) for s, r in zip(slopes, ranges, strict=True)]
        return tuple(torch.where(s > most, most, s) for s, most in pairs)

    def lines(self, below: Slopes, above: Slopes, boxes: tuple[Bounds, ...]) -> tuple[Line, Line]:
        """Two lines that enclose f over the boxes, with these slopes or with slopes that are never looser.

        Each side asks for its own end of the band alone. Where f is affine its slope is the only one that is left.
        """
        parallel = all(b is a for b, a in zip(below, above, strict=True))
        below = self.clamped(below, boxes)
        above = below if parallel else self.clamped(above, boxes)
        return Line(below, self.inf(below, boxes)), Line(above, self.sup(above, boxes))

    @final
    def split(self, rows: Rows, below: Line, above: Line) -> tuple[tuple[Rows, ...], Tensor]:
        """<c, f(x)> >= <c+ below.slopes + c- above.slopes, x> + <c+, below.intercept> + <c-, above.intercept>.

        Gives the rows over the arguments and the constants (K, N).
        """
        low, high = self.linearised(below.slopes), self.linearised(above.slopes)
        return low.split(high, rows, below.intercept, above.intercept, *(s.shape[1:] for s in below.slopes))
