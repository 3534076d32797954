"""Parts that are still open, of which those with the least bounds come first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor

_SPARSE = 2  # rows of a block for each that is open: with more of them the open ones are copied


class OpenParts(ABC):
    """N parts in tensors of N rows each, among them a lower bound of each part."""

    bound: Tensor  # (N,)

    @abstractmethod
    def select(self, index: Tensor) -> Self:
        """The parts at these places, or where a mask holds."""

    @abstractmethod
    def with_more(self, *others: Self) -> Self:
        """These and the others."""

    def __len__(self) -> int:
        return len(self.bound)


P = TypeVar("P", bound=OpenParts)


class Queue(Generic[P]):
    """Open parts in the blocks in which they came: to take some and to add some copies these, and seldom the rest."""

    def __init__(self, parts: P) -> None:
        self._blocks: list[tuple[P, Tensor]] = []  # with the places of those that are open
        self.add(parts)

    def __len__(self) -> int:
        return sum(len(index) for _, index in self._blocks)

    @property
    def least(self) -> float:
        """The least bound; inf: nothing is open."""
        return float(self._bounds().min()) if len(self) else inf

    def add(self, parts: P) -> None:
        """More parts."""
        if len(parts):
            self._blocks.append((parts, torch.arange(len(parts))))

    def take(self, count: int) -> P:
        """The `count` parts of the least bounds, or all there are: they leave the queue. IndexError without any."""
        bounds, sizes = self._bounds(), [len(index) for _, index in self._blocks]
        chosen = torch.zeros(len(bounds), dtype=torch.bool)
        chosen[bounds.topk(min(count, len(bounds)), largest=False).indices] = True
        found, left = list[P](), list[tuple[P, Tensor]]()
        for (block, index), mine in zip(self._blocks, chosen.split(sizes), strict=True):
            if mine.any():
                found.append(block.select(index[mine]))
            left.append(_dense(block, index[~mine]))
        self._blocks = [pair for pair in left if len(pair[1])]
        return found[0].with_more(*found[1:]) if len(found) > 1 else found[0]

    def _bounds(self) -> Tensor:
        """Those of the open parts, block by block."""
        none = torch.zeros(0, dtype=torch.float64)
        return torch.cat([none, *(block.bound[index] for block, index in self._blocks)])


def _dense(block: P, index: Tensor) -> tuple[P, Tensor]:
    """The same open parts, copied where most of the block is not open."""
    if len(index) * _SPARSE >= len(block):
        return block, index
    return block.select(index), torch.arange(len(index))
