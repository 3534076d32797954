"""Functions of several ops, for whichever table asks for them."""

from __future__ import annotations

from math import prod
from typing import Protocol, TypeVar

import torch

from absdomain import ops
from absdomain.kinds import Op, Shape

A = TypeVar("A")


class Adder(Protocol[A]):
    """What adds ops to a graph: a call of a program, or a node of a file."""

    def apply(self, op: Op, *xs: A) -> A:
        """Adds a node for op(xs)."""

    def shape_of(self, x: A) -> Shape:
        """The shape of a node's activation, without the batch."""


def standardised(call: Adder[A], x: A, axes: tuple[int, ...], eps: float) -> A:
    """(x - mean) / sqrt(variance + eps) over these axes, which count the batch and leave it out.

    The variance is at least 0, whatever its bounds say.
    """
    shape = call.shape_of(x)
    spread = torch.arange(prod(s for i, s in enumerate(shape) if i + 1 not in axes)).view(
        [1 if i + 1 in axes else s for i, s in enumerate(shape)]
    )
    index = spread.expand(shape).contiguous()
    mean = call.apply(ops.Gather(index), call.apply(ops.Mean(axes, True), x))
    centred = call.apply(ops.Add(), x, call.apply(ops.Scale(torch.tensor(-1.0, dtype=torch.float64), None), mean))
    variance = call.apply(ops.Mean(axes, True), call.apply(ops.Square(), centred))
    raised = call.apply(ops.Scale(None, torch.tensor(eps, dtype=torch.float64)), variance)
    inverse = call.apply(ops.Pow(-0.5, floor=eps if eps > 0 else None), raised)
    return call.apply(ops.Product(), centred, call.apply(ops.Gather(index), inverse))
