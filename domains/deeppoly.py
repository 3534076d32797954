"""Linear relaxation with back-substitution."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from absdomain.domain import Domain
from absdomain.kinds import Affine, Nonlinear, Slot
from absdomain.linear import Bounds, Rows
from absdomain.region import Region
from absdomain.relations import backward, levels
from absdomain.relations.backward import Constant, Relation, Relaxation
from absdomain.relations.slopes import Policy, adaptive


@dataclass(frozen=True)
class DeepPoly(Domain[Relation]):
    """{ x : A' x_prev + b' <= x <= A x_prev + b } neuron by neuron: DeepPoly, CROWN; Fast-Lin with parallel slopes.

    `transfer` only records; `bounds` substitutes backwards down to the region's support function.
    """

    lemma = "deeppoly"
    slopes: Policy = adaptive
    relational = True

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        """Whether the policy's slopes do not depend on what is asked: else gradients take the slopes as constants."""
        return self.slopes.constant

    def __post_init__(self) -> None:
        if not isinstance(self.slopes, Policy):
            raise TypeError(f"slopes is {self.slopes!r}, which is no policy; give one of absdomain.relations.slopes")

    def lift(self, region: Region) -> Relation:
        return backward.source(region)

    def affine(self, op: Affine, *args: Relation) -> Relation:
        return backward.affine(op, *args)

    def relax(self, op: Nonlinear, args: tuple[Relation, ...], within: tuple[Bounds, ...] | None) -> Relation:
        boxes = within if within is not None else self.boxes(op, args)
        slopes = self.slopes(op, boxes)
        below, above, marks = levels.lines(op, slopes, boxes)
        shape = op.shape(*(e.shape for e in args))
        share = None
        if all(b is a for b, a in zip(below.slopes, above.slopes, strict=True)):
            share = backward.parallel(op, below.slopes, below.intercept, above.intercept)

        def pull(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
            return op.split(rows, below, above)

        if marks is None:
            return backward.relaxed(args, shape, pull, share, Relaxation(op, boxes, *slopes))
        return backward.relaxed(
            args, shape, levels.marked(pull, marks), None if share is None else levels.marked_share(share, marks)
        )

    def within(self, e: Relation, reader: Slot, where: Tensor | None = None) -> Bounds:
        return self.slopes.box(e, reader, where)

    def bounds(self, e: Relation, where: Tensor | None = None) -> Bounds:
        return self.slopes.bounds(e, where)

    def lower(self, e: Relation) -> Tensor:
        return self.slopes.lower(e)

    def upper(self, e: Relation) -> Tensor:
        return self.slopes.upper(e)

    def above(self, e: Relation) -> tuple[Rows, Tensor]:
        return backward.above(e)
