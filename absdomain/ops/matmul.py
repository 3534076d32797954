"""The product of two matrices, both activations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.kinds import Joint, Linearised, Nonlinear, Shape, Slopes, Ties
from absdomain.linear import Bounds

_CACHED = 2**20  # products that are written out at once
_TIE = 1e-3  # of the planes' largest distance: bounds that are nearer to each other count as equal


@dataclass(frozen=True, eq=False)
class TimesMatrix(Linearised):
    """x -> x w on the last two axes."""

    weight: Tensor

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        assert w is not None
        return xs[0] @ w

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        if _shared(w, y, shapes[0]):
            return (torch.einsum("r...nm,...km->r...nk", y, w[0]),)
        return (y @ w.mT,)


@dataclass(frozen=True, eq=False)
class MatrixTimes(Linearised):
    """x -> w x on the last two axes."""

    weight: Tensor

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        assert w is not None
        return w @ xs[0]

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        if _shared(w, y, shapes[0]):
            return (torch.einsum("...nk,r...nm->r...km", w[0], y),)
        return (w.mT @ y,)


@dataclass(frozen=True, eq=False)
class MatMul(Nonlinear):
    """x y, the sum over k of x_ik y_kj, on the last two axes of arguments that agree in the others (McCormick 1976).

    All products share the slopes (p, q), of the shapes of x and y: they are the point of a tangent plane,
    <(p, q), (x, y)> = x q + p y, since x y - x q - p y = (x - p) (y - q) - p q. So rows are carried back by products
    of matrices, and no number is kept for each of the products; their bands are summed over k.
    """

    lemma = "matmul"
    ties = Ties((1, 1), (1, -1), (-2, -1))  # from one corner to the other, for each k

    def __call__(self, *xs: Tensor) -> Tensor:
        x, y = xs
        return x @ y

    def shape(self, *shapes: Shape) -> Shape:
        x, y = shapes
        if len(x) < 2 or x[:-2] != y[:-2] or len(x) != len(y) or x[-1] != y[-2]:
            raise ValueError(f"MatMul: shapes (..., n, k) and (..., k, m) are needed, got {tuple(x)} and {tuple(y)}")
        return (*x[:-1], y[-1])

    def linearised(self, slopes: Slopes) -> Joint:
        return Joint((TimesMatrix(slopes[1]), MatrixTimes(slopes[0])))

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        near, far = _split_off(slopes, boxes)
        x, y = (Bounds(b.lower - s, b.upper - s) for s, b in zip(near, boxes, strict=True))
        return least(x, y) - near[0] @ near[1] - most(far, boxes)

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        near, far = _split_off(slopes, boxes)
        x, y = (Bounds(b.lower - s, b.upper - s) for s, b in zip(near, boxes, strict=True))
        return -least(_negated(x), y) - near[0] @ near[1] + most((-far[0], -far[1]), boxes)

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        """The tangent at the centre."""
        x, y = boxes
        return x.centre, y.centre

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """The boxes: f(x, y) - f(x', y') = (x - x') q + p (y - y') with p in the one and q in the other."""
        return boxes

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """And one unit of every product for each term of the sum."""
        x, y = (torch.maximum(b.lower.abs(), b.upper.abs()) for b in boxes)
        return super().forward_error(boxes) + x.shape[-1] * (x @ y)

    def facets(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, ...]:
        """The tangents at the four corners, the same for all k: of one product they are McCormick's envelopes."""
        x, y = boxes
        return (x.lower, y.lower), (x.upper, y.upper), (x.lower, y.upper), (x.upper, y.lower)

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        """Of the two corners on each side, for each k the one whose planes have the better bounds over the boxes."""
        x, y = boxes
        low, high, left, right = self.facets(boxes)
        return _either(_lower_is_better(x, y), low, high), _either(_lower_is_better(_negated(x), y), right, left)


def _split_off(slopes: Slopes, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
    """The slopes moved to the nearest ends of the boxes, and the rest, which is linear for itself.

    Where p is beyond the box of x, (x - p) (y - q) is extreme on the face of y on which the rest is, so that the two
    bounds together are exact; and none is the difference of large numbers.
    """
    near = tuple(torch.where(s < b.lower, b.lower, s) for s, b in zip(slopes, boxes, strict=True))
    near = tuple(torch.where(s > b.upper, b.upper, s) for s, b in zip(near, boxes, strict=True))
    return near, tuple(s - kept for s, kept in zip(slopes, near, strict=True))


def most(slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
    """max x q + p y over the boxes."""
    (p, q), (x, y) = slopes, boxes
    of_x = x.upper @ q.relu() - x.lower @ (-q).relu()
    return of_x + p.relu() @ y.upper - (-p).relu() @ y.lower


def least(x: Bounds, y: Bounds) -> Tensor:
    """The sum over k of min x_ik y_kj over boxes that hold 0: min(a d, b c) of the ends a <= x <= b and c <= y <= d.

    That is a d + b c - max(a d, b c), of which the sums are products of matrices. The maximum is 0 unless x and y both
    have two signs: corners of the boxes, as slopes, leave no such products.
    """
    (a, b), (c, d) = (x.lower, x.upper), (y.lower, y.upper)
    total = a @ d + b @ c
    return total - _larger_products(a, b, c, d) if _has_two_signs(x) and _has_two_signs(y) else total


def _has_two_signs(x: Bounds) -> bool:
    """Whether any entry has; in a compiled graph, which no value breaks, some are taken to have."""
    return torch.compiler.is_compiling() or bool(((x.lower != 0) & (x.upper != 0)).any())


def _larger_products(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The sum over k of max(a_ik d_kj, b_ik c_kj), some k at a time."""
    many = max(1, _CACHED // max(1, a[..., :1].numel() * d.shape[-1]))
    total = torch.zeros((), dtype=a.dtype, device=a.device)
    for start in range(0, a.shape[-1], many):
        k = slice(start, start + many)
        pairs = ((one[..., k].unsqueeze(-1), other[..., k, :].unsqueeze(-3)) for one, other in ((a, d), (b, c)))
        left, right = (one * other for one, other in pairs)
        total = total + torch.maximum(left, right).sum(-2)
    return total


def _negated(box: Bounds) -> Bounds:
    return Bounds(-box.upper, -box.lower)


def _shared(w: Tensor, y: Tensor, shape: Shape) -> bool:
    """Whether one w serves all the rows y, (rows, B, *shape): their axis is then joined to one of the matrix's."""
    return w.dim() == y.dim() == len(shape) + 2 and len(w) == 1


def _lower_is_better(x: Bounds, y: Bounds) -> Tensor:
    """For each k whether below x_ik y_kj the tangents at the lower ends have better bounds, summed over i and j."""
    xs, ys = ((b.lower, b.upper) for b in (x, y))
    low, high = (_least_of_planes(p, q, x, y) for p, q in zip(xs, ys, strict=True))
    return low + _TIE * x.width.sum(-2) * y.width.sum(-1) >= high


def _least_of_planes(p: Tensor, q: Tensor, x: Bounds, y: Bounds) -> Tensor:
    """The sum over i and j of min x q + min p y - p q, for each k."""
    of_x = q.relu().sum(-1) * x.lower.sum(-2) - (-q).relu().sum(-1) * x.upper.sum(-2)
    of_y = p.relu().sum(-2) * y.lower.sum(-1) - (-p).relu().sum(-2) * y.upper.sum(-1)
    return of_x + of_y - p.sum(-2) * q.sum(-1)


def _either(choice: Tensor, one: Slopes, other: Slopes) -> Slopes:
    lay = choice.unsqueeze(-2), choice.unsqueeze(-1)
    return tuple(torch.where(c, a, b) for c, a, b in zip(lay, one, other, strict=True))
