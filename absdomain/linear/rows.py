"""{ x -> <c_k, x> : k < K }: a bundle of linear functionals of one activation, what back-substitution carries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from absdomain.linear.axes import flat
from absdomain.linear.kernel import BoxMinima, BoxMinimum, SignSplit, pair
from absdomain.linear.patches import Columns, Frame

if TYPE_CHECKING:
    from absdomain.linear.bounds import Bounds


@dataclass(frozen=True, eq=False)
class Rows:
    """K linear functionals of an activation in each of N columns (N = 1 where they do not depend on the column).

    A column is a sample, or what `columns` says. The coefficients are written out over the whole activation, or, with
    a `frame`, over a window of it that moves with the column: the rows of convolutional neurons.
    `unit`, where given, says that each row is a unit vector, so that an op may index instead of multiply; the
    coefficients are then written out only when asked for.
    """

    _data: Tensor | None
    shape: tuple[int, ...]
    unit: Tensor | None = None  # (K, N or 1): positions in the flat activation; with a frame, channels
    like: Tensor | None = None  # dtype and device of rows that are not written out
    columns: Columns | None = None
    frame: Frame | None = None  # with `columns`, whose places in a grid it moves with

    @staticmethod
    def of(data: Tensor) -> Rows:
        """Rows from their coefficients, (K, N or 1, *shape), a column per sample."""
        return Rows(data, tuple(data.shape[2:]))

    @staticmethod
    def units(index: Tensor, shape: tuple[int, ...], like: Tensor) -> Rows:
        """x -> x[index[k]] on the flat activation; `like` gives dtype and device."""
        return Rows(None, shape, index.unsqueeze(1), like)

    @property
    def data(self) -> Tensor:
        """The coefficients, (K, N or 1, *shape), or with a frame (K, N or 1, channels, *window)."""
        if self._data is not None:
            return self._data
        assert self.unit is not None and self.like is not None
        size = self.shape if self.frame is None else (self.shape[0], *(1,) * (len(self.shape) - 1))
        data = self.like.new_zeros(*self.unit.shape, prod(size))
        return data.scatter_(2, self.unit.unsqueeze(2), 1.0).view(*self.unit.shape, *size)

    @property
    def entries(self) -> int:
        """How many coefficients are held."""
        return 0 if self._data is None else self._data.numel()

    @property
    def window(self) -> tuple[int, ...]:
        """The size of the windows along each axis after the channels; needs a frame."""
        return (1,) * (len(self.shape) - 1) if self._data is None else tuple(self._data.shape[3:])

    def with_data(self, data: Tensor) -> Rows:
        """Rows of these coefficients, (K, N or 1, *shape), in the same columns."""
        return Rows(data, tuple(data.shape[2:]), columns=self.columns)

    def framed(self, data: Tensor, shape: tuple[int, ...], frame: Frame) -> Rows:
        """Rows of these coefficients, (K, N or 1, channels, *window), of an activation of this shape, on windows."""
        return Rows(data, shape, columns=self.columns, frame=frame)

    def _same(self, data: Tensor, *, clean: bool = False) -> Rows:
        """Rows of these coefficients in the same columns and windows."""
        frame = replace(self.frame, clean=True) if self.frame is not None and clean else self.frame
        return Rows(data, self.shape, columns=self.columns, frame=frame)

    def seen(self, t: Tensor) -> Tensor:
        """t (B or 1, *shape), one per sample, as the columns see it: (N or 1, *shape) or (N, channels, *window)."""
        if self.columns is None:
            return t
        return self.columns.own(t) if self.frame is None else self.frame.windows(t, self.columns, self.window)

    def _alike(self, t: Tensor) -> Tensor:
        """t in the coefficients' dtype: a number that stands in a graph has one of its own."""
        like = self.like if self._data is None else self._data
        assert like is not None
        return t.to(like.dtype)

    def times(self, t: Tensor) -> Rows:
        """x -> <c_k, t x>; t broadcasts to (B, *shape)."""
        t = self._alike(t)
        if self.frame is None:
            return self._same(self.data * (self.seen(t) if t.dim() > len(self.shape) else t))
        if t.dim() <= len(self.shape) and _per_channel(t, len(self.shape)):
            return self._same(self.data * t)
        return self._same(self.data * self.seen(self._over(t)), clean=True)

    def _over(self, t: Tensor) -> Tensor:
        """t written out over the activation, (B or 1, *shape)."""
        return t.expand(t.shape[0] if t.dim() > len(self.shape) else 1, *self.shape)

    def cleaned(self) -> Rows:
        """The same functionals with no coefficient outside the activation."""
        frame = self.frame
        if frame is None or self.columns is None or frame.clean:
            return self
        if frame.inside(self.columns, self.window, self.shape[1:]):
            return self._same(self.data, clean=True)
        return self._same(self.data * self.seen(self.data.new_ones(1, 1, *self.shape[1:])), clean=True)

    def dense(self) -> Rows:
        """The same functionals, written out over the whole activation."""
        if self.frame is None or self.columns is None:
            return self
        return self.with_data(self.frame.scattered(self.data, self.columns, self.shape[1:]))

    def dot(self, v: Tensor) -> Tensor:
        """<c_k, v>, (K, N or 1); v broadcasts to (B, *shape)."""
        v = self._alike(v)
        if v.dim() > len(self.shape):
            return self._dot_per_sample(self._over(v))
        if self.unit is not None and self.frame is None:
            return v.expand(self.shape).reshape(-1)[self.unit]
        if self.frame is not None and not _per_channel(v, len(self.shape)):
            return self._dot_per_sample(self._over(v))
        data = self.cleaned().data
        v = v.reshape((1,) * (len(self.shape) - v.dim()) + tuple(v.shape))
        axes = [i + 2 for i, size in enumerate(v.shape) if size == 1]  # the sums first: v is the same along them
        reduced = data.sum(axes, keepdim=True) if axes else data
        return flat(reduced, 2) @ v.flatten()

    def _dot_per_sample(self, v: Tensor) -> Tensor:
        """<c_k, v> for v (B or 1, *shape)."""
        if self.unit is not None and self.frame is None:
            wide = flat(v, 1)
            return wide[:, self.unit.squeeze(1)].t() if self.columns is None else self._listed(wide)
        return pair(self.data, self.seen(v))

    def _listed(self, v: Tensor) -> Tensor:
        """v (B or 1, n) at each column's sample and unit."""
        assert self.unit is not None and self.columns is not None
        return v[self.columns.sample if len(v) > 1 else torch.zeros_like(self.columns.sample), self.unit]

    def minimum(self, box: Bounds) -> Tensor:
        """min of <c_k, v> over the v of a box, (K, N)."""
        least: Tensor = BoxMinimum.apply(self.data, self.seen(box.lower), self.seen(box.upper))
        return least

    def maximum(self, box: Bounds) -> Tensor:
        """max of <c_k, v> over the v of a box, (K, N)."""
        return -self.negated().minimum(box)

    def minima(self, lower: Tensor | None, upper: Tensor | None) -> tuple[Tensor, Tensor]:
        """min of <c_k, v> and of <-c_k, v> over the v of a box, (K, N) each; an end that is None is 0."""
        data = self.data
        high = data.new_zeros(1, *data.shape[2:]) if upper is None else self.seen(upper)
        minima: tuple[Tensor, Tensor] = BoxMinima.apply(data, None if lower is None else self.seen(lower), high)
        return minima

    def split(self, below: Tensor, above: Tensor, low: Tensor | None, high: Tensor) -> tuple[Rows, Tensor]:
        """x -> <c+ below + c- above, x>, and <c+, low> + <c-, high>, (K, N); (B, *shape) each; low None: 0."""
        seen = self.seen
        numbers = (seen(below), seen(above), None if low is None else seen(low), seen(high))
        data, const = SignSplit.apply(self.data, *numbers)
        return self._same(data, clean=True), const

    def negated(self) -> Rows:
        """x -> <-c_k, x>."""
        return self._same(-self.data)

    def signed(self) -> Rows:
        """The rows followed by their negatives: (2 K, N or 1, *shape), for a lower and an upper bound in one pass."""
        data = self.data
        return self._same(torch.cat([data, -data]))

    def __add__(self, other: Rows) -> Rows:
        mine, its = self.frame, other.frame
        if mine is None or its is None or mine.stride != its.stride:
            whole = self.dense()
            return whole._same(whole.data + other.dense().data)
        pad = tuple(map(max, mine.pad, its.pad))
        ends = ([k - p for k, p in zip(r.window, f.pad, strict=True)] for r, f in ((self, mine), (other, its)))
        end, clean = tuple(map(max, *ends)), mine.clean and its.clean
        data, frame = mine.widened(self.data, pad, end, clean)
        return self.framed(data + its.widened(other.data, pad, end, clean)[0], self.shape, frame)

    def reshape(self, shape: tuple[int, ...]) -> Rows:
        """The same functionals of the activation laid out as `shape`."""
        if shape == self.shape:
            return self
        if self.frame is None and self._data is None:
            return replace(self, shape=shape)
        data = self.dense().data
        return self.with_data(data.reshape(*data.shape[:2], *shape))


def _per_channel(t: Tensor, axes: int) -> bool:
    """Whether t, which broadcasts to (channels, *plane), is the same all over the plane."""
    return t.shape[1 - axes :].numel() == 1
