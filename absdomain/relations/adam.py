"""Adam, uphill."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """The steps of Kingma and Ba 2015, algorithm 1, upwards and in place, by torch's own fused kernel.

    As `torch.optim.Adam(..., fused=True)`, which at its first step imports a compiler, for seconds.
    """

    def __init__(self, values: Sequence[Tensor], eps: float = 1e-8) -> None:
        self.values, self.eps = list(values), eps
        self.means = [torch.zeros_like(t) for t in self.values]
        self.squares = [torch.zeros_like(t) for t in self.values]
        self.counts = [torch.zeros((), dtype=torch.float32, device=t.device) for t in self.values]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """values += rate mean / (sqrt(square) + eps), each moment less its bias."""
        adam(
            self.values, list(gradients), self.means, self.squares, [], self.counts,
            fused=True, amsgrad=False, beta1=0.9, beta2=0.999, lr=rate, weight_decay=0.0, eps=self.eps, maximize=True,
        )  # fmt: skip
