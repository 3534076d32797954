"""Activation functions with numbers of their own, as both front ends lower them."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol, TypeVar

import torch

from absdomain import ops
from absdomain.kinds import Op

A = TypeVar("A")


class Applying(Protocol[A]):
    """A call that is being lowered: it applies ops to activations, or refuses itself."""

    def apply(self, op: Op, *args: A) -> A:
        """The activation of this op."""

    def unsupported(self, what: str, remedy: str) -> NoReturn:
        """Raises UnsupportedOp."""


def elu(call: Applying[A], x: A, alpha: float, scale: float) -> A:
    """scale x where x > 0, scale alpha (exp(x) - 1) elsewhere."""
    if not (alpha > 0 and scale > 0):
        call.unsupported(f"has alpha {alpha} and scale {scale}", "use positive ones")
    return call.apply(ops.ELU(float(alpha), float(scale)), x)


def celu(call: Applying[A], x: A, alpha: float) -> A:
    """alpha elu(x / alpha)."""
    if not alpha > 0:
        call.unsupported(f"has alpha {alpha}", "use a positive one")
    return affine(call, call.apply(ops.ELU(), affine(call, x, 1 / alpha)), alpha)


def gelu(call: Applying[A], x: A, approximate: str) -> A:
    """x Phi(x), or its approximation by tanh."""
    return call.apply(ops.GELUTanh() if approximate == "tanh" else ops.GELU(), x)


def clamp(call: Applying[A], x: A, low: float, high: float) -> A:
    """min(max(x, low), high), which is `high` for all x where low >= high."""
    if low >= high and abs(high) < torch.inf:
        return affine(call, x, 0.0, high)
    if not low < high:
        call.unsupported(f"clamps to [{low}, {high}]", "give it ends that are numbers")
    return call.apply(ops.ReLU() if (low, high) == (0, torch.inf) else ops.Clamp(low, high), x)


def affine(call: Applying[A], x: A, w: float, b: float | None = None) -> A:
    """w x + b."""
    numbers: list[Any] = [None if v is None else torch.tensor(float(v), dtype=torch.float64) for v in (w, b)]
    return call.apply(ops.Scale(*numbers), x)
