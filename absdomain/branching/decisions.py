"""Where a network can be split between activations: the entries that nonlinear ops read, in one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from absdomain.kinds import Nonlinear, PiecewiseLinear
from absdomain.linear import Bounds

Answers = dict[Nonlinear, tuple[Bounds, ...]]


@dataclass(frozen=True, eq=False)
class Layout:
    """The arguments of all nonlinear ops, one after another: N entries, of which a branch decides some."""

    ops: Sequence[Nonlinear]
    shapes: Mapping[Nonlinear, tuple[tuple[int, ...], ...]]

    @staticmethod
    def of(boxes: Mapping[Nonlinear, tuple[Bounds, ...]]) -> Layout:
        """The layout of these arguments."""
        return Layout(tuple(boxes), {op: tuple(b.shape for b in found) for op, found in boxes.items()})

    @cached_property
    def sizes(self) -> list[int]:
        """Entries of every argument, op by op."""
        return [prod(shape) for op in self.ops for shape in self.shapes[op]]

    def __len__(self) -> int:
        return sum(self.sizes)

    def flat(self, parts: Mapping[Nonlinear, Sequence[Tensor]]) -> Tensor:
        """(B, N) of tensors (B, *shape), one for each argument."""
        return torch.cat([t.flatten(1) for op in self.ops for t in parts[op]], 1)

    def ends(self, boxes: Mapping[Nonlinear, Sequence[Bounds]]) -> tuple[Tensor, Tensor]:
        """The lower and the upper ends of all arguments' boxes, (B, N) each."""
        lower = self.flat({op: [box.lower for box in boxes[op]] for op in self.ops})
        return lower, self.flat({op: [box.upper for box in boxes[op]] for op in self.ops})

    def parted(self, row: Tensor) -> dict[Nonlinear, tuple[Tensor, ...]]:
        """Tensors (B, *shape) of (B, N)."""
        found, pieces = {}, iter(row.split(self.sizes, 1))
        for op in self.ops:
            found[op] = tuple(next(pieces).view(-1, *shape) for shape in self.shapes[op])
        return found

    def boxes(self, lower: Tensor, upper: Tensor) -> Answers:
        """The boxes of all ops' arguments, of ends (B, N)."""
        lows, highs = self.parted(lower), self.parted(upper)
        return {op: tuple(map(Bounds, lows[op], highs[op])) for op in self.ops}

    def unsettled(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Entries over whose box their op may be other than affine, (B, N)."""
        boxes, found = self.boxes(lower, upper), {}
        for op in self.ops:
            settled = op.settled(boxes[op])
            wide = tuple(b.width > 0 for b in boxes[op])
            found[op] = wide if settled is None else tuple(~s & w for s, w in zip(settled, wide, strict=True))
        return self.flat(found)

    def thresholds(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Where each entry would be split, (B, N): at a kink between its ends, or in the middle."""
        boxes = self.boxes(lower, upper)
        return self.flat({op: tuple(_threshold(op, box) for box in boxes[op]) for op in self.ops})


def _threshold(op: Nonlinear, box: Bounds) -> Tensor:
    middle = box.centre
    found, nearest = middle, torch.full_like(middle, torch.inf)
    for kink in op.kinks if isinstance(op, PiecewiseLinear) else ():
        inside = (box.lower < kink) & (kink < box.upper) & ((middle - kink).abs() < nearest)
        nearest = torch.where(inside, (middle - kink).abs(), nearest)
        found = torch.where(inside, kink, found)
    return found
