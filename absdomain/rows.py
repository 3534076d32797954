"""{ x -> <c_k, x> : k < K }: a bundle of linear functionals of one activation, what back-substitution carries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from absdomain.kernel import BoxMinimum

if TYPE_CHECKING:
    from absdomain.bounds import Bounds


@dataclass(frozen=True, eq=False)
class Rows:
    """K linear functionals of an activation, for each of N samples (N = 1 where they do not depend on the sample).

    data: (K, N or 1, *shape). `unit`, where given, says that row k is the unit vector of flat neuron unit[k], so that
    an op may index instead of multiply; data is then the same rows written out, made only when asked for.
    """

    _data: Tensor | None
    shape: tuple[int, ...]
    unit: Tensor | None = None  # (K,) indices into the flat activation
    like: Tensor | None = None  # dtype and device of rows that are not written out

    @staticmethod
    def of(data: Tensor) -> Rows:
        """Rows from their coefficients, (K, N or 1, *shape)."""
        return Rows(data, tuple(data.shape[2:]))

    @staticmethod
    def units(index: Tensor, shape: tuple[int, ...], like: Tensor) -> Rows:
        """x -> x[index[k]] on the flat activation; `like` gives dtype and device."""
        return Rows(None, shape, index, like)

    @property
    def data(self) -> Tensor:
        """The coefficients, (K, N or 1, *shape)."""
        if self._data is not None:
            return self._data
        assert self.unit is not None and self.like is not None
        data = self.like.new_zeros(len(self.unit), prod(self.shape))
        data[torch.arange(len(self.unit), device=data.device), self.unit] = 1
        return data.view(-1, 1, *self.shape)

    def dot(self, v: Tensor) -> Tensor:
        """<c_k, v>, (K, N or 1); v broadcasts to (B, *shape)."""
        if self.unit is not None:
            many = v.expand(-1 if v.dim() > len(self.shape) else 1, *self.shape)
            return many.reshape(len(many), -1)[:, self.unit].t()
        data = self.data
        whole = data.reshape(*data.shape[:2], -1)  # (K, N or 1, n)
        v = v.to(data)
        if v.dim() <= len(self.shape):  # the same for every sample: sum the broadcast axes before multiplying
            v = v.reshape((1,) * (len(self.shape) - v.dim()) + tuple(v.shape))
            axes = [i + 2 for i, size in enumerate(v.shape) if size != data.shape[i + 2]]
            reduced = data.sum(axes, keepdim=True) if axes else data
            return reduced.reshape(*data.shape[:2], -1) @ v.flatten()
        if v.shape[0] == 1:
            return whole @ v.expand(1, *self.shape).flatten()
        flat = v.expand(-1, *self.shape).reshape(len(v), -1)  # (B, n)
        if data.shape[1] == 1:
            return whole.squeeze(1) @ flat.t()
        return torch.bmm(whole.transpose(0, 1), flat.unsqueeze(-1)).squeeze(-1).t()

    def minimum(self, box: Bounds) -> Tensor:
        """min of <c_k, v> over the v of a box, (K, max(N, B))."""
        least: Tensor = BoxMinimum.apply(self.data, box.lower, box.upper)
        return least

    def maximum(self, box: Bounds) -> Tensor:
        """max of <c_k, v> over the v of a box, (K, max(N, B))."""
        return -self.negated().minimum(box)

    def negated(self) -> Rows:
        """x -> <-c_k, x>."""
        return Rows.of(-self.data)

    def signed(self) -> Rows:
        """The rows followed by their negatives: (2 K, N or 1, *shape), for a lower and an upper bound in one pass."""
        return Rows.of(torch.cat([self.data, -self.data]))

    def __add__(self, other: Rows) -> Rows:
        return Rows.of(self.data + other.data)

    def reshape(self, shape: tuple[int, ...]) -> Rows:
        """The same functionals of the activation laid out as `shape`."""
        if self._data is None:
            return replace(self, shape=shape)
        return Rows.of(self._data.reshape(*self._data.shape[:2], *shape))
