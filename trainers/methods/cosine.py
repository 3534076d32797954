"""Natural training beside a natural reference, with gradients of the loss that are to be orthogonal to its.

Li et al., "Robustra: Training Provable Robust Neural Networks over Reference Adversarial Space" (2019), section 4: the
observation that made the case for their reference space. Nothing is proved. Their reference has been trained before;
here it trains along, so that one command does all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain.region import Linf
from absdomain.trainers.attacks import AttackRule, SignAscent
from absdomain.trainers.method import Method, Setup
from absdomain.trainers.methods.natural import CIFAR10 as NATURAL_CIFAR10
from absdomain.trainers.methods.natural import DIGITS as NATURAL_DIGITS
from absdomain.trainers.methods.natural import MNIST as NATURAL_MNIST
from absdomain.trainers.objective import Objective, Step, averaged, clean_error
from absdomain.trainers.options import refused
from absdomain.trainers.pairs import partner, transfer_error


@dataclass(frozen=True)
class Settings:
    """The weight of the cosine, and the attack whose errors are shown after each epoch."""

    weight: float = 0.1
    attack: AttackRule = SignAscent(steps=40, rate=0.1)

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise refused("weight", self.weight, "give a weight >= 0")


class Cosine(Objective):
    """L = CE(f(x), y) + CE(g(x), y) + weight mean |cos(grad_x CE(f(x), y), grad_x CE(g(x), y))| + l1 sum |w| of f.

    The cosine moves f alone, so that the reference g trains naturally. The schedules' kappa is ignored.
    """

    def __init__(
        self,
        network: nn.Module,
        partner: nn.Module,
        settings: Settings,
        *,
        clip: tuple[float, float] | None = (0.0, 1.0),
        l1: float = 0.0,
    ) -> None:
        super().__init__(network, l1=l1)
        self.partner, self.settings, self.clip = partner, settings, clip

    @property
    def models(self) -> dict[str, nn.Module]:
        return {"model": self.network, "partner": self.partner}

    def forward(self, x: Tensor, y: Tensor) -> Step:
        logits, own, gradient = _gradient(self.network, x, y)
        _, other, reference = _gradient(self.partner, x, y)
        cosine = functional.cosine_similarity(gradient, reference.detach()).abs().mean()
        seen = {"clean_error": clean_error(logits, y), "cosine": cosine.detach()}
        return Step(own + other + self.settings.weight * cosine + self.penalty(), seen)

    def epoch_end(self, held_out: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Figure 1 there: the errors under the attack on the network itself, and under that on the other one."""

        def look(x: Tensor, y: Tensor) -> dict[str, Tensor]:
            region, attack = Linf(x, self.eps, clip=self.clip), self.settings.attack
            return {
                prefix + name: transfer_error(attack, source, own, region, y)
                for prefix, own, other in (("", self.network, self.partner), ("partner_", self.partner, self.network))
                for name, source in (("attack_error", own), ("transfer_error", other))
            }

        return averaged(held_out, look)


def _gradient(network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The logits, the mean loss, and each sample's gradient of its loss in x, (B, n), itself differentiable."""
    at = x.detach().requires_grad_()
    logits = network(at)
    losses = functional.cross_entropy(logits, y, reduction="none")
    (gradient,) = torch.autograd.grad(losses.sum(), at, create_graph=True)
    return logits, losses.mean(), gradient.flatten(1)


def objective(setup: Setup[Settings]) -> Objective:
    """The recipe's network twice."""
    return Cosine(setup.network, partner(setup), setup.settings, clip=setup.clip, l1=setup.recipe.l1)


# Natural training's own schedules; eps is that of the attack that is shown.
RECIPES = (
    NATURAL_MNIST.on("mnist", trainer="cosine", eps=0.1),
    NATURAL_DIGITS.on("digits", trainer="cosine", eps=0.1),
    NATURAL_CIFAR10.on("cifar10", trainer="cosine", eps=2 / 255),
)
cosine = Method(
    "cosine", "cross-entropy, with input gradients orthogonal to a second network's", objective, RECIPES, Settings()
)
