"""SingleProp: the nominal value and one half-width around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.domain import Domain, Traits
from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine, Line, Nonlinear
from absdomain.linear import Bounds, Ends
from absdomain.region import Region
from absdomain.relations.slopes import Rule, checked, zero


@dataclass(frozen=True, eq=False)
class Gap:
    """[z - v, z + v], meant to hold the values: z those of the centre, v >= 0, both (B, *shape)."""

    z: Tensor
    v: Tensor


@dataclass(frozen=True)
class SymbolicGap(Domain[Gap]):
    """[z - v, z + v] around the nominal z: SingleProp (Boopathy et al. 2021), with the gap v = half the symbolic range.

    An affine op maps (z, v) to (op(z), modulus(v)). A nonlinear one, between the lines a_L x + b_L and a_U x + b_U that
    the rule takes over [z - v, z + v], maps z to op(z) and v to half the distance from the lower line's least to the
    upper line's greatest value (eq. (6)): v' = ((a_U - a_L) z + (|a_U| + |a_L|) v + b_U - b_L) / 2. That range is not
    centred at op(z), so that values may escape: HEURISTIC, for training, never a certificate. `zero` is
    SingleProp-Zero (eq. (8)), `parallel` SingleProp-FastLin (eq. (7)).
    """

    lemma = _name = "symbolic_gap"
    traits = Traits(Guarantee.HEURISTIC)
    slopes: Rule = zero

    def __post_init__(self) -> None:
        checked(self.slopes)

    def lift(self, region: Region) -> Gap:
        box, centre = region.box(), region.centre
        return Gap(centre, torch.maximum(box.upper - centre, centre - box.lower))

    def affine(self, op: Affine, *args: Gap) -> Gap:
        return Gap(op(*(e.z for e in args)), op.modulus(*(e.v for e in args)))

    def relax(self, op: Nonlinear, args: tuple[Gap, ...], boxes: tuple[Bounds, ...] | None) -> Gap:
        own = self.boxes(op, args) if boxes is None else boxes
        z = op(*(e.z for e in args))
        if self.slopes is zero and op.curvature.convex:  # between a level line and the chord lies the image: no slopes
            return Gap(z, op.image(own).width / 2)
        spans = [(e.z, e.v) for e in args] if boxes is None else [(b.centre, b.radius) for b in boxes]
        return Gap(z, _half_range(op, *op.lines(*self.slopes(op, own), own), spans))

    def bounds(self, e: Gap, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        return Bounds.of(ends, lambda: e.z - e.v, lambda: e.z + e.v)


def _half_range(op: Nonlinear, below: Line, above: Line, spans: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """((a_U - a_L) z + (|a_U| + |a_L|) v + b_U - b_L) / 2, summed over the arguments' spans (z, v)."""
    pairs = list(zip(below.slopes, above.slopes, strict=True))
    z, v = zip(*spans, strict=True)
    if all(low is up for low, up in pairs):
        half = op.linearised(tuple(up.abs() for _, up in pairs))(*v)
    else:
        half = op.linearised(tuple(torch.lerp(low.abs(), up.abs(), 0.5) for low, up in pairs))(*v)
        half = half + op.linearised(tuple((up - low) / 2 for low, up in pairs))(*z)
    if above.intercept is not None:
        half = torch.add(half, above.intercept, alpha=0.5)
    return half if below.intercept is None else torch.sub(half, below.intercept, alpha=0.5)
