"""Back-substitution's passes over the coefficients, each with its derivative by hand: they are bound by memory.

Autograd would keep both signs of the coefficients and pass over each once more; these keep one. Signs are taken by
relu and its derivative: on CPU `where` and `masked_fill` were measured 60 times slower than a product.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from absdomain._axes import flat, spread

_CACHED = 2**18  # products held at once


class SignSplit(torch.autograd.Function):
    """(c, a, s, t) -> (a c+ + s c-, <c-, t>), with c (K, N or 1, *shape) and a, s, t (B, *shape).

    The slopes a below, s above, and the intercept t above: one relaxation whose lower line passes through the origin.
    """

    @staticmethod
    def forward(ctx: Any, c: Tensor, a: Tensor, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The rows (K, B, *shape) and the constants (K, B)."""
        minus = c.neg().relu_()  # c- = -minus
        gap = a - s
        split = (c * a).addcmul_(minus, gap)
        ctx.save_for_backward(a, gap, t, minus, c)
        return split, -pair(minus, t)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_const: Tensor) -> tuple[Tensor | None, ...]:
        a, gap, t, minus, c = ctx.saved_tensors
        needs_c, needs_a, needs_s, needs_t = ctx.needs_input_grad
        weights = spread(grad_const, grad.dim() - 2)
        grad_c = grad_a = grad_s = None
        if needs_a or needs_s:
            grad_s = _summed(grad, minus).neg_()
        if needs_a and grad_s is not None:
            grad_a = (_summed(grad, c) - grad_s).sum_to_size(a.shape)
        if needs_c:  # d/dc of minus is -1 where c < 0
            through = torch.ops.aten.threshold_backward(torch.addcmul(weights * t, grad, gap, value=-1), minus, 0.0)
            grad_c = through.addcmul_(grad, a).sum_to_size(c.shape)
        grad_t = _weighted(grad_const, minus).neg_().sum_to_size(t.shape) if needs_t else None
        return grad_c, grad_a, None if grad_s is None else grad_s.sum_to_size(gap.shape), grad_t


class BoxMinimum(torch.autograd.Function):
    """(c, l, u) -> <c+, l> + <c-, u>: the minimum of <c_k, x> over a box; c (K, N or 1, *shape), l, u (B, *shape)."""

    @staticmethod
    def forward(ctx: Any, c: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        """The minima (K, B)."""
        minus = c.neg().relu_()
        ctx.save_for_backward(c, minus, lower, upper)
        return pair(c, lower) - pair(minus, upper - lower)

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
