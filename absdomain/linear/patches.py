"""Windows of an activation: where the coefficients of a convolutional neuron can differ from zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True, eq=False)
class Columns:
    """{ (b_n, i_n) : n < N }: the sample and the place in a grid that each column of a bundle of rows stands for."""

    sample: Tensor  # (N,)
    place: tuple[Tensor, ...] = ()  # (N,) for each axis of the grid
    grid: tuple[int, ...] = ()  # places along each axis

    def own(self, t: Tensor) -> Tensor:
        """t (B or 1, ...) as each column's sample has it, (N or 1, ...)."""
        return t if len(t) == 1 else t[self.sample]


@dataclass(frozen=True)
class Frame:
    """{ i stride - pad + [0, size) : i in the grid }: the windows of a grid, each as large as the rows' coefficients.

    `clean`: coefficients outside the activation are zero. A convolution reads zeros there, not the values that its
    own argument would have, so that its rows are cleaned before they are carried through.
    """

    stride: tuple[int, ...]
    pad: tuple[int, ...]
    clean: bool = True

    @staticmethod
    def points(axes: int) -> Frame:
        """Windows of one entry, at their own places."""
        return Frame((1,) * axes, (0,) * axes)

    def before(self, stride: tuple[int, ...], padding: tuple[int, ...]) -> Frame:
        """The windows of the argument of an op that slides with this stride over an argument padded so."""
        steps = tuple(S * s for S, s in zip(self.stride, stride, strict=True))
        pads = tuple(P * s + p for P, s, p in zip(self.pad, stride, padding, strict=True))
        return Frame(steps, pads, clean=False)

    def inside(self, columns: Columns, size: tuple[int, ...], within: tuple[int, ...]) -> bool:
        """Whether no window reaches over the edge of a plane of size `within`."""
        ends = zip(self.reach(columns, size), within, strict=True)
        return not any(self.pad) and all(end <= n for end, n in ends)

    def reach(self, columns: Columns, size: tuple[int, ...]) -> tuple[int, ...]:
        """How far the last window reaches, counted from where the first begins."""
        return tuple((g - 1) * s + k for g, s, k in zip(columns.grid, self.stride, size, strict=True))

    def windows(self, t: Tensor, columns: Columns, size: tuple[int, ...]) -> Tensor:
        """t (B or 1, C, *plane) as each column sees it, zero outside, (N, C, *size)."""
        spans = zip(self.pad, self.reach(columns, size), t.shape[2:], strict=True)
        pads = [amount for p, end, n in spans for amount in (max(0, end - p - n), p)]
        seen = F.pad(t, pads[::-1])
        for axis, (k, s) in enumerate(zip(size, self.stride, strict=True)):
            seen = seen.unfold(axis + 2, k, s)
        sample = columns.sample if len(t) > 1 else torch.zeros_like(columns.sample)
        where: tuple[Tensor | slice, ...] = (sample, slice(None), *columns.place)
        return seen[where]

    def scattered(self, data: Tensor, columns: Columns, plane: tuple[int, ...]) -> Tensor:
        """data (K, N or 1, C, *size) written into planes of zeros, (K, N, C, *plane)."""
        data = data.expand(-1, len(columns.sample), *(-1,) * (data.dim() - 2))
        starts = torch.stack(columns.place, 1) * torch.tensor(self.stride, device=data.device)
        spans = zip(self.pad, self.reach(columns, tuple(data.shape[3:])), plane, strict=True)
        buffer = tuple(max(end, p + n) for p, end, n in spans)
        written: Tensor = _Scatter.apply(data, starts.tolist(), buffer)
        for axis, (p, n) in enumerate(zip(self.pad, plane, strict=True)):
            written = written.narrow(axis + 3, p, n)
        return written

    def widened(self, data: Tensor, pad: tuple[int, ...], end: tuple[int, ...], clean: bool) -> tuple[Tensor, Frame]:
        """The same coefficients on windows that begin `pad` before the grid's places and end at `end` after them."""
        more = zip(self.pad, data.shape[3:], pad, end, strict=True)
        pads = [amount for p, k, before, after in more for amount in (after - (k - p), before - p)]
        return F.pad(data, pads[::-1]), replace(self, pad=pad, clean=clean)


class _Scatter(torch.autograd.Function):
    """Windows (K, N, C, *size) into planes of zeros (K, N, C, *plane), each at its own start."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, starts: list[list[int]], plane: tuple[int, ...]) -> Tensor:
        ctx.starts, ctx.size = starts, data.shape[3:]
        planes = data.new_zeros(*data.shape[:3], *plane)
        for n, place in enumerate(_places(starts, ctx.size)):
            planes[place] = data[:, n]
        return planes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return torch.stack([grad[place] for place in _places(ctx.starts, ctx.size)], 1), None, None


def _places(starts: list[list[int]], size: torch.Size) -> list[tuple[slice | int, ...]]:
    """Where column n's window lies in (K, N, C, *plane)."""
    all_ = slice(None)
    return [
        (all_, n, all_, *(slice(a, a + k) for a, k in zip(start, size, strict=True))) for n, start in enumerate(starts)
    ]
