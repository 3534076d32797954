"""Interval bound propagation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from absdomain.domain import Domain, Traits
from absdomain.kinds import Affine, Nonlinear
from absdomain.linear import Bounds, Ends
from absdomain.linear.bounds import endless
from absdomain.region import Region


@dataclass(frozen=True)
class Box(Domain[Region | Bounds]):
    """{ x : lower <= x <= upper }: IBP (Gowal et al. 2018, section 3; Mirman et al. 2018).

    Until the first op that is not diagonal the element is the region itself, so that the first layer is exact for
    every region: an L2 ball is not replaced by its hull.
    """

    lemma = "box"
    traits = Traits(monotone=True)

    def lift(self, region: Region) -> Region | Bounds:
        return region

    def affine(self, op: Affine, *args: Region | Bounds) -> Region | Bounds:
        if len(args) == 1:
            return args[0].image(op)
        return op.image(*(e.box() for e in args))

    def relax(
        self, op: Nonlinear, args: tuple[Region | Bounds, ...], boxes: tuple[Bounds, ...] | None
    ) -> Region | Bounds:
        own = self.boxes(op, args) if boxes is None else boxes
        image = op.image(own)
        bounded = boxes is None and op.curvature.piecewise_linear and all(b.bounded for b in own)
        return image if bounded else endless(image)

    def bounds(self, e: Region | Bounds, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        return e.box()
