"""Nonlinear operations: the band of f(x) - <s, x> over a box, for any slopes."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from absdomain.bounds import Bounds
from absdomain.kinds.op import Op, Shape, metas
from absdomain.rows import Rows

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

    Law: for x in the boxes, inf(s, boxes) <= f(x) - inner(s, x) <= sup(s, boxes).
    """

    convex: ClassVar[bool] = False  # f of one variable is convex: over any box the chord's is the best line above it
    concave: ClassVar[bool] = False  # and so below it, where f is concave

    def shape(self, *shapes: Shape) -> Shape:
        return tuple(self(*metas(shapes)).shape[1:])

    @abstractmethod
    def inner(self, slopes: Slopes, *xs: Tensor) -> Tensor:
        """<s, x>, of the output's shape."""

    @abstractmethod
    def outer(self, slopes: Slopes, c: Tensor) -> tuple[Tensor, ...]:
        """The adjoint of `inner` in x: c (K, N, *output shape) -> (K, N, *argument shape), one per argument."""

    def adjoint(self, rows: Rows, slopes: Slopes) -> tuple[Rows, ...]:
        """<c, inner(s, x)>, as rows over the arguments."""
        rows = rows.dense()
        return tuple(rows.with_data(part) for part in self.outer(tuple(map(rows.seen, slopes)), rows.data))

    @abstractmethod
    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """A lower bound of inf over the boxes of f(x) - <s, x>, (B, *output shape)."""

    @abstractmethod
    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """An upper bound of sup over the boxes of f(x) - <s, x>, (B, *output shape)."""

    def band(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Bounds:
        """[inf, sup] of f(x) - <s, x> over the boxes."""
        return Bounds(self.inf(slopes, boxes), self.sup(slopes, boxes))

    def image(self, boxes: tuple[Bounds, ...]) -> Bounds:
        """The band at slope 0: an interval that holds f."""
        return self.band(tuple(torch.zeros_like(b.lower) for b in boxes), boxes)

    def amplified(self, sizes: tuple[Tensor, ...], boxes: tuple[Bounds, ...]) -> Tensor:
        """What rounding of f is relative to, where that of its arguments is relative to `sizes`; (B, *output shape).

        For an f that enlarges no more than its own value, as here, the largest |f| over |x| <= sizes.
        """
        image = self.image(tuple(Bounds(-size, size) for size in sizes))
        return torch.maximum(image.lower.abs(), image.upper.abs())

    def settled(self, boxes: tuple[Bounds, ...]) -> tuple[Tensor, ...] | None:
        """Per argument, where f is affine over its box (boolean, (B, *shape)); None: nowhere that one can say.

        Law: there, the band of the chord has width 0, so that tighter boxes could not improve the relaxation.
        """
        return None

    @abstractmethod
    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        """Slopes through the ends of f; a hint for slope policies, untrusted."""

    def support(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        """Slopes (below, above) of lines with a small area between them; a hint for slope policies, untrusted."""
        chord = self.chord(boxes)
        return chord, chord

    def facets(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, ...]:
        """Slopes whose bands together make the polyhedral relaxation of f over the boxes, for LP; untrusted."""
        zero = tuple(torch.zeros_like(b.lower) for b in boxes)
        return (zero, self.chord(boxes), *self.support(boxes))

    def pieces(self, boxes: tuple[Bounds, ...]) -> tuple[Piece, ...] | None:
        """Affine pieces that make up f over the boxes, for exact optimisation; None: f is not piecewise linear.

        Law: y = f(x) just where y is on the line of a piece whose domain holds x, and within the band of every facet.
        """
        return None

    def tempered(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Slopes:
        """The slopes, those outside the range of f's partial derivative over the boxes moved to its nearest end.

        Such lines are never looser: f - <s, x> is monotone along that axis, so that the line of the nearest end meets
        f on the same face of the box. Nor are they steeper than f, whose size rounding is measured by: an intercept
        f(p) - <s, p> of a steep line is the difference of two large numbers. Here, where nothing is known, as given.
        """
        return slopes

    def lines(self, below: Slopes, above: Slopes, boxes: tuple[Bounds, ...]) -> tuple[Line, Line]:
        """Two lines that enclose f over the boxes, with these slopes or with slopes that are never looser.

        Each side asks for its own end of the band alone. A settled entry takes the chord, which is exact there.
        """
        parallel = all(b is a for b, a in zip(below, above, strict=True))
        below = self.tempered(below, boxes)
        above = below if parallel else self.tempered(above, boxes)
        settled = self.settled(boxes)
        if settled is not None:
            chord = self.chord(boxes)
            below = tuple(torch.where(w, c, s) for w, c, s in zip(settled, chord, below, strict=True))
            exact = zip(settled, chord, above, strict=True)
            above = below if parallel else tuple(torch.where(w, c, s) for w, c, s in exact)
        return Line(below, self.inf(below, boxes)), Line(above, self.sup(above, boxes))

    def split(self, rows: Rows, below: Line, above: Line) -> tuple[tuple[Rows, ...], Tensor]:
        """<c, f(x)> >= <c+ below.slopes + c- above.slopes, x> + <c+, below.intercept> + <c-, above.intercept>.

        Gives the rows over the arguments and the constants (K, N).
        """
        rows = rows.dense()
        data = rows.data
        positive = rows.with_data(data.relu())
        negative = rows.with_data(data - positive.data)
        pairs = zip(self.adjoint(positive, below.slopes), self.adjoint(negative, above.slopes), strict=True)
        const = torch.zeros((), dtype=data.dtype, device=data.device)
        if below.intercept is not None:
            const = const + positive.dot(below.intercept)
        if above.intercept is not None:
            const = const + negative.dot(above.intercept)
        return tuple(lower + upper for lower, upper in pairs), const
