"""min of <c, x> over the part of a ball that lies in a half-space, by its one multiplier."""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor

from absdomain.linear import Rows
from absdomain.linear.axes import flat, spread
from absdomain.region import L2, BoxRegion, Region

_STEPS = 100  # of a bisection, and of the doubling before it


@singledispatch
def multipliers(ball: Region, c: Tensor, q: Tensor, need: Tensor) -> Tensor:
    """eta >= 0 that maximises eta need + min over the ball of <c - eta q, x>, (K, B); c (K, N or 1, *shape), need (B,).

    By bisection of the derivative; what it ends between is told apart by value.
    """

    def rising(eta: Tensor) -> Tensor:
        return need > inner(q, ball.argmin(c - spread(eta, q.dim() - 1) * q))

    def value(eta: Tensor) -> Tensor:
        return eta * need + ball.minimum(Rows.of(c - spread(eta, q.dim() - 1) * q))

    low = q.new_zeros(len(c), len(q))
    high = rising(low).to(q)
    for _ in range(_STEPS):
        up = rising(high)
        if not bool(up.any()):
            break
        high = torch.where(up, 2 * high, high)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if bool(((middle <= low) | (middle >= high)).all()):
            break
        up = rising(middle)
        low, high = torch.where(up, middle, low), torch.where(up, high, middle)
    ends = torch.stack([torch.zeros_like(low), low, high])
    best = torch.stack([value(eta) for eta in ends]).argmax(0, keepdim=True)
    return ends.gather(0, best)[0]


@multipliers.register
def _of_box(ball: BoxRegion, c: Tensor, q: Tensor, need: Tensor) -> Tensor:
    """The breakpoint c_i / q_i at which the derivative, which falls by |q_i| times the width there, reaches 0."""
    box = ball.box()
    lower, upper, c, q = flat(box.lower, 1), flat(box.upper, 1), flat(c, 2), flat(q, 1)
    first = torch.where((c > 0) | ((c == 0) & (q < 0)), lower, upper)  # the point as eta leaves 0
    lack = need - (q * first).sum(-1)
    points = torch.where(((c > 0) & (q > 0)) | ((c < 0) & (q < 0)), c / q, torch.inf)
    falls = torch.where(points.isfinite(), q.abs() * (upper - lower), 0.0)
    ordered, order = points.sort(-1)
    reached = falls.gather(-1, order).cumsum(-1) >= lack.unsqueeze(-1)
    last = points.isfinite().sum(-1) - 1  # a sum just short of the lack is rounding, or infeasible
    index = torch.where(reached.any(-1), reached.int().argmax(-1), last)
    eta = ordered.gather(-1, index.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return torch.where((lack > 0) & (last >= 0), eta, 0.0)


@multipliers.register
def _of_l2(ball: L2, c: Tensor, q: Tensor, need: Tensor) -> Tensor:
    """The root of need - <q, centre> = |q|^2 (eta - a) / |c - eta q|, where a q is the part of c along q."""
    rise = need - inner(q, ball.centre)
    c, q = flat(c * ball.reach, 2), flat(q * ball.reach, 1)
    size = torch.linalg.vector_norm(q, dim=-1)
    divisor = torch.where(size > 0, size, 1.0)
    along = (c * q).sum(-1) / divisor.square()
    across = torch.linalg.vector_norm(c - along.unsqueeze(-1) * q, dim=-1)
    limit = 1 - 8 * torch.finfo(q.dtype).eps
    sine = torch.where(size > 0, rise / divisor, -1.0).clamp(-limit, limit)
    eta = along + across * sine / (1 - sine.square()).sqrt() / divisor
    return torch.where(sine > -limit, eta.clamp(min=0), 0.0)  # where it always falls, and where q = 0


def optimum(ball: Region, c: Tensor, q: Tensor, need: Tensor, eta: Tensor) -> Tensor:
    """The x of the ball with <q, x> = need at which <c, x> is least; eta > 0 the best multiplier, (K, B, *shape).

    At a breakpoint <c - eta q, x> is least at many points: it is that mixture of those on either side. Where eta = 0,
    an x at which <c, x> is least, and of many one with <q, x> >= need.
    """
    step = 8 * torch.finfo(q.dtype).eps
    size = flat(q, 1).abs().amax(-1)
    scale = flat(c, 2).abs().amax(-1) / torch.where(size > 0, size, 1.0)
    beyond = torch.where(scale > 0, step * scale, 1.0)  # what is small where eta = 0; any number for c = 0
    ends = eta * (1 - step), eta * (1 + step) + beyond
    before, after = (ball.argmin(c - spread(end, q.dim() - 1) * q) for end in ends)
    lack, rise = need - inner(q, before), inner(q, after - before)
    share = torch.where(rise > 0, lack / torch.where(rise > 0, rise, 1.0), 0.0).clamp(0.0, 1.0)
    return before + spread(share, q.dim() - 1) * (after - before)


def inner(a: Tensor, b: Tensor, axes: int | None = None) -> Tensor:
    """<a, b> over the last axes, by default all of a's but the batch."""
    product = a * b
    return flat(product, product.dim() - (a.dim() - 1 if axes is None else axes)).sum(-1)
