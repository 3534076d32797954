"""A matrix along one axis, and the matrices of interpolation and pooling."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Affine, Shape
from absdomain.kinds.live import live


@dataclass(frozen=True, eq=False)
class Along(Affine):
    """x -> W x along one axis, at every place of the others: the mode product (Kolda and Bader 2009, section 2.5).

    W (m, n), read in the precision of x; `axis`, which counts the batch and is not it, has n entries before and m
    after. Interpolations, cumulative sums and pooling windows of several sizes are such maps, axis by axis.
    """

    weight: Tensor = live(required=True)
    axis: int = -1

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        assert w is not None
        return F.linear(xs[0].movedim(self.axis, -1), w.to(xs[0].dtype)).movedim(-1, self.axis)

    def shape(self, *shapes: Shape) -> Shape:
        sizes, (m, n) = list(shapes[0]), self.weight.shape
        place = self.axis - (self.axis > 0)
        if sizes[place] != n:
            raise ValueError(f"Along: axis {self.axis} has {n} entries, as W has columns; got shape {shapes[0]}")
        sizes[place] = m
        return tuple(sizes)

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        return ((y.movedim(self.axis, -1) @ w.to(y.dtype)).movedim(-1, self.axis),)
