"""What AdvIBP remembers of two losses' gradients: moving averages of the gradients and of their norms.

Fan and Li 2021, "Adversarial Training and Provable Robustness: A Tale of Two Objectives", algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from absdomain.trainers.directions import gram, weights


class Moments(nn.Module):
    """m_k <- beta1 m_k + (1 - beta1) g_k, v_k <- beta2 v_k + (1 - beta2) |g_k|, for k = 1, 2, divided by 1 - beta^t.

    Law: `weights` depend on the gradients that `see` was given, so on none of the present batch. The state is in
    buffers: two vectors of the gradients' size, their norms and t.
    """

    mean: Tensor  # (2, size)
    norm: Tensor  # (2,)
    count: Tensor  # (), t: gradients seen

    def __init__(
        self, size: int, like: Tensor, *, beta1: float = 0.9, beta2: float = 0.99, long_step: bool = False
    ) -> None:
        super().__init__()
        self.beta1, self.beta2, self.long_step = beta1, beta2, long_step
        device = like.device
        self.register_buffer("mean", torch.zeros(2, size, dtype=like.dtype, device=device))
        self.register_buffer("norm", torch.zeros(2, dtype=torch.float64, device=device))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64, device=device))

    def weights(self, *, second_first: bool) -> tuple[Tensor, Tensor, bool]:
        """(k_1, k_2, whether the moments oppose each other); a half each before any gradient was seen.

        `second_first`: the second loss comes first where they do. A moment of length 0 opposes nothing. `long_step`
        is that of `directions.weights`.
        """
        seen = int(self.count)
        if not seen:
            half = torch.full((), 0.5, dtype=torch.float64, device=self.norm.device)
            return half, half, False
        m1, m2 = self.mean.double() / (1 - self.beta1**seen)
        v1, v2 = self.lengths
        products = gram([m1], [m2])
        opposed = bool((products.cross <= 0) & (v1 > 0) & (v2 > 0))
        return *weights(products, v1, v2, second_first=second_first, long_step=self.long_step), opposed

    @property
    def lengths(self) -> Tensor:
        """(v_1, v_2), the means of the gradients' norms; 0 before any gradient was seen."""
        return self.norm / (1 - self.beta2 ** max(int(self.count), 1))

    def see(self, g1: Tensor, g2: Tensor) -> None:
        """Take in the gradients of the step that was just weighed, both (size,)."""
        both = torch.stack((g1, g2)).detach()
        self.mean.lerp_(both, 1 - self.beta1)
        self.norm.lerp_(torch.linalg.vector_norm(both.double(), dim=1), 1 - self.beta2)
        self.count += 1
