"""Adversarial training: the loss at the points that an attack finds, with no bound and no proof.

The objective and the recipes on which `pgd`, `fgsm` and `trades` stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from absdomain.region import Linf
from absdomain.trainers.attacks import Attack
from absdomain.trainers.method import Setup
from absdomain.trainers.objective import Objective, Step, averaged, clean_error
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.schedules import START, Moment
from absdomain.trainers.times import Steps


class Adversarial(Objective):
    """L = kappa CE(f(x), y) + (1 - kappa) CE(f(x'), y) + l1 sum |w|, x' by an attack in the ball of the present eps.

    A term of weight 0 is not computed. x' counts as a constant.
    """

    with_clean: bool = True  # kappa > 0

    def __init__(
        self, network: nn.Module, attack: Attack, *, clip: tuple[float, float] | None = (0.0, 1.0), l1: float = 0.0
    ) -> None:
        super().__init__(network, l1=l1)
        self.attack, self.clip = attack, clip

    def set(self, *, eps: float, kappa: float, beta: float = 0.0, at: Moment = START) -> None:
        super().set(eps=eps, kappa=kappa, beta=beta, at=at)
        self.with_clean = kappa > 0

    def region(self, x: Tensor) -> Linf:
        """The ball around x of the present radius."""
        return Linf(x, self.eps, clip=self.clip)

    def forward(self, x: Tensor, y: Tensor) -> Step:
        loss, metrics = self.penalty(), {}
        if self.with_clean:
            nominal = self.nominal(x, y)
            loss, metrics = loss + self.kappa * nominal.loss, nominal.metrics
        if self.with_bound:
            ball = self.region(x)
            logits = self.network(self.attack(self.network, ball, y, start=self.share.point(ball)))
            loss = loss + (1 - self.kappa) * functional.cross_entropy(logits, y)
            metrics = metrics | {"train_attack_error": clean_error(logits, y)}
        return Step(loss, metrics)

    def epoch_end(self, held_out: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """`attack_error`: the held-out images' error under the attack that trains, at the present eps."""

        def look(x: Tensor, y: Tensor) -> dict[str, Tensor]:
            points = self.attack(self.network, self.region(x), y)
            return {"attack_error": clean_error(self.network(points), y)}

        return averaged(held_out, look)


def objective(setup: Setup[Any]) -> Objective:
    """Adversarial with the method's settings, an attack."""
    return Adversarial(setup.network, setup.settings, clip=setup.clip, l1=setup.recipe.l1)


# Gowal et al.'s optimiser, without their ramp: the attack has the whole radius from the first step, as in Madry et al.
MNIST = Recipe(
    data="mnist",
    trainer="pgd",
    eps=0.3,
    epochs=100,
    batch=100,
    lr=1e-3,
    milestones=(Steps(15e3), Steps(25e3)),
    kappa_start=0.0,
    kappa_end=0.0,
)
CIFAR10 = MNIST.on(
    "cifar10",
    eps=8 / 255,
    epochs=350,
    batch=50,
    milestones=(Steps(60e3), Steps(90e3)),
    flip=True,
    crop=4,
    normalise=True,
)
DIGITS = MNIST.on("digits", eps=0.1, epochs=30, batch=64, lr=2e-3, validation=144, milestones=(15.0, 25.0))
# 240 epochs of batch 50 with the same steps of decay; a mirrored digit is no digit.
SVHN = CIFAR10.on("svhn", eps=0.01, epochs=240, flip=False)
