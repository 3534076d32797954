"""{ x : lower <= x <= upper }: elementwise bounds of an activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Protocol

import torch
from torch import Tensor


class Map(Protocol):
    """An affine map, as boxes see it."""

    def image(self, *boxes: Bounds) -> Bounds:
        """The interval hull of the map over a product of boxes."""
        ...


class Ends(Enum):
    """Which ends of an interval are asked."""

    LOWER = "lower"
    UPPER = "upper"
    BOTH = "both"


@dataclass(frozen=True, eq=False)
class Bounds:
    """{ x : lower <= x <= upper }, elementwise; both of shape (B, *shape). NaN marks a bound that is not known."""

    lower: Tensor  # (B, *shape)
    upper: Tensor  # (B, *shape)
    bounded: ClassVar[bool] = True  # hulls are taken by centre and radius

    @staticmethod
    def of(ends: Ends, lower: Callable[[], Tensor], upper: Callable[[], Tensor]) -> Bounds:
        """[lower(), upper()], of which only what is asked is computed; the other end is infinite."""
        if ends is Ends.LOWER:
            known = lower()
            return Bounds(known, _unknown(torch.inf, known))
        if ends is Ends.UPPER:
            known = upper()
            return Bounds(_unknown(-torch.inf, known), known)
        return Bounds(lower(), upper())

    @property
    def centre(self) -> Tensor:
        """(lower + upper) / 2."""
        return torch.lerp(self.lower, self.upper, 0.5)

    @property
    def radius(self) -> Tensor:
        """(upper - lower) / 2, from the centre to the further end: half of the smallest float would be 0."""
        return self.reach(self.centre)

    def reach(self, x: Tensor) -> Tensor:
        """The distance from x, a point inside, to the further end."""
        up, down = self.upper - x, x - self.lower
        return torch.maximum(up, down) if torch.is_grad_enabled() else up.clamp_min_(down)  # NaN stays

    @property
    def width(self) -> Tensor:
        """upper - lower."""
        return self.upper - self.lower

    @property
    def shape(self) -> tuple[int, ...]:
        """The activation's shape, without the batch."""
        return tuple(self.lower.shape[1:])

    def box(self) -> Bounds:
        """The interval hull of a box is the box."""
        return self

    def meet(self, other: Bounds) -> Bounds:
        """{ x : x in self and x in other }, which are not disjoint but for rounding: see `ordered`."""
        return ordered(torch.maximum(self.lower, other.lower), torch.minimum(self.upper, other.upper))

    def image(self, op: Map) -> Bounds:
        """[A c + b - |A| r, A c + b + |A| r]: the interval hull of op over this box (Gowal et al., section 3)."""
        return op.image(self)


class Endless(Bounds):
    """The same with infinite ends, in whose hulls 0 times infinity is 0."""

    bounded = False


def endless(box: Bounds) -> Bounds:
    """The box, as Endless where it has an infinite end; in a compiled graph, which no value breaks, as it is."""
    if torch.compiler.is_compiling() or not bool((box.width == torch.inf).any()):
        return box
    return Endless(box.lower, box.upper)


def ordered(lower: Tensor, upper: Tensor) -> Bounds:
    """[lower, upper] of ends that are sound but for rounding: where that has crossed them, each gives way to the other.

    NaN stays, and so does what no number is beyond, a lower bound of inf: neither is a matter of rounding.
    """
    crossed = (lower > upper) & (lower < torch.inf) & (upper > -torch.inf)
    return Bounds(torch.where(crossed, upper, lower), torch.where(crossed, lower, upper))


def _unknown(end: float, like: Tensor) -> Tensor:
    """An infinite end, one number in memory."""
    return torch.full((), end, dtype=like.dtype, device=like.device).expand(like.shape)
