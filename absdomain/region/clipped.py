"""Balls of the norms 1 and 2 that are cut to a range, as images are to [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from absdomain.errors import check_type
from absdomain.kinds import Affine
from absdomain.linear import Bounds, Rows
from absdomain.region.balls import Ball
from absdomain.region.base import Draws, Region
from absdomain.region.constraints import Constraints
from absdomain.values import assembled

_BLOCK = 2**19  # coefficients held at once while an op's matrix is written out; they are sorted


@dataclass(frozen=True, eq=False, repr=False)
class Clipped(Region):
    """{ x in ball : lower <= x <= upper } around a centre that lies in the range; both ends broadcast to it.

    With r the ball's radii, a_i = |c_i| r_i, and m_i <= 1 how far the range lets axis i go against c, in units of r_i,

        minimum(c) = <c, centre> + max over t >= 0 of
            p = 1:  - sum_i m_i max(a_i - t, 0) - t
            p = 2:  sum_i (t s_i^2 / 2 - a_i s_i) - t / 2,  s_i = min(a_i / t, m_i)

    By weak duality each t gives a bound. The best one is where the s_i, for p = 1 the m_i of the largest a_i, fill the
    unit ball: it is found among sorted breakpoints. Differentiable in c, the centre and the radius.
    """

    ball: Ball
    lower: Tensor  # (B or 1, *shape)
    upper: Tensor

    def __post_init__(self) -> None:
        remedy = "give L1(centre, radius) or L2(centre, radius); Linf has a clip of its own"
        check_type("Clipped", self.ball, Ball, remedy)
        for end in (self.lower, self.upper):
            check_type("Clipped", end, Tensor, "give both ends as tensors that broadcast to the centre")
        inside = (self.lower <= self.centre) & (self.centre <= self.upper)
        if inside.shape != self.centre.shape:
            raise ValueError(f"Clipped: ends {tuple(self.lower.shape)} do not broadcast to {tuple(self.centre.shape)}")
        if not torch.compiler.is_compiling() and not bool(inside.all()):
            where = tuple((~inside).nonzero()[0].tolist())
            told = f"Clipped: the centre is {self.centre[where].item():g} at index {list(where)}"
            raise ValueError(f"{told}, outside the range; give a centre inside, or a wider range")

    @property
    def centre(self) -> Tensor:
        """The ball's centre."""
        return self.ball.centre

    @property
    def span(self) -> Bounds:
        """The ends, (B, *shape)."""
        return Bounds(self.lower.expand_as(self.centre), self.upper.expand_as(self.centre))

    def box(self) -> Bounds:
        return self.ball.box().meet(self.span)

    def minimum(self, c: Rows) -> Tensor:
        steep, room = self._against(c.data)
        dual = _DUALS[self.ball.order]
        with torch.no_grad():
            t = dual.best(steep, room)
            own = 2 * (steep.shape[-1] + 8) * torch.finfo(t.dtype).eps * ((steep * room).sum(-1) + t)
        return c.dot(self.centre) + dual.value(steep, room, t) - own  # less what these sums may be off by

    def argmin(self, c: Tensor) -> Tensor:
        steep, room = self._against(c)
        dual = _DUALS[self.ball.order]
        shares = dual.point(steep, room, dual.best(steep, room))
        moved = shares.view(*shares.shape[:2], *c.shape[2:]) * self.ball.reach
        return self.project(self.centre - c.sign() * moved)

    def _against(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """(a, m), (K, B, n) each; c (K, B or 1, *shape)."""
        reach = self.ball.reach
        steep = c.abs() * reach
        free = torch.where(c > 0, self.centre - self.lower, self.upper - self.centre)
        room = torch.where(reach > 0, free / torch.where(reach > 0, reach, 1.0), 0.0).clamp(0, 1)
        return torch.broadcast_tensors(steep.flatten(2), room.flatten(2))

    def image(self, op: Affine) -> Region | Bounds:
        if op.diagonal:
            ends = op.image(self.span)
            return assembled(Clipped, ball=self.ball.image(op), lower=ends.lower, upper=ends.upper)
        centre = op(self.centre)
        shape, inputs = tuple(centre.shape[1:]), tuple(self.centre.shape[1:])
        low, high = [], []
        for block in torch.arange(prod(shape), device=centre.device).split(max(1, _BLOCK // self.centre.numel())):
            rows, constant = op.pull(Rows.units(block, shape, centre), inputs)
            offset = 0.0 if constant is None else constant
            low.append((self.minimum(rows[0]) + offset).t())
            high.append((offset - self.minimum(rows[0].negated())).t())
        return Bounds(torch.cat(low, 1).view(-1, *shape), torch.cat(high, 1).view(-1, *shape))

    def constraints(self) -> Constraints:
        return Constraints(box=self.span, ellipsoids=self.ball.constraints().ellipsoids)

    def sample(self, n: int, generator: Draws = None) -> Tensor:
        return self.project(self.ball.sample(n, generator))

    def project(self, x: Tensor) -> Tensor:
        """Into the ball, then into the range, which moves every entry towards the centre."""
        return self.ball.project(x).clamp(self.lower, self.upper)


class _Dual(NamedTuple):
    """The dual of min of -<a, s> over 0 <= s <= m in the unit ball; a and m (K, B, n), all others (K, B)."""

    best: Callable[[Tensor, Tensor], Tensor]  # a, m -> the best multiplier t >= 0
    value: Callable[[Tensor, Tensor, Tensor], Tensor]  # a, m, t >= 0 -> a bound
    point: Callable[[Tensor, Tensor, Tensor], Tensor]  # a, m, the best t -> s at which it is attained, (K, B, n)


def _filled(a: Tensor, m: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(a in falling order, where each stood, the sums of their m so far)."""
    ordered, order = a.sort(-1, descending=True)
    return ordered, order, m.gather(-1, order).cumsum(-1)


def _best_sum(a: Tensor, m: Tensor) -> Tensor:
    """The a_i at which the m of the larger ones fill 1; 0 where all of them do not."""
    ordered, _, filled = _filled(a, m)
    full = filled >= 1
    first = ordered.gather(-1, full.int().argmax(-1, keepdim=True)).squeeze(-1)
    return torch.where(full.any(-1), first, 0.0)


def _value_sum(a: Tensor, m: Tensor, t: Tensor) -> Tensor:
    return -(m * (a - t.unsqueeze(-1)).clamp(min=0)).sum(-1) - t


def _attained_sum(a: Tensor, m: Tensor, t: Tensor) -> Tensor:
    """`_value_sum`, with the gradient in a of -<a, s> at the best s: t is one of the a, at a kink of the dual."""
    held = a.detach()
    value = _value_sum(held, m, t)
    if not a.requires_grad:
        return value
    with torch.no_grad():
        s = _point_sum(held, m, t)
    return value - ((a - held) * s).sum(-1)


def _point_sum(a: Tensor, m: Tensor, t: Tensor) -> Tensor:
    _, order, filled = _filled(a, m)
    own = m.gather(-1, order)
    return torch.empty_like(m).scatter_(-1, order, torch.minimum((1 - (filled - own)).clamp(min=0), own))


def _best_square(a: Tensor, m: Tensor) -> Tensor:
    """t with sum_i min(a_i / t, m_i)^2 = 1; 0 where the m_i lie in the ball.

    Axis i is at its end m_i up to t = a_i / m_i. With the k axes of the largest such ends there, and the others free,
    t^2 = sum of the free a_i^2 / (1 - sum of the m_i^2).
    """
    ends = torch.where(m > 0, a / torch.where(m > 0, m, 1.0), torch.inf)
    ends, order = ends.sort(-1, descending=True)
    free, held = a.gather(-1, order).square(), m.gather(-1, order).square().cumsum(-1)
    rest = free.sum(-1, keepdim=True) - free.cumsum(-1)
    fits = held + rest.clamp(min=0) / ends.square() < 1  # at t = the end: these axes and all before are at theirs
    count = fits.sum(-1, keepdim=True)
    taken = torch.where(count > 0, held.gather(-1, (count - 1).clamp(min=0)), 0.0)
    left = torch.where(torch.arange(a.shape[-1], device=a.device) >= count, free, 0.0).sum(-1, keepdim=True)
    t = (left / (1 - taken).clamp(min=torch.finfo(a.dtype).tiny)).sqrt().squeeze(-1)
    inside = m.masked_fill(a == 0, 0.0).square().sum(-1) <= 1
    return torch.where(inside, 0.0, t)


def _value_square(a: Tensor, m: Tensor, t: Tensor) -> Tensor:
    s = _point_square(a, m, t)
    t = t.unsqueeze(-1)
    return (t * s.square() / 2 - a * s).sum(-1) - t.squeeze(-1) / 2


def _point_square(a: Tensor, m: Tensor, t: Tensor) -> Tensor:
    t = t.unsqueeze(-1)
    ends = a >= t * m
    return torch.where(ends, m, a / torch.where(ends, 1.0, t)).masked_fill(a == 0, 0.0)


_DUALS = {1: _Dual(_best_sum, _attained_sum, _point_sum), 2: _Dual(_best_square, _value_square, _point_square)}
