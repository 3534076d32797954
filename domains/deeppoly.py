"""Linear relaxation with back-substitution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor

from absdomain.domain import Domain, Traits, argumentwise
from absdomain.kinds import Affine, Nonlinear
from absdomain.linear import Bounds, Ends, Rows
from absdomain.region import Region
from absdomain.relations import backward, levels
from absdomain.relations.backward import Constant, Relation, Relaxation
from absdomain.relations.search import Search
from absdomain.relations.slopes import Rule, adaptive, checked


@dataclass(frozen=True)
class DeepPoly(Domain[Relation]):
    """{ x : A' x_prev + b' <= x <= A x_prev + b } neuron by neuron: DeepPoly, CROWN; Fast-Lin with parallel slopes.

    `transfer` only records; `bounds` substitutes backwards down to the region's support function. With a `search`,
    as ascent(steps=20), each bound has slopes of its own, which start at those of the relaxations: alpha-CROWN.
    """

    lemma = "deeppoly"
    slopes: Rule = adaptive
    search: Search | None = None

    def __post_init__(self) -> None:
        if isinstance(given := cast(object, self.slopes), Search):  # as the version before this one had it
            object.__setattr__(self, "search", given)
            object.__setattr__(self, "slopes", adaptive)
        checked(self.slopes)
        if self.search is not None and not isinstance(self.search, Search):
            raise TypeError(f"search is {self.search!r}; give one of absdomain.relations.search, or None for no search")

    @property
    def traits(self) -> Traits:
        """With a search, gradients would take the slopes found as constants."""
        return Traits(relational=True, differentiable=self.search is None)

    def lift(self, region: Region) -> Relation:
        return backward.source(region)

    def affine(self, op: Affine, *args: Relation) -> Relation:
        return backward.affine(op, *args)

    def relax(self, op: Nonlinear, args: tuple[Relation, ...], boxes: tuple[Bounds, ...] | None) -> Relation:
        boxes = self.boxes(op, args) if boxes is None else boxes
        slopes = self.slopes(op, boxes)
        below, above, marks = levels.lines(op, slopes, boxes)
        shapes, share = tuple(e.shape for e in args), None
        if all(b is a for b, a in zip(below.slopes, above.slopes, strict=True)):
            share = backward.parallel(op.linearised(below.slopes), shapes, below.intercept, above.intercept)

        def pull(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
            return op.split(rows, below, above)

        shape = op.shape(*shapes)
        if marks is None:
            return backward.relaxed(args, shape, pull, share, Relaxation(op, boxes, *slopes))
        return backward.relaxed(
            args, shape, levels.marked(pull, marks), None if share is None else levels.marked_share(share, marks)
        )

    def boxes(
        self, op: Nonlinear, args: tuple[Relation, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        if self.search is None:
            return argumentwise(backward.boxes, args, asked)
        return self.search.boxes(op, args, asked)

    def bounds(self, e: Relation, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        if self.search is None:
            return backward.bounds(e, where, ends)
        return self.search.bounds(e, where, ends)

    def planes(self, e: Relation) -> tuple[Rows, Tensor]:
        return backward.above(e)
