"""{ x : lower <= x <= upper }: elementwise bounds of an activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from absdomain.kinds import Affine


@dataclass(frozen=True, eq=False)
class Bounds:
    """{ x : lower <= x <= upper }, elementwise; both of shape (B, *shape). NaN marks a bound that is not known."""

    lower: Tensor  # (B, *shape)
    upper: Tensor  # (B, *shape)

    @property
    def centre(self) -> Tensor:
        """(lower + upper) / 2."""
        return torch.lerp(self.lower, self.upper, 0.5)

    @property
    def radius(self) -> Tensor:
        """(upper - lower) / 2."""
        return (self.upper - self.lower) / 2

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
        """{ x : x in self and x in other }; NaN on either side stays NaN."""
        return Bounds(torch.maximum(self.lower, other.lower), torch.minimum(self.upper, other.upper))

    def through(self, op: Affine) -> Bounds:
        """[A c + b - |A| r, A c + b + |A| r]: the interval hull of op over this box (Gowal et al., section 3)."""
        return hull(op, self)


def hull(op: Affine, *boxes: Bounds) -> Bounds:
    """The interval hull of op over a product of boxes: exact for one op; (B, *shape of op).

    An op without a weight is monotone, so its two ends are enough; the others need centre and radius.
    """
    if op.weight is None:
        return Bounds(op(*(b.lower for b in boxes)), op(*(b.upper for b in boxes)))
    centres = [b.centre for b in boxes]
    radius = op.modulus(*(b.upper - c for b, c in zip(boxes, centres, strict=True)))
    centre = op(*centres)
    lower = centre - radius
    return Bounds(lower, centre + radius if torch.is_grad_enabled() else radius.add_(centre))


def numbers(t: Tensor) -> NDArray[np.float64]:
    """The entries as a flat array in double precision, for a solver."""
    flat: NDArray[np.float64] = t.detach().double().cpu().numpy().ravel()
    return flat
