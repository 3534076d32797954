"""TRADES: the nominal loss, and how far an attack moves the prediction.

Zhang et al. 2019, "Theoretically Principled Trade-off between Robustness and Accuracy".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain.runtime.modes import evaluating
from absdomain.trainers.adversarial import CIFAR10, DIGITS, MNIST, Adversarial
from absdomain.trainers.attacks import Attack, SignAscent
from absdomain.trainers.method import Method, Setup
from absdomain.trainers.objective import Objective, Step, clean_error
from absdomain.trainers.options import refused


@dataclass(frozen=True)
class Settings:
    """TRADES's weight (1 / lambda in its paper, beta in its code), and its ascent: steps, and rate in units of eps."""

    weight: float = 6.0
    steps: int = 10
    rate: float = 0.226  # 0.007 of 0.031

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise refused("weight", self.weight, "give a weight >= 0")
        SignAscent(self.steps, self.rate)  # which checks them


class Trades(Adversarial):
    """L = CE(f(x), y) + weight KL(p(x) || p(x')) + l1 sum |w|, p = softmax f, x' by an ascent of the KL term.

    The ascent starts at x with a deviation of 0.001, where the KL term's gradient is not yet 0. kappa is ignored but
    for natural epochs, kappa 1 before eps grows.
    """

    def __init__(
        self,
        network: nn.Module,
        attack: Attack,
        *,
        weight: float = 6.0,
        clip: tuple[float, float] | None = (0.0, 1.0),
        l1: float = 0.0,
    ) -> None:
        super().__init__(network, attack, clip=clip, l1=l1)
        self.weight = weight

    def forward(self, x: Tensor, y: Tensor) -> Step:
        logits = self.network(x)
        metrics = {"clean_error": clean_error(logits, y)}
        loss = functional.cross_entropy(logits, y) + self.penalty()
        if self.with_bound:
            region, move = self.region(x), partial(_divergence, self._logarithms(x))
            start = region.project(x + 0.001 * self.share.normal(x))
            at_points = self.network(self.attack(self.network, region, y, loss=move, start=start))
            loss = loss + self.weight * _divergence(logits.log_softmax(1), at_points, y).mean()
            metrics["train_attack_error"] = clean_error(at_points, y)
        return Step(loss, metrics)

    def _logarithms(self, x: Tensor) -> Tensor:
        """log p(x) as the attack sees the network: in evaluation mode."""
        with evaluating(self.network), torch.no_grad():
            return self.network(x).log_softmax(1)


def _divergence(target: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """KL(e^target || softmax logits) = sum_j e^target_j (target_j - log softmax_j), (B,); both (B, classes).

    The target is given by its logarithms, as a probability that underflows to 0 has none, nor a gradient.
    """
    return functional.kl_div(logits.log_softmax(1), target, reduction="none", log_target=True).sum(1)


def objective(setup: Setup[Settings]) -> Objective:
    """Trades with an attack of the settings' steps."""
    settings = setup.settings
    attack = SignAscent(settings.steps, settings.rate)
    return Trades(setup.network, attack, weight=settings.weight, clip=setup.clip, l1=setup.recipe.l1)


# The released code's schedules.
_TRADES_CIFAR10 = CIFAR10.on(
    "cifar10",
    trainer="trades",
    eps=0.031,
    epochs=100,
    batch=128,
    optimiser="sgd",
    lr=0.1,
    weight_decay=2e-4,
    milestones=(75.0, 90.0),
)
trades = Method(
    "trades",
    "cross-entropy, and how far an attack moves the prediction",
    objective,
    (
        MNIST.on(
            "mnist",
            trainer=f"trades(weight=1.0, steps=40, rate={1 / 30:.4g})",
            optimiser="sgd",
            lr=0.01,
            batch=128,
            milestones=(55.0, 75.0, 90.0),
        ),
        _TRADES_CIFAR10,
        _TRADES_CIFAR10.on("svhn", eps=0.01, flip=False),
        DIGITS.on("digits", trainer="trades"),
    ),
    Settings(),
)
