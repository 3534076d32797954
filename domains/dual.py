"""Wong and Kolter's dual network."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from absdomain.domain import Domain, Traits, argumentwise
from absdomain.domains import sketch
from absdomain.domains.sketch import Sketch
from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine, Nonlinear, Slopes
from absdomain.linear import Bounds, Ends, Rows
from absdomain.region import Region
from absdomain.relations import backward, levels
from absdomain.relations.backward import Constant, Relation


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of the dual network; with random projections also its estimated box."""

    dual: Relation
    sketch: Sketch | None


@dataclass(frozen=True)
class Dual(Domain[Layer]):
    """J(nu) = -sum nu.b - max_x <nu_0, x> - sum max_w <nu, w> <= <c, z>: the dual network (Wong and Kolter 2018).

    nu = -c at the layer that is asked, A^T nu through an affine op z = A x + b, s nu through a relaxation whose slope s
    is the chord of f over its boxes; nu_0 at the input x, which ranges over the region. w = f(x) - s x ranges over the
    band of f: its maximum is the conjugate term, for ReLU -sum l_j [nu_j]+ over unstable neurons (theorem 1 and
    algorithm 1 there). As the slope does not depend on the sign of nu, one nu serves the lower and the upper bound.

    With `projections` = r, boxes of inner layers are estimated from r random projections where there are more than r
    directions to add up, Cauchy for boxes and bands and normal for an L2 ball (Wong et al. 2018, section 3.2): r = 50
    errs by a quarter, low half of the time, so that the bounds are STATISTICAL. J itself is exact. The same seed gives
    the same bounds; give each step of a training another, by `replace(domain, seed=step)`.
    """

    lemma = "dual"
    projections: int | None = field(default=None, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if self.projections is not None and (type(self.projections) is not int or self.projections < 1):
            raise ValueError(f"projections is {self.projections!r}; give a positive number, or None for exact boxes")

    @property
    def traits(self) -> Traits:
        guarantee = Guarantee.SOUND if self.projections is None else Guarantee.STATISTICAL
        return Traits(guarantee, relational=True)

    def lift(self, region: Region) -> Layer:
        known = None if self.projections is None else sketch.lift(region.whole, self.projections, self.seed)
        return Layer(backward.source(region), known)

    def affine(self, op: Affine, *args: Layer) -> Layer:
        known = _sketches(args)
        return Layer(backward.affine(op, *(e.dual for e in args)), sketch.affine(op, known) if known else None)

    def relax(self, op: Nonlinear, args: tuple[Layer, ...], boxes: tuple[Bounds, ...] | None) -> Layer:
        boxes = self.boxes(op, args) if boxes is None else boxes
        slopes, band, marks = levels.band(op, op.chord(boxes), boxes)
        known = _sketches(args)
        return Layer(
            _relaxed(op, tuple(e.dual for e in args), slopes, band, marks),
            sketch.relax(op, slopes, band if marks is None else marks.open(band), known) if known else None,
        )

    def boxes(
        self, op: Nonlinear, args: tuple[Layer, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        return argumentwise(_box, args, asked)

    def bounds(self, e: Layer, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        return backward.bounds(e.dual, where, ends)

    def planes(self, e: Layer) -> tuple[Rows, Tensor]:
        return backward.above(e.dual)


def _box(e: Layer, where: Tensor | None) -> Bounds:
    """The estimated box, where one is carried and needed; else that of the dual network."""
    if e.sketch is None or e.dual.exact is not None:
        return backward.boxes(e.dual, where)
    return e.sketch.box()


def _relaxed(
    op: Nonlinear, args: tuple[Relation, ...], slopes: Slopes, band: Bounds, marks: levels.Marks | None
) -> Relation:
    """f(x) = <slopes, x> + w with w in the band: rows c = -nu over f(x) become s c over x, and min <c, w> is paid."""

    line, shapes = op.linearised(slopes), tuple(e.shape for e in args)

    def pull(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
        return line.adjoint(rows, *shapes), rows.minimum(band)

    share = backward.parallel(line, shapes, band.lower, band.upper)
    shape = op.shape(*shapes)
    if marks is None:
        return backward.relaxed(args, shape, pull, share)
    return backward.relaxed(args, shape, levels.marked(pull, marks), levels.marked_share(share, marks))


def _sketches(args: tuple[Layer, ...]) -> tuple[Sketch, ...]:
    return tuple(e.sketch for e in args if e.sketch is not None)
