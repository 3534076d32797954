"""Natural training: the cross-entropy of the clean images."""

from __future__ import annotations

from torch import Tensor

from absdomain.trainers.method import Method, Setup
from absdomain.trainers.objective import Objective, Step
from absdomain.trainers.recipe import Recipe


class Natural(Objective):
    """L = CE(f(x), y) + l1 sum |w|."""

    def forward(self, x: Tensor, y: Tensor) -> Step:
        step = self.nominal(x, y)
        return Step(step.loss + self.penalty(), step.metrics)


def _objective(setup: Setup[None]) -> Objective:
    return Natural(setup.network, l1=setup.recipe.l1)


MNIST = Recipe(data="mnist", trainer="natural", epochs=20, batch=256, lr=5e-4, milestones=(10, 15), decay=0.5)
DIGITS = MNIST.on("digits", epochs=30, batch=64, lr=2e-3, validation=144, milestones=(15, 25))
CIFAR10 = MNIST.on(
    "cifar10", epochs=200, batch=128, lr=1e-3, milestones=(130, 160, 190), flip=True, crop=4, normalise=True
)
SVHN = CIFAR10.on("svhn", flip=False)  # a mirrored digit is no digit
TOY = MNIST.on("toy", network="toy", clip=False, epochs=400, batch=13, lr=2e-3, milestones=(), validation=0)

RECIPES = (MNIST, DIGITS, CIFAR10, SVHN, TOY)
natural = Method("natural", "cross-entropy of the clean images", _objective, RECIPES)
