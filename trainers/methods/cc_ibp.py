"""CC-IBP: the loss at a convex combination of margins at an attack and their bounds (De Palma et al. 2024)."""

from __future__ import annotations

from torch import Tensor

from absdomain.trainers.certified import worst_margins
from absdomain.trainers.expressive import Expressive, method


class CCIBP(Expressive):
    """loss(alpha lower + (1 - alpha) (z_y - z_j))."""

    def combine(self, lower: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        alpha = self.settings.alpha
        return self.settings.loss(alpha * lower + (1 - alpha) * worst_margins(logits, logits, y))


cc_ibp = method("cc-ibp", "the loss between margins at an attack and their bounds", CCIBP, (0.3, 3e-6), 0.0)
