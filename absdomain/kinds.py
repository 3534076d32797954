"""The two kinds of operation, and all that follows from them.

An operation is written once. An **Affine** op declares `linear(w, *xs)`, from which its action, its modulus (interval
arithmetic) and its adjoint (back-substitution) follow. A **Nonlinear** op declares `inf` and `sup` of f(x) - <s, x>
over a box, for any slopes s; every relaxation of every domain is then a choice of slopes, and every slope is sound.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from absdomain.bounds import Bounds
from absdomain.kernel import SignSplit
from absdomain.rows import Rows

Shape = tuple[int, ...]
Slopes = tuple[Tensor, ...]  # one tensor per argument, each of that argument's shape (B, *shape)


class Line(NamedTuple):
    """{ (x, y) : y = <slopes, x> + intercept }: one side of a relaxation."""

    slopes: Slopes
    intercept: Tensor | None  # (B, *output shape); None where the op itself knows that it is exactly zero


class Op(ABC):
    """f : R^n x ... -> R^m on batched tensors; a frozen value whose identity is its key."""

    lemma: ClassVar[str] = ""  # the name of its lemma in proofs/

    @abstractmethod
    def __call__(self, *xs: Tensor) -> Tensor:
        """f(xs), batched: (B, *shape) each."""

    @abstractmethod
    def shape(self, *shapes: Shape) -> Shape:
        """The output's shape without the batch, from those of the arguments."""

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
        return self


class Affine(Op):
    """f(xs) = A xs + b, given by `linear`: linear in w, jointly linear in xs, and monotone in xs where w >= 0.

    A frozen dataclass. Laws: `linear(w, .)` sums no two weights into one entry of A, so that |A| = linear(|w|, .);
    without a weight, A >= 0. The caller of `modulus` may overwrite what it returns.
    """

    weight: Tensor | None = None
    bias: Tensor | None = None
    diagonal: ClassVar[bool] = False  # A is a signed and scaled permutation: the image of a ball is a ball
    lemma = "affine"

    @abstractmethod
    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        """A(w) xs; the only thing to write."""

    @property
    def offset(self) -> Tensor | None:
        """b, broadcastable to (B, *output shape)."""
        return self.bias

    def __call__(self, *xs: Tensor) -> Tensor:
        y = self.linear(self.weight, *xs)
        offset = self.offset
        return y if offset is None else y + offset

    def shape(self, *shapes: Shape) -> Shape:
        weight = None if self.weight is None else self.weight.to("meta")
        return tuple(self.linear(weight, *_meta(shapes, weight)).shape[1:])

    @property
    def magnitude(self) -> Tensor | None:
        """|w|; a frozen op has it ready."""
        frozen: Tensor | None = getattr(self, "_magnitude", None)
        weight = self.weight
        return frozen if frozen is not None else None if weight is None else weight.abs()

    def modulus(self, *rs: Tensor) -> Tensor:
        """|A| rs for rs >= 0: the radius of the image of a box of these radii."""
        return self.linear(self.magnitude, *rs)

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        """A(w)^T y, for y of shape (M, *output shape); derived by vjp, overridden where a closed form is faster."""
        zeros = [y.new_zeros(1, *shape).expand(y.shape[0], *shape) for shape in shapes]
        pull: Callable[[Tensor], tuple[Tensor, ...]] = torch.func.vjp(lambda *xs: self.linear(w, *xs), *zeros)[1]
        return pull(y)

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        """x -> <A^T c_k, x>, one bundle per argument of these shapes."""
        data = rows.data
        pulled = self.transpose(self.weight, data.flatten(0, 1), *shapes)
        return tuple(Rows.of(p.unflatten(0, data.shape[:2])) for p in pulled)

    def pull(self, rows: Rows, *shapes: Shape) -> tuple[tuple[Rows, ...], Tensor | None]:
        """<c, f(xs)> = <A^T c, xs> + <c, b>: rows over the arguments, and the constants (K, N or 1)."""
        offset = self.offset
        return self.adjoint(rows, *shapes), None if offset is None else rows.dot(offset)

    def freeze(self) -> Affine:
        twin = copy.copy(self)
        described: Any = self  # a frozen dataclass
        for name in [field.name for field in fields(described)]:  # live or plain: |w| is of tensors nobody can change
            present = getattr(self, name)
            if isinstance(present, Tensor):
                object.__setattr__(twin, name, present.detach().clone())
        weight = twin.weight
        object.__setattr__(twin, "_magnitude", None if weight is None else weight.abs())
        return twin


class Nonlinear(Op):
    """f with `inf` and `sup` of f(x) - <s, x> over a box, for any slopes s: an enclosure, so that every slope is sound.

    Law: for x in the boxes, inf(s, boxes) <= f(x) - inner(s, x) <= sup(s, boxes).
    """

    def shape(self, *shapes: Shape) -> Shape:
        return tuple(self(*_meta(shapes)).shape[1:])

    @abstractmethod
    def inner(self, slopes: Slopes, *xs: Tensor) -> Tensor:
        """<s, x>, of the output's shape."""

    @abstractmethod
    def outer(self, slopes: Slopes, c: Tensor) -> tuple[Tensor, ...]:
        """The adjoint of `inner` in x: c (K, N, *output shape) -> (K, N, *argument shape), one per argument."""

    @abstractmethod
    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """A lower bound of inf over the boxes of f(x) - <s, x>, (B, *output shape)."""

    @abstractmethod
    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """An upper bound of sup over the boxes of f(x) - <s, x>, (B, *output shape)."""

    def band(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Bounds:
        """[inf, sup] of f(x) - <s, x> over the boxes."""
        return Bounds(self.inf(slopes, boxes), self.sup(slopes, boxes))

    def image(self, boxes: tuple[Bounds, ...]) -> Bounds:
        """The band at slope 0: an interval that holds f."""
        return self.band(tuple(torch.zeros_like(b.lower) for b in boxes), boxes)

    def settled(self, boxes: tuple[Bounds, ...]) -> tuple[Tensor, ...] | None:
        """Per argument, where f is affine over its box (boolean, (B, *shape)); None: nowhere that one can say.

        Law: there, the band of the chord has width 0, so that tighter boxes could not improve the relaxation.
        """
        return None

    @abstractmethod
    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        """Slopes through the ends of f; a hint for slope policies, untrusted."""

    def support(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        """Slopes (below, above) of lines with a small area between them; a hint for slope policies, untrusted."""
        chord = self.chord(boxes)
        return chord, chord

    def lines(self, below: Slopes, above: Slopes, boxes: tuple[Bounds, ...]) -> tuple[Line, Line]:
        """Two lines that enclose f over the boxes, with these slopes or with slopes that are never looser.

        Each side asks for its own end of the band alone. A settled entry takes the chord, which is exact there.
        """
        settled = self.settled(boxes)
        if settled is not None:
            chord = self.chord(boxes)
            below = tuple(torch.where(w, c, s) for w, c, s in zip(settled, chord, below, strict=True))
            above = tuple(torch.where(w, c, s) for w, c, s in zip(settled, chord, above, strict=True))
        return Line(below, self.inf(below, boxes)), Line(above, self.sup(above, boxes))

    def split(self, rows: Rows, below: Line, above: Line) -> tuple[tuple[Rows, ...], Tensor]:
        """<c, f(x)> >= <c+ below.slopes + c- above.slopes, x> + <c+, below.intercept> + <c-, above.intercept>.

        Gives the rows over the arguments and the constants (K, N).
        """
        data = rows.data
        positive = data.relu()
        negative = data - positive
        pairs = zip(self.outer(below.slopes, positive), self.outer(above.slopes, negative), strict=True)
        const = torch.zeros((), dtype=data.dtype, device=data.device)
        if below.intercept is not None:
            const = const + Rows.of(positive).dot(below.intercept)
        if above.intercept is not None:
            const = const + Rows.of(negative).dot(above.intercept)
        return tuple(Rows.of(lower + upper) for lower, upper in pairs), const


class Elementwise(Nonlinear):
    """f applied to every entry; it declares f and `critical`, from which an exact band follows."""

    increasing: ClassVar[bool] = False  # f is nondecreasing, so that its image is that of the two ends

    @abstractmethod
    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """Points that include every kink and stationary point of f(x) - slope x inside the box.

        A point outside the box is moved to its nearest end, so that an op need not say which points lie inside.
        """

    def inner(self, slopes: Slopes, *xs: Tensor) -> Tensor:
        return slopes[0] * xs[0]

    def outer(self, slopes: Slopes, c: Tensor) -> tuple[Tensor, ...]:
        return (c * slopes[0],)

    def split(self, rows: Rows, below: Line, above: Line) -> tuple[tuple[Rows, ...], Tensor]:
        if below.intercept is not None or above.intercept is None:
            return super().split(rows, below, above)
        pulled, const = SignSplit.apply(rows.data, below.slopes[0], above.slopes[0], above.intercept)
        return (Rows.of(pulled),), const

    def _gaps(self, slope: Tensor, box: Bounds) -> list[Tensor]:
        """f(p) - slope p at the ends and at the critical points."""
        # not clamp, which passes no gradient to a box of width 0
        inside = (torch.maximum(torch.minimum(p, box.upper), box.lower) for p in self.critical(slope, box))
        return [self(p) - slope * p for p in (box.lower, box.upper, *inside)]

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return reduce(torch.minimum, self._gaps(slopes[0], boxes[0]))

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return reduce(torch.maximum, self._gaps(slopes[0], boxes[0]))

    def image(self, boxes: tuple[Bounds, ...]) -> Bounds:
        if self.increasing:
            return Bounds(self(boxes[0].lower), self(boxes[0].upper))
        return super().image(boxes)

    def shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        (box,) = boxes
        width = box.upper - box.lower
        wide = width > 0
        run = torch.where(wide, width, torch.ones_like(width))  # masked before dividing: 0 * inf has a NaN gradient
        return (torch.where(wide, (self(box.upper) - self(box.lower)) / run, torch.zeros_like(width)),)


def _meta(shapes: tuple[Shape, ...], like: Tensor | None = None) -> list[Tensor]:
    dtype = torch.get_default_dtype() if like is None else like.dtype
    return [torch.empty(1, *shape, dtype=dtype, device="meta") for shape in shapes]
