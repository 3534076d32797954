"""Linear relaxation with back-substitution."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from absdomain import _levels, backward
from absdomain.backward import Constant, Relation, Relaxation, Share
from absdomain.bounds import Bounds
from absdomain.domain import Domain, Reader
from absdomain.kinds import Affine, Line, Nonlinear
from absdomain.region import Region
from absdomain.rows import Rows
from absdomain.slopes import Policy, adaptive


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
            raise TypeError(f"slopes is {self.slopes!r}, which is no policy; give one of absdomain.slopes")

    def lift(self, region: Region) -> Relation:
        return backward.source(region)

    def affine(self, op: Affine, *args: Relation) -> Relation:
        return backward.affine(op, *args)

    def relax(self, op: Nonlinear, args: tuple[Relation, ...], within: tuple[Bounds, ...] | None) -> Relation:
        boxes = within if within is not None else self.boxes(op, args)
        slopes = self.slopes(op, boxes)
        below, above, marks = _levels.lines(op, slopes, boxes)
        shape = op.shape(*(e.shape for e in args))
        parallel = all(b is a for b, a in zip(below.slopes, above.slopes, strict=True))
        share = _shared(op, below, above) if parallel else None

        def pull(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
            return op.split(rows, below, above)

        if marks is None:
            return backward.relaxed(args, shape, pull, share, Relaxation(op, boxes, *slopes))
        return backward.relaxed(
            args, shape, _levels.marked(pull, marks), None if share is None else _levels.marked_share(share, marks)
        )

    def within(self, e: Relation, reader: Reader, where: Tensor | None = None) -> Bounds:
        return self.slopes.box(e, reader, where)

    def bounds(self, e: Relation, where: Tensor | None = None) -> Bounds:
        return self.slopes.bounds(e, where)

    def lower(self, e: Relation) -> Tensor:
        return self.slopes.lower(e)

    def upper(self, e: Relation) -> Tensor:
        return self.slopes.upper(e)

    def above(self, e: Relation) -> tuple[Rows, Tensor]:
        return backward.above(e)


def _shared(op: Nonlinear, below: Line, above: Line) -> Share:
    """Two parallel lines: c s serves both signs of c, and the constants of c and -c add up to -<c, b + t>."""

    def share(rows: Rows) -> tuple[tuple[Rows, ...], Constant, Constant]:
        parts, low = op.split(rows, below, above)
        high = low
        for intercept in (below.intercept, above.intercept):
            high = high if intercept is None else high - rows.dot(intercept)
        return parts, low, high

    return share
