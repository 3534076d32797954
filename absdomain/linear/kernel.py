"""Back-substitution's passes over the coefficients, each with its derivative by hand: they are bound by memory.

Autograd would keep both signs of the coefficients and pass over each once more; these keep one. Signs are taken by
relu and its derivative: on CPU `where` and `masked_fill` were measured 60 times slower than a product. Forward, each
sign meets its own numbers alone: of a small slope beside a large one, a sum with their difference would leave nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from absdomain.linear.axes import flat, spread

_CACHED = 2**18  # products held at once


class SignSplit(torch.autograd.Function):
    """(c, a, s, b, t) -> (a c+ + s c-, <c+, b> + <c-, t>), with c (K, N or 1, *shape) and a, s, b, t (B, *shape).

    One relaxation: the slopes a below and s above, the intercepts b below (None: zero) and t above.
    """

    @staticmethod
    def forward(ctx: Any, c: Tensor, a: Tensor, s: Tensor, b: Tensor | None, t: Tensor) -> tuple[Tensor, Tensor]:
        """The rows (K, B, *shape) and the constants (K, B)."""
        plus, minus = _parts(c)
        ctx.save_for_backward(a, s, b, t, minus, c)
        least = _least(plus, minus, b, t)
        split = plus.mul_(a) if plus.shape[1] >= a.shape[0] else plus * a
        return split.addcmul_(minus, s, value=-1), least

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_const: Tensor) -> tuple[Tensor | None, ...]:
        a, s, b, t, minus, c = ctx.saved_tensors
        needs_c, needs_a, needs_s, needs_b, needs_t = ctx.needs_input_grad
        weights = spread(grad_const, grad.dim() - 2)
        grad_c = grad_a = grad_s = grad_b = grad_t = None
        if needs_a or needs_s:
            grad_s = _summed(grad, minus).neg_()
        if needs_a and grad_s is not None:
            grad_a = (_summed(grad, c) - grad_s).sum_to_size(a.shape)
        if needs_c:  # d/dc of minus is -1 where c < 0
            gap = t if b is None else t - b
            through = torch.addcmul(weights * gap, grad, a - s, value=-1)
            grad_c = torch.ops.aten.threshold_backward(through, minus, 0.0).addcmul_(grad, a)
            grad_c = (grad_c if b is None else grad_c.addcmul_(weights, b)).sum_to_size(c.shape)
        if needs_b or needs_t:
            grad_t = _weighted(grad_const, minus).neg_()
        if needs_b and b is not None and grad_t is not None:
            grad_b = (_weighted(grad_const, c) - grad_t).sum_to_size(b.shape)
        grad_t = grad_t.sum_to_size(t.shape) if needs_t and grad_t is not None else None
        return grad_c, grad_a, None if grad_s is None else grad_s.sum_to_size(s.shape), grad_b, grad_t


class BoxMinimum(torch.autograd.Function):
    """(c, l, u) -> <c+, l> + <c-, u>: the minimum of <c_k, x> over a box; c (K, N or 1, *shape), l, u (B, *shape)."""

    @staticmethod
    def forward(ctx: Any, c: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        """The minima (K, B)."""
        plus, minus = _parts(c)
        ctx.save_for_backward(c, minus, lower, upper)
        return _least(plus, minus, lower, upper)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        c, minus, lower, upper = ctx.saved_tensors
        needs_c, needs_lower, needs_upper = ctx.needs_input_grad
        weights = spread(grad, c.dim() - 2)
        grad_c = grad_lower = grad_upper = None
        if needs_c:
            grad_c = (torch.addcmul(lower, minus.sign(), upper - lower) * weights).sum_to_size(c.shape)
        if needs_upper or needs_lower:
            grad_upper = _weighted(grad, minus).neg_()
        if needs_lower and grad_upper is not None:
            grad_lower = (_weighted(grad, c) - grad_upper).sum_to_size(lower.shape)
        return grad_c, grad_lower, None if grad_upper is None else grad_upper.sum_to_size(upper.shape)


class BoxMinima(torch.autograd.Function):
    """(c, l, u) -> the minima of <c_k, x> and of <-c_k, x> over a box, for little more than one; l None: 0."""

    @staticmethod
    def forward(ctx: Any, c: Tensor, lower: Tensor | None, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Two times the minima (K, B)."""
        plus, minus = _parts(c)
        ctx.save_for_backward(c, minus, lower, upper)
        return _least(plus, minus, lower, upper), _least(minus, plus, lower, upper)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, low: Tensor, high: Tensor) -> tuple[Tensor | None, ...]:
        c, minus, lower, upper = ctx.saved_tensors
        needs_c, needs_lower, needs_upper = ctx.needs_input_grad
        grad_c = grad_lower = grad_upper = None
        if needs_c:  # low l - high u where c > 0, low u - high l where c < 0
            below = torch.zeros_like(upper) if lower is None else lower
            one, other = (spread(weights, c.dim() - 2) for weights in (low, high))
            grad_c = torch.addcmul(one * below - other * upper, minus.sign(), (one + other) * (upper - below))
            grad_c = grad_c.sum_to_size(c.shape)
        if needs_lower or needs_upper:
            through = _weighted(low + high, minus)
            grad_upper = (_weighted(high, c) + through).neg_().sum_to_size(upper.shape)
        if needs_lower:
            grad_lower = (_weighted(low, c) + through).sum_to_size(lower.shape)
        return grad_c, grad_lower, grad_upper


def _parts(c: Tensor) -> tuple[Tensor, Tensor]:
    """(c+, -c-), exactly."""
    minus = c.neg().relu_()
    return c + minus, minus


def _least(plus: Tensor, minus: Tensor, lower: Tensor | None, upper: Tensor) -> Tensor:
    """<plus, lower> - <minus, upper>, (K, B); no lower: 0."""
    above = pair(minus, upper)
    return -above if lower is None else pair(plus, lower) - above


def pair(c: Tensor, v: Tensor) -> Tensor:
    """<c_k, v> per sample: c (K, N or 1, *shape), v (B or 1, *shape) -> (K, max(N, B))."""
    rows, wide = flat(c, 2), flat(v, 1)
    if rows.shape[1] == 1:
        return rows.squeeze(1) @ wide.t()
    if wide.shape[0] == 1:
        return rows @ wide.squeeze(0)
    parts = rows.split(max(1, _CACHED // max(1, wide.numel())))
    return torch.cat([(part * wide).sum(-1) for part in parts])  # several times as fast as bmm with one column


def _summed(a: Tensor, b: Tensor) -> Tensor:
    """sum_k a_k b_k, (B, *shape), without the products in memory; a (K, B, *shape), b (K, N or 1, *shape)."""
    total = a[0] * b[0]
    for one, other in zip(a[1:], b[1:], strict=True):
        total.addcmul_(one, other)
    return total


def _weighted(scalars: Tensor, c: Tensor) -> Tensor:
    """sum_k scalars_k c_k, (B, *shape); scalars (K, B), c (K, N or 1, *shape)."""
    rows = flat(c, 2).transpose(0, 1).expand(scalars.shape[1], -1, -1)  # (B, K, n)
    return torch.bmm(scalars.t().unsqueeze(1), rows).view(-1, *c.shape[2:])
