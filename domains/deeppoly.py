"""Linear relaxation with back-substitution."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from absdomain import backward
from absdomain.backward import Relation
from absdomain.bounds import Bounds
from absdomain.domain import Domain
from absdomain.kinds import Affine, Nonlinear
from absdomain.region import Region
from absdomain.slopes import Policy, adaptive


@dataclass(frozen=True)
class DeepPoly(Domain[Relation]):
    """{ x : A' x_prev + b' <= x <= A x_prev + b } neuron by neuron: DeepPoly, CROWN; Fast-Lin with parallel slopes.

    `transfer` only records; `bounds` substitutes backwards down to the region's support function.
    """

    slopes: Policy = adaptive
    relational = True

    def __post_init__(self) -> None:
        if not callable(self.slopes):
            raise TypeError(f"slopes is {self.slopes!r}, which is no policy; give one of absdomain.slopes")

    def lift(self, region: Region) -> Relation:
        return backward.source(region)

    def affine(self, op: Affine, *args: Relation) -> Relation:
        return backward.affine(op, *args)

    def relax(self, op: Nonlinear, args: tuple[Relation, ...], within: tuple[Bounds, ...] | None) -> Relation:
        boxes = within if within is not None else self.boxes(op, args)
        below, above = op.lines(*self.slopes(op, boxes), boxes)
        shape = op.shape(*(e.shape for e in args))
        return backward.relaxed(args, shape, lambda rows: op.split(rows, below, above))

    def bounds(self, e: Relation, where: Tensor | None = None) -> Bounds:
        return backward.bounds(e, where)

    def lower(self, e: Relation) -> Tensor:
        return backward.lower(e)

    def upper(self, e: Relation) -> Tensor:
        return backward.upper(e)
