"""Certified training with any domain: a mixture of the nominal loss and the loss at the domain's bound.

Gowal et al., "On the Effectiveness of Interval Bound Propagation for Training Verifiably Robust Models", eq. (11) with
Box; the loss is the same for every domain whose bounds are differentiable.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from absdomain.domain import Domain
from absdomain.expression import parse
from absdomain.lowering import to_graph
from absdomain.region import Linf
from absdomain.spec import margins
from absdomain.trainers.method import Method
from absdomain.trainers.objective import Objective, Step, certified_loss
from absdomain.trainers.recipe import Recipe


class Certified(Objective):
    """L = kappa CE(f(x), y) + (1 - kappa) log(1 + sum_j exp(-lower_j)) + l1 sum |w|, lower by `domain` on the ball.

    `example` (1 or more, *shape) is what the network takes, for lowering it; `clip` the range of a pixel, None for a
    ball that may leave it. The lowered graph shares the network's live parameters: one lowering serves the training.
    """

    def __init__(
        self,
        network: nn.Module,
        example: Tensor,
        domain: Domain[Any],
        *,
        classes: int = 10,
        clip: tuple[float, float] | None = (0.0, 1.0),
        l1: float = 0.0,
    ) -> None:
        super().__init__(network, l1=l1)
        self.graph = to_graph(network, example)
        self.domain, self.classes, self.clip = domain, classes, clip

    def lower(self, x: Tensor, y: Tensor) -> Tensor:
        region = Linf(x, self.eps, clip=self.clip)
        return self.domain.propagate(self.graph, region, margins(y, self.classes)).lower

    def forward(self, x: Tensor, y: Tensor) -> Step:
        return certified_loss(self, self.lower, x, y)


def objective(network: nn.Module, example: Tensor, classes: int, recipe: Recipe) -> Objective:
    """The recipe's domain and clip, given to Certified."""
    clip = (0.0, 1.0) if recipe.clip else None
    return Certified(network, example, parse(recipe.domain), classes=classes, clip=clip, l1=recipe.l1)


# The schedule of CROWN-IBP's MNIST models (Zhang et al., appendix), under which that paper compares all methods.
MNIST = Recipe(
    data="mnist",
    trainer="certified",
    domain="box",
    eps=0.3,
    epochs=100,
    batch=256,
    lr=5e-4,
    milestones=(71, 81, 91),
    decay=0.5,
    warmup=1,
    ramp=60,
    kappa_start=1.0,
    kappa_end=0.5,
)
FASHION = MNIST.on("fashion-mnist", eps=0.1)
CIFAR10 = MNIST.on(
    "cifar10",
    eps=8 / 255,
    clip=False,
    epochs=200,
    batch=128,
    lr=1e-3,
    warmup=10,
    ramp=120,
    milestones=(140, 150, 160, 170, 180, 190),
    flip=True,
    crop=4,
    normalise=True,
)
DIGITS = MNIST.on("digits", eps=0.1, batch=64, lr=5e-3, validation=144).lasting(80)
RECIPES = (MNIST, FASHION, CIFAR10, DIGITS)

certified = Method("certified", "nominal loss and the loss at any domain's bound, mixed by kappa", objective, RECIPES)
