"""MTL-IBP: a convex combination of the loss at an attack and the loss at the bound (De Palma et al. 2024)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from absdomain.trainers.expressive import Expressive, method


class MTLIBP(Expressive):
    """alpha loss(lower) + (1 - alpha) CE(z, y)."""

    def combine(self, lower: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        alpha = self.settings.alpha
        return alpha * self.settings.loss(lower) + (1 - alpha) * functional.cross_entropy(logits, y)


mtl_ibp = method("mtl-ibp", "between the losses at an attack and at the bound", MTLIBP, (0.08, 1e-6), 1e-7)
