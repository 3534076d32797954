"""Functions of several ops, for whichever table asks for them."""

from __future__ import annotations

from math import prod
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from absdomain import ops
from absdomain.kinds import Op, Shape

A = TypeVar("A")


class Adder(Protocol[A]):
    """What adds ops to a graph: a call of a program, or a node of a file."""

    def apply(self, op: Op, *xs: A) -> A:
        """Adds a node for op(xs)."""

    def shape_of(self, x: A) -> Shape:
        """The shape of a node's activation, without the batch."""


def centred(call: Adder[A], x: A, axes: tuple[int, ...]) -> A:
    """x less its mean over these axes, which count the batch and leave it out."""
    mean = call.apply(ops.Gather(_spread(call.shape_of(x), axes)), call.apply(ops.Mean(axes, True), x))
    return call.apply(ops.Add(), x, call.apply(ops.Scale(torch.tensor(-1.0, dtype=torch.float64), None), mean))


def divided_by_root(call: Adder[A], x: A, axes: tuple[int, ...], eps: float) -> A:
    """x / sqrt(mean of x^2 over these axes + eps); that mean is at least 0, whatever its bounds say."""
    square = call.apply(ops.Mean(axes, True), call.apply(ops.Square(), x))
    raised = call.apply(ops.Scale(None, torch.tensor(eps, dtype=torch.float64)), square)
    inverse = call.apply(ops.Pow(-0.5, floor=eps if eps > 0 else None), raised)
    return call.apply(ops.Product(), x, call.apply(ops.Gather(_spread(call.shape_of(x), axes)), inverse))


def standardised(call: Adder[A], x: A, axes: tuple[int, ...], eps: float) -> A:
    """(x - mean) / sqrt(variance + eps) over these axes, which count the batch and leave it out."""
    return divided_by_root(call, centred(call, x, axes), axes, eps)


def _spread(shape: Shape, axes: tuple[int, ...]) -> Tensor:
    """Where each entry of the shape is in an activation whose sizes along these axes are 1."""
    kept = [1 if i + 1 in axes else s for i, s in enumerate(shape)]
    return torch.arange(prod(kept)).view(kept).expand(shape).contiguous()
