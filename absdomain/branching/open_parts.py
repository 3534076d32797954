"""Parts that are still open, of which those with the least bounds come first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor


class OpenParts(ABC):
    """N parts in tensors of N rows each, among them a lower bound of each part."""

    bound: Tensor  # (N,)

    @abstractmethod
    def select(self, index: Tensor) -> Self:
        """The parts at these places, or where a mask holds."""

    def __len__(self) -> int:
        return len(self.bound)

    def taken(self, count: int) -> tuple[Self, Self]:
        """The `count` parts of the least bounds, and the rest."""
        if len(self) <= count:
            return self, self.select(torch.zeros(0, dtype=torch.long))
        index = self.bound.topk(count, largest=False).indices
        left = torch.ones(len(self), dtype=torch.bool)
        left[index] = False
        return self.select(index), self.select(left)
