"""Wong and Kolter's training: the robust cross-entropy at the bound of the dual network.

Wong and Kolter, "Provable Defenses against Adversarial Examples via the Convex Outer Adversarial Polytope" (2018), with
exact boxes; Wong et al., "Scaling Provable Adversarial Defenses" (2018), with `dual(projections=50)`, whose boxes are
estimates: each step draws anew, and what is shown as verified has exact boxes. Schedules are those of the public code.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from absdomain.algebra import AnyDomain, Guided, Meet, Mix
from absdomain.expression import parse
from absdomain.guarantee import Guarantee
from absdomain.spec import margins
from absdomain.trainers.certified import USUAL, Certified, Settings, checked
from absdomain.trainers.method import Method, Setup
from absdomain.trainers.objective import Objective
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.schedules import START, Moment


class WongKolter(Certified):
    """L = kappa CE(f(x), y) + (1 - kappa) loss(J) + l1 sum |w|, J the domain's bound; random parts are drawn each step.

    A part of the domain with a `seed`, as dual(projections=50), has another at every step of every training. `lower`
    takes the domain without projections.
    """

    def __init__(
        self,
        network: nn.Module,
        example: Tensor,
        domain: AnyDomain,
        *,
        classes: int = 10,
        clip: tuple[float, float] | None = (0.0, 1.0),
        l1: float = 0.0,
        settings: Settings = USUAL,
        eps_end: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            network, example, domain, classes=classes, clip=clip, l1=l1, settings=settings, eps_end=eps_end
        )
        self.drawn, self.seed = domain, seed
        exact = throughout(domain, "projections", None)
        self.exact = exact if exact.guarantee is Guarantee.SOUND else parse("box")

    def set(self, *, eps: float, kappa: float, beta: float = 0.0, at: Moment = START) -> None:
        super().set(eps=eps, kappa=kappa, beta=beta, at=at)
        draw = np.random.default_rng((self.seed, at.step)).integers(2**32)  # torch's generator heeds no more bits
        self.domain = throughout(self.drawn, "seed", int(draw))

    def lower(self, x: Tensor, y: Tensor) -> Tensor:
        """Bounds by the domain without projections, or by Box if it proves nothing even so."""
        return self.exact.propagate(self.graph, self.region(x), margins(y, self.classes)).lower


def throughout(domain: AnyDomain, name: str, value: Any) -> AnyDomain:
    """The domain with the value in every part that has a field of that name; itself where none has."""
    match domain:
        case Guided(inner, by):
            return throughout(inner, name, value).guided(by=throughout(by, name, value))
        case Meet(parts=parts):
            return Meet(*(throughout(part, name, value) for part in parts))
        case Mix(first, second, weight):
            return Mix(throughout(first, name, value), throughout(second, name, value), weight)
    return replace(domain, **{name: value}) if any(field.name == name for field in fields(domain)) else domain  # type: ignore[arg-type,type-var]


def objective(setup: Setup[Settings]) -> Objective:
    """The recipe's domain, clip and seed, given to WongKolter."""
    recipe = checked(setup).recipe
    return WongKolter(
        setup.network,
        setup.example,
        setup.domain,
        classes=setup.classes,
        clip=setup.clip,
        l1=recipe.l1,
        settings=setup.settings,
        eps_end=recipe.eps,
        seed=recipe.seed,
    )


# The public code: eps grows at the start of each epoch, over 20 of them; 10 epochs later the learning rate is halved,
# and again every 10. CIFAR-10's radii there are those of images divided by .225.
MNIST = Recipe(
    data="mnist",
    network="wong-small",
    trainer="wong-kolter",
    domain="dual(projections=50)",
    eps=0.1,
    eps_start=0.01,
    epochs=60,
    batch=50,
    lr=1e-3,
    ramp=20.0,
    stair=1,
    milestones=(30.0, 40.0, 50.0),
    decay=0.5,
    kappa_start=0.0,
    kappa_end=0.0,
    validation=1000,  # bounded after each epoch without projections, which takes long
)
CIFAR10 = MNIST.on(
    "cifar10",
    eps=2 / 255,
    eps_start=0.001 * 0.225,
    clip=False,
    optimiser="sgd",
    lr=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    gradient_norm=1.0,
    flip=True,
    crop=4,
    normalise=True,
)
DIGITS = MNIST.on(
    "digits",
    network="mlp-2x100",
    domain="dual",
    epochs=40,
    batch=64,
    lr=5e-3,
    ramp=14.0,
    milestones=(20.0, 27.0, 34.0),
    validation=144,
)
RECIPES = (MNIST, CIFAR10, DIGITS)

wong_kolter = Method(
    "wong-kolter",
    "robust cross-entropy at the dual network's bound, exact or by projections",
    objective,
    RECIPES,
    USUAL,
)
