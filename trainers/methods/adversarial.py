"""Adversarial training: the loss at the points that an attack finds, with no bound and no proof.

FGSM from a random start (Wong, Rice and Kolter, "Fast is better than free"), PGD (Madry et al. 2018, with the steps of
Adam of Gowal et al.'s baseline) and TRADES (Zhang et al. 2019, "Theoretically Principled Trade-off between Robustness
and Accuracy").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain.region import Linf
from absdomain.runtime.modes import evaluating
from absdomain.trainers.attacks import Adam, Attack, Fgsm, SignAscent
from absdomain.trainers.method import Method, Setup
from absdomain.trainers.objective import Objective, Step, clean_error
from absdomain.trainers.options import refused
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.schedules import START, Moment


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
        wrong = count = 0.0
        for x, y in held_out:
            points = self.attack(self.network, self.region(x), y)
            wrong += clean_error(self.network(points), y).item() * len(y)
            count += len(y)
        return {"attack_error": wrong / count} if count else {}


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


@dataclass(frozen=True)
class TradesSettings:
    """TRADES's weight (1 / lambda in its paper, beta in its code), and its ascent: steps, and rate in units of eps."""

    weight: float = 6.0
    steps: int = 10
    rate: float = 0.226  # 0.007 of 0.031

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise refused("weight", self.weight, "give a weight >= 0")
        SignAscent(self.steps, self.rate)  # which checks them


def _objective(setup: Setup[Fgsm] | Setup[Adam]) -> Objective:
    return Adversarial(setup.network, setup.settings, clip=setup.clip, l1=setup.recipe.l1)


def _trades(setup: Setup[TradesSettings]) -> Objective:
    settings = setup.settings
    attack = SignAscent(settings.steps, settings.rate)
    return Trades(setup.network, attack, weight=settings.weight, clip=setup.clip, l1=setup.recipe.l1)


# Gowal et al.'s optimiser, without their ramp: the attack has the whole radius from the first step, as in Madry et al.
MNIST = Recipe(
    data="mnist",
    trainer="pgd",
    eps=0.3,
    epochs=100,
    batch=100,
    lr=1e-3,
    milestones=(25.0, 41.7),
    kappa_start=0.0,
    kappa_end=0.0,
)
CIFAR10 = MNIST.on(
    "cifar10", eps=8 / 255, epochs=350, batch=50, milestones=(60.0, 90.0), flip=True, crop=4, normalise=True
)
DIGITS = MNIST.on("digits", eps=0.1, epochs=30, batch=64, lr=2e-3, validation=144, milestones=(15.0, 25.0))
# 240 epochs of batch 50 with the same steps of decay; a mirrored digit is none.
SVHN = CIFAR10.on("svhn", eps=0.01, epochs=240, milestones=(41.0, 61.5), flip=False)
RECIPES = (MNIST, CIFAR10, SVHN, DIGITS)

pgd = Method("pgd", "cross-entropy at the points that steps of Adam find", _objective, RECIPES, Adam())
fgsm = Method(
    "fgsm",
    "cross-entropy at the points that one step from a random start finds",
    _objective,
    # As many epochs as that paper needs, with step decay in place of its cyclic learning rate.
    (
        replace(MNIST, trainer="fgsm", epochs=10, milestones=(6.0, 8.0)),
        replace(CIFAR10, trainer="fgsm", epochs=40, batch=128, milestones=(24.0, 34.0)),
        replace(SVHN, trainer="fgsm", epochs=40, batch=128, milestones=(24.0, 34.0)),
        replace(DIGITS, trainer="fgsm"),
    ),
    Fgsm(),
)
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
    _trades,
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
    TradesSettings(),
)
