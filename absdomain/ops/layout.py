"""Entries moved, none changed."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Affine, Shape
from absdomain.linear import Rows


class Moving(Affine):
    """Every entry is an argument's, or 0."""

    def roundings(self, *shapes: Shape) -> int:
        """0: nothing is computed."""
        return 0


@dataclass(frozen=True, eq=False)
class Reshape(Moving):
    """x laid out as `target`, batch left out: Flatten, View, Squeeze and their like."""

    target: Shape
    diagonal = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].reshape(-1, *self.target)

    def shape(self, *shapes: Shape) -> Shape:
        return self.target

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        return (rows.reshape(shapes[0]),)


@dataclass(frozen=True, eq=False)
class Permute(Moving):
    """x with its axes in the order `axes`; the batch, axis 0, stays."""

    axes: tuple[int, ...]
    diagonal = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].permute(self.axes)


@dataclass(frozen=True, eq=False)
class Gather(Moving):
    """y[i] = x[index[i]] on the flat activation: windows, slices, selections, expansions."""

    index: Tensor  # (*output shape), flat positions

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].reshape(len(xs[0]), -1)[:, self.index.to(xs[0].device)]

    def shape(self, *shapes: Shape) -> Shape:
        return tuple(self.index.shape)

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        flat = y.new_zeros(y.shape[0], prod(shapes[0]))
        return (flat.index_add(1, self.index.flatten().to(y.device), y.reshape(len(y), -1)).view(-1, *shapes[0]),)


@dataclass(frozen=True, eq=False)
class Scatter(Affine):
    """y[index[i]] += x[i] on the flat activations, from zeros of the shape `target`: the transpose of a Gather."""

    index: Tensor  # (*input shape), flat positions
    target: Shape

    def roundings(self, *shapes: Shape) -> int:
        """The sums: one fewer than the entries that meet in a place."""
        return int(self.index.flatten().bincount().amax()) - 1

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        flat = xs[0].new_zeros(len(xs[0]), prod(self.target))
        index = self.index.flatten().to(flat.device)
        return flat.index_add(1, index, xs[0].reshape(len(xs[0]), -1)).view(-1, *self.target)

    def shape(self, *shapes: Shape) -> Shape:
        if tuple(shapes[0]) != tuple(self.index.shape):
            raise ValueError(f"Scatter: the index has shape {tuple(self.index.shape)}; got shape {tuple(shapes[0])}")
        return self.target

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        return (y.reshape(len(y), -1)[:, self.index.to(y.device)],)


@dataclass(frozen=True, eq=False)
class Pad(Moving):
    """x with zeros around it; `amounts` in the order of torch.nn.functional.pad (last axis first), none negative."""

    amounts: tuple[int, ...]
    local = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return F.pad(xs[0], self.amounts)

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        axes = len(shapes[0]) - 1
        if rows.frame is None or any(self.amounts[2 * axes :]):  # channels are padded too
            return super().adjoint(rows, *shapes)
        first = (*self.amounts[::2], *(0,) * axes)[:axes]  # of each axis, the last axis first
        return (rows.framed(rows.data, shapes[0], rows.frame.before((1,) * axes, first[::-1])),)


@dataclass(frozen=True, eq=False)
class Concat(Moving):
    """x_1, ..., x_n one after another along `axis`, which counts the batch and is not it."""

    axis: int
    local = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return torch.cat(xs, self.axis)

    def shape(self, *shapes: Shape) -> Shape:
        """By hand: to ask torch for it imports its compiler."""
        place, first = self.axis - 1, shapes[0]
        around = {(s[:place], s[place + 1 :]) for s in shapes}
        if not 0 <= place < len(first) or len(around) > 1:
            raise ValueError(f"Concat: shapes that differ along axis {self.axis} alone are needed, got {list(shapes)}")
        return (*first[:place], sum(s[place] for s in shapes), *first[place + 1 :])

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        return torch.split(y, [shape[self.axis - 1] for shape in shapes], self.axis)

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        if rows.frame is None or self.axis != 1:
            return super().adjoint(rows, *shapes)
        parts = torch.split(rows.data, [shape[0] for shape in shapes], 2)  # the channels
        return tuple(rows.framed(part, shape, rows.frame) for part, shape in zip(parts, shapes, strict=True))
