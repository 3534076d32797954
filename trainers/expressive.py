"""Expressive losses: anything between the loss at an attack (alpha 0) and the loss at the bound (alpha 1).

De Palma et al. 2024, "Expressive Losses for Verified Robustness via Convex Combinations", section 4, and the public
code, whose attack of several steps keeps the worst point that it met, not the last. `cc-ibp`, `mtl-ibp` and `exp-ibp`
are such losses. The paper has no Exp-IBP on MNIST: its recipe here is MTL-IBP's.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from absdomain.graph import Graph
from absdomain.region import Linf
from absdomain.trainers import certified
from absdomain.trainers.attacks import AttackRule, Fgsm
from absdomain.trainers.certified import Certified
from absdomain.trainers.method import Method
from absdomain.trainers.methods import shi
from absdomain.trainers.objective import Step, clean_error
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


def method(name: str, summary: str, kind: type[Expressive], mnist: tuple[float, float], l1: float) -> Method[Settings]:
    """The method of a loss: its recipes have (alpha, l1) on MNIST at 0.3, l1 on CIFAR-10 at 8/255, with alpha 0.5."""
    alpha, l1_mnist = mnist
    given: dict[str, Any] = {"trainer": f"{name}(alpha={alpha})", "eps": 0.4, "eps_eval": 0.3, "l1": l1_mnist}
    recipes = (
        shi.MNIST.on("mnist", **given),
        shi.CIFAR10.on("cifar10", trainer=name, epochs=260, milestones=(180.0, 220.0), l1=l1),
        shi.DIGITS.on("digits", trainer=name),
    )
    return Method(name, summary, kind.of, recipes, Settings())
