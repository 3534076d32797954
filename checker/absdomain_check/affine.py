"""Affine operations on flat vectors: y = sum_i A_i x_i + b, forward, and transposed on rows (M, n).

Each is written once for both arithmetics: `mm` multiplies matrices, and `weight` is the operation's array in the
numbers of the arithmetic. `terms` and `fan` say how many products are summed at most in one entry of A x and of c A:
0 where nothing is rounded. `spread`, where it is there, bounds |A' - A| of a diagonal A' that is not a float.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Product = Callable[[Array, Array], Array]  # (m, k), (k, n) -> (m, n)


@dataclass(frozen=True, eq=False)
class Affine:
    """One operation; `sizes` are those of its arguments."""

    sizes: tuple[int, ...]
    size: int
    weight: Array | None = None  # floats, exact
    bias: Array | None = None  # (size,)
    spread: Array | None = None  # (size,): of a Scale
    bias_spread: Array | None = None

    terms, fan = 0, 0

    def forward(self, w: Any, xs: list[Array], mm: Product) -> Array:
        """A x without the bias, (M, size)."""
        raise NotImplementedError

    def transpose(self, w: Any, c: Array, mm: Product) -> list[Array]:
        """c A, (M, sizes[i]) each."""
        raise NotImplementedError

    def magnitude(self) -> Affine:
        """The operation of |A|, without a bias."""
        return replace(self, weight=None if self.weight is None else np.abs(self.weight), bias=None)


@dataclass(frozen=True, eq=False)
class Dense(Affine):
    """x (lead, n) -> x W, W (n, m)."""

    def __post_init__(self) -> None:
        assert self.weight is not None
        object.__setattr__(self, "terms", self.weight.shape[0])
        object.__setattr__(self, "fan", self.weight.shape[1])

    def forward(self, w: Any, xs: list[Array], mm: Product) -> Array:
        return mm(xs[0].reshape(-1, w.shape[0]), w).reshape(len(xs[0]), -1)

    def transpose(self, w: Any, c: Array, mm: Product) -> list[Array]:
        return [mm(c.reshape(-1, w.shape[1]), w.T).reshape(len(c), -1)]


@dataclass(frozen=True, eq=False)
class Conv(Affine):
    """Cross-correlation over two axes: W (out, in / groups, kh, kw) over (in, H, W), which is padded with zeros."""

    image: tuple[int, int, int] = (0, 0, 0)
    out: tuple[int, int, int] = (0, 0, 0)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # before (2), after (2)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        assert self.weight is not None
        object.__setattr__(self, "terms", prod(self.weight.shape[1:]))
        object.__setattr__(self, "fan", self.weight.shape[0] // self.groups * prod(self.weight.shape[2:]))

    def _parts(self, w: Any) -> Any:
        """For every group and place of the kernel: channels in and out, W there, and the plane's slices."""
        m, n = self.out[0] // self.groups, self.image[0] // self.groups
        for g, i, j in product(range(self.groups), range(w.shape[2]), range(w.shape[3])):
            rows, columns = (
                slice(at * d, at * d + (count - 1) * s + 1, s)
                for at, d, s, count in zip((i, j), self.dilations, self.strides, self.out[1:], strict=True)
            )
            inner, outer = slice(g * n, g * n + n), slice(g * m, g * m + m)
            yield inner, outer, w[outer, :, i, j], rows, columns

    def _padded(self) -> tuple[int, int]:
        (_, height, width), (top, left, bottom, right) = self.image, self.pads
        return height + top + bottom, width + left + right

    def forward(self, w: Any, xs: list[Array], mm: Product) -> Array:
        count, (top, left, _, _) = len(xs[0]), self.pads
        padded = np.zeros((self.image[0], *self._padded(), count), dtype=xs[0].dtype)
        padded[:, top : top + self.image[1], left : left + self.image[2]] = np.moveaxis(
            xs[0].reshape(count, *self.image), 0, -1
        )
        y = np.zeros((*self.out, count), dtype=xs[0].dtype)
        for inner, outer, part, rows, columns in self._parts(w):
            seen = padded[inner, rows, columns]
            y[outer] = y[outer] + mm(part, seen.reshape(len(seen), -1)).reshape(-1, *self.out[1:], count)
        return np.moveaxis(y, -1, 0).reshape(count, -1)

    def transpose(self, w: Any, c: Array, mm: Product) -> list[Array]:
        count, (top, left, _, _) = len(c), self.pads
        rows_of = np.ascontiguousarray(np.moveaxis(c.reshape(count, *self.out), 0, -1))
        x = np.zeros((self.image[0], *self._padded(), count), dtype=c.dtype)
        for inner, outer, part, rows, columns in self._parts(w):
            seen = mm(part.T, rows_of[outer].reshape(part.shape[0], -1))
            x[inner, rows, columns] = x[inner, rows, columns] + seen.reshape(-1, *self.out[1:], count)
        inside = x[:, top : top + self.image[1], left : left + self.image[2]]
        return [np.moveaxis(inside, -1, 0).reshape(count, -1)]


@dataclass(frozen=True, eq=False)
class Transposed(Affine):
    """The transpose of a convolution, with its weight: what `of` does to rows, this does to values."""

    of: Conv | None = None

    def __post_init__(self) -> None:
        assert self.of is not None
        object.__setattr__(self, "terms", self.of.fan)
        object.__setattr__(self, "fan", self.of.terms)

    def forward(self, w: Any, xs: list[Array], mm: Product) -> Array:
        assert self.of is not None
        return self.of.transpose(w, xs[0], mm)[0]

    def transpose(self, w: Any, c: Array, mm: Product) -> list[Array]:
        assert self.of is not None
        return [self.of.forward(w, [c], mm)]


@dataclass(frozen=True, eq=False)
class Pick(Affine):
    """y_j = x_index[j], or 0 where the index is -1."""

    index: Array | None = None

    def __post_init__(self) -> None:
        assert self.index is not None
        often = int(np.bincount(self.index[self.index >= 0], minlength=1).max())
        object.__setattr__(self, "fan", often if often > 1 else 0)

    def forward(self, w: Any, xs: list[Array], mm: Product) -> Array:
        assert self.index is not None
        zero = np.zeros((len(xs[0]), 1), dtype=xs[0].dtype)
        return np.concatenate([xs[0], zero], 1)[:, self.index]

    def transpose(self, w: Any, c: Array, mm: Product) -> list[Array]:
        assert self.index is not None
        read = self.index >= 0
        x = np.zeros((len(c), self.sizes[0]), dtype=c.dtype)
        if self.fan:
            np.add.at(x.T, self.index[read], c[:, read].T)
        else:
            x[:, self.index[read]] = c[:, read]
        return [x]


@dataclass(frozen=True, eq=False)
class Scale(Affine):
    """y = a x, entry by entry; without a weight y = x."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", 1 if self.weight is not None else 0)
        object.__setattr__(self, "fan", self.terms)

    def forward(self, w: Any, xs: list[Array], mm: Product) -> Array:
        return xs[0] if w is None else xs[0] * w

    def transpose(self, w: Any, c: Array, mm: Product) -> list[Array]:
        return [c if w is None else c * w]


@dataclass(frozen=True, eq=False)
class Total(Affine):
    """y = sum_i s_i x_i with signs s_i."""

    signs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", len(self.signs))

    def forward(self, w: Any, xs: list[Array], mm: Product) -> Array:
        total = xs[0] if self.signs[0] > 0 else -xs[0]
        for s, x in zip(self.signs[1:], xs[1:], strict=True):
            total = total + x if s > 0 else total - x
        return total

    def transpose(self, w: Any, c: Array, mm: Product) -> list[Array]:
        return [c if s > 0 else -c for s in self.signs]

    def magnitude(self) -> Affine:
        return replace(self, signs=(1,) * len(self.signs))


@dataclass(frozen=True, eq=False)
class Join(Affine):
    """y at the places `places[i]` is x_i: a concatenation."""

    places: tuple[Array, ...] = ()

    def forward(self, w: Any, xs: list[Array], mm: Product) -> Array:
        y = np.zeros((len(xs[0]), self.size), dtype=xs[0].dtype)
        for place, x in zip(self.places, xs, strict=True):
            y[:, place] = x
        return y

    def transpose(self, w: Any, c: Array, mm: Product) -> list[Array]:
        return [c[:, place] for place in self.places]
