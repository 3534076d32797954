"""The product of two activations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from absdomain.kinds import Nonlinear, Shape, Slopes, Ties
from absdomain.kinds.op import common
from absdomain.linear import Bounds

_TIE = 1e-3  # of the planes' largest distance: bounds that are nearer to each other count as equal


@dataclass(frozen=True, eq=False)
class Product(Nonlinear):
    """x y, entry by entry; both of one shape (McCormick 1976)."""

    lemma = "product"
    ties = Ties((1, 1), (-1, 1), (None, None))  # from one of McCormick's planes to the other

    def __call__(self, *xs: Tensor) -> Tensor:
        x, y = xs
        return x * y

    def shape(self, *shapes: Shape) -> Shape:
        return common(self, shapes)

    def _corners(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> list[Tensor]:
        """x y - <s, (x, y)> at the corners, where a function that is affine in x and in y is extreme."""
        (a, b), (p, q) = slopes, boxes
        return [x * y - (a * x + b * y) for x in (p.lower, p.upper) for y in (q.lower, q.upper)]

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return reduce(torch.minimum, self._corners(slopes, boxes))

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return reduce(torch.maximum, self._corners(slopes, boxes))

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        """The gradient at the centre."""
        x, y = boxes
        return y.centre, x.centre

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """Each derivative is the other factor."""
        x, y = boxes
        return y, x

    def facets(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, ...]:
        """The gradients at the four corners: McCormick's envelopes, which are the convex hull."""
        x, y = boxes
        return (y.lower, x.lower), (y.upper, x.upper), (y.upper, x.lower), (y.lower, x.upper)

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        """Of McCormick's two planes on each side, the one with the better bound over the box itself.

        Often the two bounds are equal: then the first, whatever rounding says.
        """
        low, high, left, right = self.facets(boxes)
        x, y = boxes
        tie = _TIE * x.width * y.width
        below = self._least(low, boxes) - x.lower * y.lower + tie >= self._least(high, boxes) - x.upper * y.upper
        above = self._most(left, boxes) - x.lower * y.upper - tie <= self._most(right, boxes) - x.upper * y.lower
        return _either(below, low, high), _either(above, left, right)

    def _least(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """min of <s, (x, y)> over the boxes."""
        return reduce(torch.add, (torch.minimum(s * b.lower, s * b.upper) for s, b in zip(slopes, boxes, strict=True)))

    def _most(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """max of <s, (x, y)> over the boxes."""
        return -self._least(tuple(-s for s in slopes), boxes)


def _either(choice: Tensor, one: Slopes, other: Slopes) -> Slopes:
    return tuple(torch.where(choice, a, b) for a, b in zip(one, other, strict=True))
