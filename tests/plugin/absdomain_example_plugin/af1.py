"""Affine forms whose noise is one number: between intervals and zonotopes, computed forward."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from absdomain.domain import Domain, Traits
from absdomain.kinds import Affine, Nonlinear
from absdomain.linear import Bounds, Ends, Rows
from absdomain.region import Region


class Form(NamedTuple):
    """{ A x + b + r e : x in the region, |e| <= 1 }, entry by entry."""

    region: Region
    A: Tensor  # (n, B, *shape): the coefficients of the n inputs
    b: Tensor  # (B, *shape)
    r: Tensor  # (B, *shape), >= 0


@dataclass(frozen=True)
class AF1(Domain[Form]):
    """{ A x + b + r e : x in the region, |e| <= 1 }: the inputs keep their symbols, all later noise shares an interval.

    Messine, "Extensions of affine arithmetic" (2002), with the region in place of the input's symbols.
    """

    traits = Traits(relational=True)

    def lift(self, region: Region) -> Form:
        x = region.centre
        units = torch.eye(x[0].numel()).to(x).view(-1, 1, *x.shape[1:])
        return Form(region, units.expand(-1, len(x), *x.shape[1:]), torch.zeros_like(x), torch.zeros_like(x))

    def affine(self, op: Affine, *args: Form) -> Form:
        A = torch.vmap(partial(op.linear, op.weight))(*(e.A for e in args))
        return Form(args[0].region, A, op(*(e.b for e in args)), op.modulus(*(e.r for e in args)))

    def relax(self, op: Nonlinear, args: tuple[Form, ...], boxes: tuple[Bounds, ...] | None) -> Form:
        boxes = self.boxes(op, args) if boxes is None else boxes
        slopes = op.chord(boxes)
        band = op.band(slopes, boxes)
        line = op.linearised(slopes)
        A = torch.vmap(line)(*(e.A for e in args))
        b = line(*(e.b for e in args)) + band.centre
        r = line.modulus(*(e.r for e in args)) + band.radius
        return Form(args[0].region, A, b, r)

    def bounds(self, e: Form, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        coefficients = e.A.reshape(*e.A.shape[:2], -1).permute(2, 1, 0)  # (K, B, n): one functional for each entry
        rows = Rows.of(coefficients.unflatten(-1, e.region.centre.shape[1:]))
        lower, upper = e.region.minimum(rows).t(), -e.region.minimum(rows.negated()).t()
        return Bounds(lower.reshape(e.b.shape) + e.b - e.r, upper.reshape(e.b.shape) + e.b + e.r)
