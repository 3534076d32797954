"""CC-IBP, MTL-IBP and Exp-IBP: between the loss at an attack (alpha 0) and the loss at the bound (alpha 1).

De Palma et al. 2024, "Expressive Losses for Verified Robustness via Convex Combinations", section 4, and the public
code, whose attack of several steps keeps the worst point that it met, not the last. The paper has no Exp-IBP on MNIST:
its recipe here is MTL-IBP's.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from absdomain.graph import Graph
from absdomain.region import Linf
from absdomain.trainers import certified
from absdomain.trainers.attacks import AttackRule, Fgsm
from absdomain.trainers.certified import Certified, worst_margins
from absdomain.trainers.losses import hinge
from absdomain.trainers.method import Method, Setup
from absdomain.trainers.methods import shi
from absdomain.trainers.objective import Objective, Step, clean_error
from absdomain.trainers.options import refused
from absdomain.trainers.stabilise import Initialisation, ibp


@dataclass(frozen=True)
class Settings(certified.Settings):
    """`alpha` weighs the bound; the attack's ball has `reach` times the radius of the bound's."""

    alpha: float = 0.5
    attack: AttackRule = Fgsm(rate=10.0)
    reach: float = 1.0
    initialisation: Initialisation = ibp
    regularise: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha <= 1:
            raise refused("alpha", self.alpha, "give a weight in [0, 1]")
        if not self.reach > 0:
            raise refused("reach", self.reach, "give a factor > 0")


class Expressive(Certified):
    """Certified's loss with `combine` in the place of loss(lower), the logits those at the points of an attack.

    Batch statistics of both are those of the pass at x.
    """

    settings: Settings

    @abstractmethod
    def combine(self, lower: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        """The loss, (), of lower bounds (B, classes - 1) and attacked logits (B, classes)."""

    def robust(self, x: Tensor, y: Tensor, graph: Graph) -> Step:
        own = self.settings
        ball = Linf(x, self.eps * own.reach, clip=self.clip)
        points = own.attack(self.network, ball, y, start=self.share.point(ball))
        logits = self.logits(points, graph)
        bound = self.bound(self.region(x), y, graph)
        metrics = {"train_attack_error": clean_error(logits, y)} | self.proved(bound)
        return Step(self.combine(bound, logits, y), metrics)


class CCIBP(Expressive):
    """loss(alpha lower + (1 - alpha) (z_y - z_j))."""

    def combine(self, lower: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        alpha = self.settings.alpha
        return self.settings.loss(alpha * lower + (1 - alpha) * worst_margins(logits, logits, y))


class MTLIBP(Expressive):
    """alpha loss(lower) + (1 - alpha) CE(z, y)."""

    def combine(self, lower: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        alpha = self.settings.alpha
        return alpha * self.settings.loss(lower) + (1 - alpha) * functional.cross_entropy(logits, y)


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


def objective(kind: type[Expressive], setup: Setup[Settings]) -> Objective:
    """One of them with the recipe's domain."""
    return kind.of(setup)


def _method(name: str, summary: str, kind: type[Expressive], mnist: tuple[float, float], l1: float) -> Method[Settings]:
    """The recipes of a method: (alpha, l1) on MNIST at 0.3, l1 on CIFAR-10 at 8/255, where alpha is 0.5."""
    alpha, l1_mnist = mnist
    given: dict[str, Any] = {"trainer": f"{name}(alpha={alpha})", "eps": 0.4, "eps_eval": 0.3, "l1": l1_mnist}
    recipes = (
        shi.MNIST.on("mnist", **given),
        shi.CIFAR10.on("cifar10", trainer=name, epochs=260, milestones=(180.0, 220.0), l1=l1),
        shi.DIGITS.on("digits", trainer=name),
    )
    return Method(name, summary, partial(objective, kind), recipes, Settings())


cc_ibp = _method("cc-ibp", "the loss between margins at an attack and their bounds", CCIBP, (0.3, 3e-6), 0.0)
mtl_ibp = _method("mtl-ibp", "between the losses at an attack and at the bound", MTLIBP, (0.08, 1e-6), 1e-7)
exp_ibp = _method("exp-ibp", "between those losses' logarithms", ExpIBP, (0.08, 1e-6), 0.0)
