"""The sign split of a relaxation, where back-substitution spends its elementwise time: fewest passes over memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class SignSplit(torch.autograd.Function):
    """(c, a, s) -> a c+ + s c-, with c (K, N or 1, *shape) and slopes a (below), s (above) (B, *shape).

    The derivative is written by hand: autograd would keep c+ and c- and pass over them once more each.
    """

    @staticmethod
    def forward(ctx: Any, c: Tensor, a: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """The split rows (K, B, *shape) and c-, which the intercept is paid on."""
        negative = c.clamp(max=0)
        gap = s - a
        split = c * a
        split = split.addcmul_(negative, gap) if split.shape == c.shape else split + negative * gap
        ctx.save_for_backward(a, gap, negative, c)
        return split, negative

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_negative: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        a, gap, negative, c = ctx.saved_tensors
        needs_c, needs_a, needs_s = ctx.needs_input_grad
        at_s = grad_a = grad_s = grad_c = None
        if needs_a or needs_s:
            at_s = (grad * negative).sum(0)
            grad_s = at_s.sum_to_size(gap.shape)
        if needs_a:
            assert at_s is not None
            grad_a = ((grad * c).sum(0) - at_s).sum_to_size(a.shape)
        if needs_c:
            through = torch.addcmul(grad_negative, grad, gap).mul_(negative < 0)
            grad_c = through.addcmul_(grad, a).sum_to_size(c.shape)
        return grad_c, grad_a, grad_s
