"""What a solver is told of a region."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from absdomain.linear import Bounds


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """{ centre + radius d : |d|_p <= 1 } of the entries at these flat places; a radius of 0 holds an axis fast."""

    centre: Tensor  # (B, *shape)
    radius: Tensor  # (B or 1, *shape)
    order: int  # p
    places: Tensor | None = None  # (n,); None: all


@dataclass(frozen=True, eq=False)
class Constraints:
    """{ x : lower <= x <= upper, A x <= b, x in the ellipsoids }, for each sample, x flat; None: nothing is asked."""

    box: Bounds | None = None  # (B, *shape)
    A: Tensor | None = None  # (B, m, n)
    b: Tensor | None = None  # (B, m)
    ellipsoids: tuple[Ellipsoid, ...] = ()

    @property
    def is_box(self) -> bool:
        """Whether nothing but the box is asked."""
        return self.box is not None and self.A is None and not self.ellipsoids
