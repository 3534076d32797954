"""How far rounding may move a computed bound: what certification demands above zero."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from absdomain.bounds import Bounds, hull
from absdomain.domain import Domain
from absdomain.graph import Graph
from absdomain.kinds import Affine, Nonlinear
from absdomain.region import Region
from absdomain.spec import Spec


@dataclass(frozen=True, eq=False)
class Sized:
    """An activation's interval bounds, and the size that rounding is relative to there; (B, *shape)."""

    size: Tensor
    box: Bounds


@dataclass(frozen=True)
class Magnitude(Domain[Sized]):
    """{ x : |x| <= m }, where m = |A| m' + |b| adds up what an affine op adds up, in absolute value.

    So m is what rounding is relative to: unlike the value's own size, it does not shrink where terms cancel. Interval
    bounds go beside it, for ops that are not defined on all of [-m, m] or are much steeper there.
    """

    def lift(self, region: Region) -> Sized:
        box = region.box()
        return Sized(_largest(box), box)

    def affine(self, op: Affine, *args: Sized) -> Sized:
        size, offset = op.modulus(*(e.size for e in args)), op.offset
        return Sized(size if offset is None else size + offset.abs(), hull(op, *(e.box for e in args)))

    def relax(self, op: Nonlinear, args: tuple[Sized, ...], within: tuple[Bounds, ...] | None) -> Sized:
        boxes = within if within is not None else tuple(e.box for e in args)
        return Sized(op.amplified(tuple(e.size for e in args), boxes), op.image(boxes))

    def bounds(self, e: Sized, where: Tensor | None = None) -> Bounds:
        return Bounds(-e.size, e.size)


def allowance(graph: Graph, region: Region, spec: Spec | None = None) -> Tensor:
    """16 u (sum over ops of sqrt(n)) max(1, m), (B,): how far rounding may lift a lower bound above its true value.

    u is the unit roundoff of the region's dtype, n the entries that an op reads and its bias, m the Magnitude of the
    output, or of C f(x) + d. Rounding in a sum of n terms stays below 8 sqrt(n) u times the sum of their absolute
    values except with probability 2 exp(-32) (Higham and Mary 2019, A New Approach to Probabilistic Rounding Error
    Analysis). The errors of successive ops add up, and back-substitution passes each op twice. A model of rounding, not
    a proof about it.
    """
    with torch.no_grad():
        size = Magnitude().propagate(graph, region).upper.reshape(len(region.centre), -1)
        if spec is not None:  # not fused: the difference of two rows of the last op is a computation, too
            spec = spec.to(region.centre)
            size = (spec.C.abs() @ size.unsqueeze(-1)).squeeze(-1) + spec.d.abs()
        reads = [1 + sum(prod(graph.nodes[a].shape) for a in step.args) for step in graph.schedule]
        roundoff = torch.finfo(size.dtype).eps / 2
        return 16 * roundoff * sum(n**0.5 for n in reads) * size.amax(1).clamp(min=1)


def _largest(box: Bounds) -> Tensor:
    return torch.maximum(box.lower.abs(), box.upper.abs())
