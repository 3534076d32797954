"""Named tensors, and the one tensor that stands for them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from absdomain.kinds import Shape


@dataclass(frozen=True)
class Ports:
    """Tensors by name, (..., *shape) each, and their join: the one tensor itself, or of several their entries in order.

    The join of several is flat, (..., n), each tensor's entries after those of the one before.
    """

    shapes: tuple[tuple[str, Shape], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they are joined."""
        return tuple(name for name, _ in self.shapes)

    @property
    def shape(self) -> Shape:
        """Of the join."""
        return self.shapes[0][1] if len(self.shapes) == 1 else (sum(prod(shape) for _, shape in self.shapes),)

    def windows(self) -> Iterator[tuple[str, Shape, int]]:
        """Each name, its shape, and where its entries begin in the flat join."""
        start = 0
        for name, shape in self.shapes:
            yield name, shape, start
            start += prod(shape)

    def joined(self, values: Mapping[str, Tensor]) -> Tensor:
        """The join of tensors (..., *shape), the same axes before each; ValueError for other names or shapes."""
        if values.keys() != set(self.names):
            raise ValueError(f"joined: tensors are needed for {list(self.names)}, got {list(values)}")
        for name, shape in self.shapes:
            given = tuple(values[name].shape)
            if given[len(given) - len(shape) :] != shape:
                raise ValueError(f"joined: {name!r} has shape {shape} after its batch, got a tensor {given}")
        if len(self.shapes) == 1:
            return values[self.names[0]]
        lead = (values[name].shape[: values[name].dim() - len(shape)] for name, shape in self.shapes)
        return torch.cat([values[name].reshape(*b, -1) for name, b in zip(self.names, lead, strict=True)], -1)

    def parted(self, value: Tensor) -> dict[str, Tensor]:
        """{ name -> tensor } of a join (..., *join's shape): joined(parted(value)) is the value."""
        axes = len(self.shape)
        if tuple(value.shape[value.dim() - axes :]) != self.shape:
            raise ValueError(f"parted: a tensor (B, {', '.join(map(str, self.shape))}) is needed, got {value.shape}")
        if len(self.shapes) == 1:
            return {self.names[0]: value}
        lead = value.shape[:-1]
        return {
            name: value[..., start : start + prod(shape)].reshape(*lead, *shape)
            for name, shape, start in self.windows()
        }
