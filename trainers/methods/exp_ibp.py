"""Exp-IBP: the losses at an attack and at the bound, their logarithms convexly combined (De Palma et al. 2024)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from absdomain.trainers.expressive import Expressive, method
from absdomain.trainers.losses import hinge
from absdomain.trainers.options import refused


class ExpIBP(Expressive):
    """loss(lower)^alpha CE(z, y)^(1 - alpha), of a loss that is never negative."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        if self.settings.loss is hinge:
            raise refused("loss", "hinge", "a negative one has no power alpha; take another")

    def combine(self, lower: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        alpha, tiny = self.settings.alpha, torch.finfo(logits.dtype).tiny  # a power of 0 has no gradient
        mean = self.share.mean  # a power of means is no mean
        bound, attacked = mean(self.settings.loss(lower)), mean(functional.cross_entropy(logits, y))
        return bound.clamp(min=tiny) ** alpha * attacked.clamp(min=tiny) ** (1 - alpha)


exp_ibp = method("exp-ibp", "between the logarithms of mtl-ibp's two losses", ExpIBP, (0.08, 1e-6), 0.0)
