"""x -> <s, x> for slopes s of a nonlinear operation: the affine operations of which relaxations are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from absdomain.kinds.affine import Affine
from absdomain.kinds.op import Shape
from absdomain.kinds.scaling import Scaling
from absdomain.linear import Bounds, Rows
from absdomain.linear.bounds import Endless


class Linearised(Affine):
    """A linear map for each sample; its weight are the slopes of one argument, (B, *argument shape).

    Law: `linear` and `transpose` broadcast over axes that stand before those of the argument and of the output, so
    that K rows of each of B samples may have slopes of their own, (K, B, *argument shape).
    """

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        """A(w)^T y, for y (*leading, *output shape) with as many leading axes as w."""
        assert w is not None
        (shape,), axes = shapes, w.dim() - len(shapes[0])
        leading = torch.broadcast_shapes(w.shape[:axes], y.shape[:axes])
        zeros = y.new_zeros(()).expand(*leading, *shape)
        pull: Callable[[Tensor], tuple[Tensor, ...]] = torch.func.vjp(lambda x: self.linear(w, x), zeros)[1]
        return pull(y.expand(*leading, *y.shape[axes:]))

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        assert self.weight is not None
        rows = rows.dense()
        pulled = self.transpose(rows.seen(self.weight).unsqueeze(0), rows.data, *shapes)
        return tuple(rows.with_data(part) for part in pulled)

    def split(
        self, above: Self, rows: Rows, low: Tensor | None, high: Tensor | None, *shapes: Shape
    ) -> tuple[tuple[Rows, ...], Tensor]:
        """x -> <c+, A x> + <c-, A' x> with A' that of `above`, and <c+, low> + <c-, high>, (K, N); None: 0."""
        rows = rows.dense()
        data = rows.data
        positive = rows.with_data(data.relu())
        negative = rows.with_data(data - positive.data)
        pairs = zip(self.adjoint(positive, *shapes), above.adjoint(negative, *shapes), strict=True)
        const = torch.zeros((), dtype=data.dtype, device=data.device)
        for part, level in ((positive, low), (negative, high)):
            const = const if level is None else const + part.dot(level)
        return tuple(one + other for one, other in pairs), const


@dataclass(frozen=True, eq=False)
class Diagonal(Scaling, Linearised):
    """x -> s x, entry by entry."""

    weight: Tensor

    def split(
        self, above: Self, rows: Rows, low: Tensor | None, high: Tensor | None, *shapes: Shape
    ) -> tuple[tuple[Rows, ...], Tensor]:
        high = torch.zeros_like(above.weight) if high is None else high
        pulled, const = rows.split(self.weight, above.weight, low, high)
        return (pulled,), const


@dataclass(frozen=True, eq=False)
class Joint(Linearised):
    """(x_1, ..., x_n) -> A_1 x_1 + ... + A_n x_n: one map for each argument, none with a bias."""

    parts: tuple[Affine, ...]
    local = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return _total([part.linear(part.weight, x) for part, x in zip(self.parts, xs, strict=True)])

    def modulus(self, *rs: Tensor) -> Tensor:
        return _total([part.modulus(r) for part, r in zip(self.parts, rs, strict=True)])

    def image(self, *boxes: Bounds) -> Bounds:
        """The sum of the parts' images, since the arguments vary apart."""
        images = [part.image(box) for part, box in zip(self.parts, boxes, strict=True)]
        kind = Bounds if all(b.bounded for b in images) else Endless
        return kind(_total([b.lower for b in images]), _total([b.upper for b in images]))

    def shape(self, *shapes: Shape) -> Shape:
        return self.parts[0].shape(shapes[0])

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        return tuple(part.transpose(part.weight, y, shape)[0] for part, shape in zip(self.parts, shapes, strict=True))

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        return tuple(part.adjoint(rows, shape)[0] for part, shape in zip(self.parts, shapes, strict=True))


def entrywise(slopes: tuple[Tensor, ...]) -> Linearised:
    """(x_1, ..., x_n) -> s_1 x_1 + ... + s_n x_n, entry by entry."""
    parts = tuple(map(Diagonal, slopes))
    return parts[0] if len(parts) == 1 else Joint(parts)


def _total(terms: list[Tensor]) -> Tensor:
    return sum(terms[1:], start=terms[0])
