"""What every operation is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from absdomain.values import mapped

Shape = tuple[int, ...]


class Op(ABC):
    """f : R^n x ... -> R^m on batched tensors; a frozen value whose identity is its key."""

    lemma: ClassVar[str] = ""  # the name of its lemma in proofs/
    shifts: ClassVar[bool] = False  # of equal arguments x it is x plus one number for all entries of the last axis

    @abstractmethod
    def __call__(self, *xs: Tensor) -> Tensor:
        """f(xs), batched: (B, *shape) each."""

    def shape(self, *shapes: Shape) -> Shape:
        """The output's shape without the batch, from those of the arguments."""
        return tuple(self(*metas(shapes)).shape[1:])

    def followed_by(self, C: Tensor, d: Tensor) -> Op | None:
        """x -> C f(x) + d as one op, or None where that takes two; C (..., K, n), d (..., K)."""
        return None

    def scaled(self, w: Tensor, b: Tensor) -> Op | None:
        """x -> w f(x) + b as one op, or None where that takes two; w and b broadcast to f's output."""
        return None

    def after(self, previous: Op) -> Op | None:
        """x -> self(previous(x)) as one op, or None where that takes two."""
        return None

    def freeze(self) -> Op:
        """The same function of its own detached copies of the tensors it reads."""
        return mapped(self, lambda t: t.detach().clone())


def common(op: Op, shapes: tuple[Shape, ...]) -> Shape:
    """The one shape of all arguments; ValueError where they have several, which torch would broadcast."""
    if any(shape != shapes[0] for shape in shapes):
        given = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(f"{type(op).__name__}: arguments of one shape are needed, got {given}")
    return shapes[0]


def wide(shape: Shape) -> Shape:
    """The axes of more than one entry, in order: what names an entry."""
    return tuple(n for n in shape if n != 1)


def metas(shapes: tuple[Shape, ...], like: Tensor | None = None) -> list[Tensor]:
    """Arguments of these shapes without values, of the dtype of `like`: to ask an op for its output's shape."""
    dtype = torch.get_default_dtype() if like is None else like.dtype
    return [torch.empty(1, *shape, dtype=dtype, device="meta") for shape in shapes]
