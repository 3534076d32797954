"""Where the samples of a batch are in the values of an exported program.

A program may move the batch's axis and move it back, and merge it with others: heads of attention in (B n, L, d),
positions in (L B, d), windows of an image. A graph has the samples along axis 0 alone, so that each value of the
program has an order of its axes there, the graph's order: `Samples.first`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from absdomain.kinds import Shape


@dataclass(frozen=True)
class Samples:
    """Axis `axis` of `rank` many is (before, B, after) places laid out as one: the middle one numbers the samples."""

    axis: int
    rank: int
    before: int = 1
    after: int = 1

    @property
    def count(self) -> int:
        """How many entries of the axis belong to each sample."""
        return self.before * self.after

    @property
    def plain(self) -> bool:
        """Whether the value is (B, *shape), as a graph has it."""
        return self.axis == 0 and self.count == 1

    @property
    def behind(self) -> tuple[int, int, int]:
        """The axis counted from the last one, by which arguments of several ranks are compared, and its parts."""
        return self.axis - self.rank, self.before, self.after

    def place(self, axis: int) -> int:
        """Where an axis of the value is in the graph's order; that of the samples is at 0."""
        axis %= self.rank
        if axis == self.axis:
            return 0
        return axis + 1 if self.count > 1 or axis < self.axis else axis

    def order(self) -> list[int]:
        """The value's axes in the graph's order, without the batch; its own entry of a merged axis is one of them."""
        return [axis for axis in range(self.rank) if axis != self.axis or self.count > 1]

    def inner(self, shape: Sequence[Any]) -> Shape:
        """The shape of one sample, from that of the value."""
        return tuple(self.count if axis == self.axis else int(shape[axis]) for axis in self.order())

    def first(self, x: Tensor) -> Tensor:
        """The value in the graph's order, (B, *inner)."""
        if self.plain:
            return x
        parted = x.unflatten(self.axis, (self.before, -1, self.after)).movedim(self.axis + 1, 0)
        merged = parted.flatten(self.axis + 1, self.axis + 2)
        return merged if self.count > 1 else merged.squeeze(self.axis + 1)

    def reshaped(self, before: Sequence[Any], after: Sequence[Any], axis: int, count: int) -> Samples | None:
        """Those of the entries, in their order, in another shape, whose batch is `count` times along `axis`.

        None where a sample would not be the middle one of three places there.
        """
        ahead = prod(int(size) for size in before[: self.axis]) * self.before
        size = prod(int(size) for size in after[:axis])
        if ahead % size or count % (ahead // size):
            return None
        return Samples(axis, len(after), ahead // size, count // (ahead // size))


def depends(size: Any, batch: Any) -> bool:
    """Whether a number depends on the size of the batch."""
    return not isinstance(size, int | float) and batch.node.expr in size.node.expr.free_symbols


def counted(size: Any, batch: Any) -> bool:
    """Whether a number is a function of the batch's size, or a constant, and not of the data."""
    symbols = set() if isinstance(batch, int) else {batch.node.expr}
    return isinstance(size, int | float) or size.node.expr.free_symbols <= symbols


def single(size: Any, batch: Any) -> Any:
    """What a number is for one sample."""
    if isinstance(size, int | float):
        return size
    value = size.node.expr if isinstance(batch, int) else size.node.expr.subs(batch.node.expr, 1)
    return float(value) if isinstance(size, torch.SymFloat) else int(value)


def along_batch(shape: Sequence[Any], batch: Any) -> list[tuple[int, int]]:
    """The axes whose sizes are c B, with c; with -1 for another function of B."""
    if isinstance(batch, int):  # the program holds for that number alone, and is refused later
        return [(0, 1)] if len(shape) and shape[0] == batch else []
    found = ((axis, _multiple(size, batch.node.expr)) for axis, size in enumerate(shape) if depends(size, batch))
    return list(found)


def _multiple(size: Any, symbol: Any) -> int:
    """By its expression, since a comparison of sizes would be noted as a condition on B."""
    expression = size.node.expr
    factor = expression.coeff(symbol)
    return int(factor) if factor.is_Integer and expression == factor * symbol else -1
