"""A region for each of several inputs that are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from absdomain.errors import check_type
from absdomain.kinds import Affine
from absdomain.linear import Bounds, Rows
from absdomain.linear.axes import flat
from absdomain.region.base import Draws, Region
from absdomain.region.constraints import Constraints
from absdomain.values import assembled

_BLOCK = 2**21  # coefficients held at once while an op's matrix is written out


@dataclass(frozen=True, eq=False, repr=False)
class CartesianProduct(Region):
    """{ (x_1, ..., x_m) : x_i in part i }, the entries of the parts one after another, flat: (B, n).

    The region of a network of several inputs, in the order of `Graph.inputs`. So it is min <c, x> = sum_i min <c_i,
    x_i>. `order` and `shape` are of images: entry i of the flat region is entry order[i] of the parts, laid out as
    `shape`. Regions of one batch, which need not be of one kind; of boxes `Interval` of the joined ends does the same.
    """

    parts: tuple[Region, ...]
    order: Tensor | None = None
    layout: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for part in self.parts:
            check_type("CartesianProduct", part, Region, "give a region for each input, such as absdomain.Linf(x, eps)")
        batches = {len(part.centre) for part in self.parts}
        if len(batches) != 1:
            raise ValueError(
                f"CartesianProduct: {len(self.parts)} parts of batches {sorted(batches)}; give one region for each "
                "input, all of one batch"
            )

    @property
    def centre(self) -> Tensor:
        """The parts' centres, joined."""
        return self._joined([part.centre for part in self.parts])

    @property
    def whole(self) -> Region:
        """Of the parts' own: itself where none is a part of a larger region."""
        wholes = tuple(part.whole for part in self.parts)
        same = all(whole is part for whole, part in zip(wholes, self.parts, strict=True))
        return self if same else replace(self, parts=wholes)

    def box(self) -> Bounds:
        boxes = [part.box() for part in self.parts]
        return Bounds(self._joined([b.lower for b in boxes]), self._joined([b.upper for b in boxes]))

    def minimum(self, c: Rows) -> Tensor:
        found = [part.minimum(rows) for part, rows in zip(self.parts, self._rows_of(c), strict=True)]
        return torch.stack(found).sum(0)

    def argmin(self, c: Tensor) -> Tensor:
        parts = zip(self.parts, self._parted(c, 2), strict=True)
        found = [part.argmin(one).expand(len(c), len(part.centre), *part.centre.shape[1:]) for part, one in parts]
        return self._joined(found, 2)

    def image(self, op: Affine) -> Region | Bounds:
        """Of a diagonal op, y_j = a_j x_p(j) + b_j: the parts scaled and moved, in another order."""
        if not op.diagonal:
            return self._hull(op)
        like = self.centre[:1]
        places = torch.arange(like.numel(), dtype=torch.float64, device=like.device).view(like.shape)
        ones = None if op.weight is None else torch.ones_like(op.weight, dtype=torch.float64)
        moved = flat(op.linear(ones, places), 1)[0].round().long()
        factor, offset = op.linear(op.weight, torch.ones_like(like)), op(torch.zeros_like(like))
        back = torch.empty_like(moved).scatter_(0, moved, torch.arange(len(moved), device=like.device))
        of_parts = (self._parted(flat(t, 1)[:, back].view(len(t), *like.shape[1:]), 1) for t in (factor, offset))
        parts = tuple(part.image(_Scaled(a, b)) for part, a, b in zip(self.parts, *of_parts, strict=True))
        return assembled(CartesianProduct, parts=parts, order=self._order[moved], layout=tuple(factor.shape[1:]))

    def _hull(self, op: Affine) -> Bounds:
        """The least and the greatest of each entry, a block of rows of the op's matrix at a time."""
        centre = self.centre
        value, shape = op(centre), tuple(centre.shape[1:])
        size = tuple(value.shape[1:])
        index = torch.arange(prod(size), device=centre.device)
        lows, highs = [], []
        for block in index.split(max(1, _BLOCK // centre.numel())):
            (rows,) = op.adjoint(Rows.units(block, size, centre), shape)
            lows.append(self.minimum(rows).t())
            highs.append(-self.minimum(rows.negated()).t())
        offset = op(torch.zeros_like(centre[:1]))
        lower, upper = (torch.cat(ends, 1).view(-1, *size) + offset for ends in (lows, highs))
        return Bounds(lower, upper)

    def constraints(self) -> Constraints:
        """All boxes, and the half-spaces and balls of the parts."""
        found = [part.constraints() for part in self.parts]
        flat_places = torch.argsort(self._order).split(self._sizes)  # where each part's entries are
        balls, rows, ends = [], [], []
        for place, one in zip(flat_places, found, strict=True):
            inner = (place if ball.places is None else place[ball.places] for ball in one.ellipsoids)
            balls += [replace(ball, places=p) for ball, p in zip(one.ellipsoids, inner, strict=True)]
            if one.A is not None and one.b is not None:
                row = one.A.new_zeros(*one.A.shape[:2], sum(self._sizes))
                row[..., place] = one.A
                rows.append(row)
                ends.append(one.b)
        A, b = (torch.cat(rows, 1), torch.cat(ends, 1)) if rows else (None, None)
        return Constraints(self.box(), A, b, tuple(balls))

    def sample(self, n: int, generator: Draws = None) -> Tensor:
        return self._joined([part.sample(n, generator) for part in self.parts], 2)

    def project(self, x: Tensor) -> Tensor:
        lead = x.dim() - len(self.centre.shape[1:])
        return self._joined([p.project(one) for p, one in zip(self.parts, self._parted(x, lead), strict=True)], lead)

    @property
    def _sizes(self) -> list[int]:
        return [prod(part.centre.shape[1:]) for part in self.parts]

    @property
    def _order(self) -> Tensor:
        """Which entry of the parts each entry of the region is."""
        return torch.arange(sum(self._sizes), device=self.parts[0].centre.device) if self.order is None else self.order

    def _joined(self, values: Sequence[Tensor], lead: int = 1) -> Tensor:
        """Tensors of the parts' shapes as one of the region's, after so many axes."""
        joined = torch.cat([v.reshape(*v.shape[:lead], -1) for v in values], -1)
        moved = joined if self.order is None else joined[..., self.order]
        return moved if self.layout is None else moved.reshape(*moved.shape[:lead], *self.layout)

    def _parted(self, value: Tensor, lead: int) -> list[Tensor]:
        """A tensor of the region's shape, after so many axes, as one for each part."""
        joined = value.reshape(*value.shape[:lead], -1)
        if self.order is not None:
            joined = joined[..., torch.argsort(self.order)]
        pieces = joined.split(self._sizes, -1)
        return [v.reshape(*v.shape[:-1], *p.centre.shape[1:]) for v, p in zip(pieces, self.parts, strict=True)]

    def _rows_of(self, c: Rows) -> list[Rows]:
        """The functionals of each part, in the same columns."""
        dense = c.dense()
        return [dense.with_data(data) for data in self._parted(dense.data, 2)]


@dataclass(frozen=True, eq=False)
class _Scaled(Affine):
    """x -> w x + b, entry by entry; (B or 1, *shape) each."""

    weight: Tensor
    bias: Tensor
    diagonal = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0] if w is None else w * xs[0]
