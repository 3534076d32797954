"""Affine operations: one linear map, from which action, modulus and adjoint follow."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from absdomain.kinds.op import Op, Shape, metas
from absdomain.linear import Bounds, Rows
from absdomain.linear.bounds import Endless

COMPUTED = 4  # roundings of a weight that is made of stored ones, or stored in a finer type


class Affine(Op):
    """f(xs) = A xs + b, given by `linear`: linear in w, jointly linear in xs, and monotone in xs where w >= 0.

    A frozen dataclass. Laws: `linear(w, .)` sums no two weights into one entry of A, so that |A| = linear(|w|, .);
    without a weight, A >= 0. The caller of `modulus` may overwrite what it returns.
    """

    weight: Tensor | None = None
    bias: Tensor | None = None
    diagonal: ClassVar[bool] = False  # A is a signed and scaled permutation: the image of a ball is a ball
    local: ClassVar[bool] = False  # adjoint keeps rows on windows where it can, so that they are worth starting with
    lemma = "affine"

    @abstractmethod
    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        """A(w) xs; the only thing to write."""

    @property
    def offset(self) -> Tensor | None:
        """b, broadcastable to (B, *output shape)."""
        return self.bias

    @property
    def offset_size(self) -> Tensor | None:
        """What the rounding of b is relative to: |b|, or the absolute values of the terms of which b is a sum."""
        offset = self.offset
        return None if offset is None else offset.abs()

    def __call__(self, *xs: Tensor) -> Tensor:
        y = self.linear(self.weight, *xs)
        offset = self.offset
        return y if offset is None else y + offset

    def shape(self, *shapes: Shape) -> Shape:
        weight = None if self.weight is None else self.weight.to("meta")
        return tuple(self.linear(weight, *metas(shapes, weight)).shape[1:])

    @property
    def magnitude(self) -> Tensor | None:
        """|w|; a frozen op has it ready."""
        frozen: Tensor | None = getattr(self, "_magnitude", None)
        if frozen is not None:
            return frozen
        weight = self.weight
        return None if weight is None else weight.abs()

    def modulus(self, *rs: Tensor) -> Tensor:
        """|A| rs for rs >= 0: the radius of the image of a box of these radii."""
        return self.linear(self.magnitude, *rs)

    def roundings(self, *shapes: Shape) -> int:
        """How many roundings a term of an entry of A x + b meets in an evaluation, in any order of summation, at most.

        Here its product, the sums, and a few of a weight that is itself computed; of arguments of these shapes. An op
        that only moves entries says 0, and one without a weight counts its sums itself.
        """
        if self.weight is None:
            terms = sum(map(prod, shapes))
        else:
            ones = [self.weight.new_ones(1, *shape) for shape in shapes]
            terms = int(self.linear(torch.ones_like(self.weight), *ones).amax())
        return terms + (self.offset is not None) + COMPUTED

    def image(self, *boxes: Bounds) -> Bounds:
        """[A c + b - |A| r, A c + b + |A| r], the interval hull over a product of boxes: exact for one op.

        (B, *output shape). An op without a weight is monotone, so its two ends are enough; the others need centre and
        radius. Source: Gowal et al. 2018, section 3.
        """
        if self.weight is None:
            kind = Bounds if all(b.bounded for b in boxes) else Endless
            return kind(self(*(b.lower for b in boxes)), self(*(b.upper for b in boxes)))
        if not all(b.bounded for b in boxes):
            return _by_signs(self, boxes)
        centres = [b.centre for b in boxes]
        radius = self.modulus(*(b.reach(c) for b, c in zip(boxes, centres, strict=True)))
        centre = self(*centres)
        lower = centre - radius
        return Bounds(lower, centre + radius if torch.is_grad_enabled() else radius.add_(centre))

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        """A(w)^T y, for y of shape (M, *output shape); derived by vjp, overridden where a closed form is faster."""
        zeros = [y.new_zeros(1, *shape).expand(y.shape[0], *shape) for shape in shapes]
        pull: Callable[[Tensor], tuple[Tensor, ...]] = torch.func.vjp(lambda *xs: self.linear(w, *xs), *zeros)[1]
        return pull(y)

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        """x -> <A^T c_k, x>, one bundle per argument of these shapes."""
        rows = rows.dense()
        data = rows.data
        pulled = self.transpose(self.weight, data.flatten(0, 1), *shapes)
        return tuple(rows.with_data(p.unflatten(0, data.shape[:2])) for p in pulled)

    def pull(self, rows: Rows, *shapes: Shape) -> tuple[tuple[Rows, ...], Tensor | None]:
        """<c, f(xs)> = <A^T c, xs> + <c, b>: rows over the arguments, and the constants (K, N or 1)."""
        offset = self.offset
        return self.adjoint(rows, *shapes), None if offset is None else rows.dot(offset)

    def freeze(self) -> Affine:
        twin: Any = super().freeze()  # a copy, where there is a weight
        weight = twin.weight
        if weight is not None:
            object.__setattr__(twin, "_magnitude", weight.abs())
        return twin


def _by_signs(op: Affine, boxes: tuple[Bounds, ...]) -> Bounds:
    """[A+ l + A- u + b, A+ u + A- l + b], infinite where a nonzero entry of A meets an infinite end."""
    assert op.weight is not None
    plus, minus = op.weight.clamp(min=0), op.weight.clamp(max=0)

    def end(lows: list[Tensor], highs: list[Tensor], far: float) -> Tensor:
        """A+ lows + A- highs, where the lows may be `far`, and the highs -far."""
        low, high = ([t.masked_fill(t.isinf(), 0.0) for t in ts] for ts in (lows, highs))
        value = op.linear(plus, *low) + op.linear(minus, *high)
        met = op.linear(plus, *(t.isinf().to(t) for t in lows)) - op.linear(minus, *(t.isinf().to(t) for t in highs))
        value = value.masked_fill((met > 0) & ~value.isnan(), far)
        return value if op.offset is None else value + op.offset

    lowers, uppers = [b.lower for b in boxes], [b.upper for b in boxes]
    return Endless(end(lowers, uppers, -torch.inf), end(uppers, lowers, torch.inf))
