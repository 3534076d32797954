"""Certified training with any domain: a mixture of the nominal loss and the loss at the domain's bound.

Gowal et al., "On the Effectiveness of Interval Bound Propagation for Training Verifiably Robust Models", eq. (11) with
Box; the loss is the same for every domain whose bounds are differentiable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain.domain import AnyDomain
from absdomain.domains import Box
from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.lowering import to_graph
from absdomain.region import Linf, Region
from absdomain.spec import margins
from absdomain.trainers import randomness
from absdomain.trainers.batchnorm import BatchNorms
from absdomain.trainers.kappa import KappaRule, Scheduled
from absdomain.trainers.losses import BoundLoss, robust_cross_entropy
from absdomain.trainers.method import Method, Setup
from absdomain.trainers.objective import Objective, Step, averaged, clean_error, verified_error
from absdomain.trainers.options import refused
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.schedules import START, Moment
from absdomain.trainers.stabilise import SMALLEST, Initialisation, as_built, regulariser


@dataclass(frozen=True)
class Settings:
    """How a bound becomes a loss, whether the last layer is joined with the margins, and where kappa comes from.

    `initialisation` sets the network's first weights. `regularise` is the weight of stabilise.regulariser at radius 0,
    which falls to 0 as eps grows (Shi et al. 2021; 0.5 there).
    """

    loss: BoundLoss = robust_cross_entropy
    elision: bool = True
    weight: KappaRule = Scheduled()
    initialisation: Initialisation = as_built
    regularise: float = 0.0

    def __post_init__(self) -> None:
        if not self.regularise >= 0:
            raise refused("regularise", self.regularise, "give a weight >= 0")


USUAL = Settings()


class Certified(Objective):
    """L = kappa CE(f(x), y) + (1 - kappa) loss(lower) + intensity regulariser + l1 sum |w|.

    `lower` is the bound of `domain` on the ball, `intensity` = settings.regularise * (1 - eps / eps_end). A method with
    another robust term overrides `robust`.

    `example` (1 or more, *shape) is what the network takes, for lowering it; `clip` the range of a pixel, None for a
    ball that may leave it. The lowered graph shares the network's live parameters: one lowering serves the training.
    A part of the domain with a `seed`, as dual(projections=50), has another at every step of every training (`seed` is
    the training's); `lower` takes the domain without projections.

    A term of weight 0 is not computed: at kappa 1 the network is not bounded, and at kappa 0 it is not evaluated at x,
    which saves a third of an IBP step. In a network with batch norm it always is: bounds use that pass's statistics.
    """

    intensity: Tensor  # (), of the regulariser
    with_regulariser: bool = False  # intensity > 0
    learnt: Tensor  # kappa from held-out images, (), where the weight learns; 1 before the first epoch has ended

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
        super().__init__(network, l1=l1)
        if not domain.traits.differentiable:
            raise refused("domain", str(domain), "its bounds have no gradient to train with; take one that has, as box")
        if settings.regularise > 0 and not eps_end > 0:
            raise refused("eps_end", eps_end, "the regulariser fades as eps grows to it; give the training radius")
        settings.initialisation(network)
        self.eps_end = eps_end
        self.register_buffer("intensity", torch.zeros_like(self.eps), persistent=False)
        self.graph = to_graph(network, example)
        self.batchnorms = BatchNorms.of(network, self.graph)
        self.domain = self.given = domain
        self.classes, self.clip, self.settings, self.seed = classes, clip, settings, seed
        if settings.weight.learns:
            self.register_buffer("learnt", torch.ones((), dtype=torch.float64, device=self.eps.device))

    @classmethod
    def of(cls, setup: Setup[Any]) -> Self:
        """The objective of a recipe's domain, clip, radius and l1, with the method's settings."""
        recipe, settings = checked(setup).recipe, setup.settings
        return cls(
            setup.network,
            setup.example,
            setup.domain,
            classes=setup.classes,
            clip=setup.clip,
            l1=recipe.l1,
            settings=settings,
            eps_end=recipe.eps,
            seed=recipe.seed,
        )

    def set(self, *, eps: float, kappa: float, beta: float = 0.0, at: Moment = START) -> None:
        if self.settings.weight.learns:
            kappa = self.settings.weight.kappa(kappa, self.learnt.item()) if eps > 0 else 1.0
        super().set(eps=eps, kappa=kappa, beta=beta, at=at)
        self.domain = randomness.drawn(self.given, self.seed, at)
        faded = min(eps / self.eps_end, 1.0) if self.eps_end > 0 else 1.0
        self.intensity.fill_(self.settings.regularise * (1 - faded))
        self.with_regulariser = self.settings.regularise > 0 and faded < 1

    def region(self, x: Tensor) -> Linf:
        """The ball around x of the present radius."""
        return Linf(x, self.eps, clip=self.clip)

    def bound(self, region: Region, y: Tensor, graph: Graph | None = None) -> Tensor:
        """(B, classes - 1) the domain's lower bounds of z_y - z_j over a region, for the loss.

        `graph` is that of `self.batchnorms(x)`, by default the one with running statistics.
        """
        graph = self.graph if graph is None else graph
        if self.settings.elision:
            return self.domain.propagate(graph, region, margins(y, self.classes)).lower
        trace = self.domain.propagate(graph, region)
        return worst_margins(trace.lower, trace.upper, y)

    def lower(self, x: Tensor, y: Tensor) -> Tensor:
        """Bounds by the domain without random projections, or by Box if it proves nothing even so."""
        return self.sound.propagate(self.graph, self.region(x), margins(y, self.classes)).lower

    @property
    def sound(self) -> AnyDomain:
        """The domain without random projections, or Box if it proves nothing even so."""
        exact = randomness.exact(self.domain)
        return exact if exact.guarantee is Guarantee.SOUND else Box()

    def forward(self, x: Tensor, y: Tensor) -> Step:
        loss, metrics = self.penalty(), {}
        logits, robust, graph = self.parts(x, y)
        if logits is not None:
            loss = loss + self.kappa * functional.cross_entropy(logits, y)
            metrics["clean_error"] = clean_error(logits, y)
        if robust is not None:
            loss = loss + (1 - self.kappa) * robust.loss
            metrics |= robust.metrics
        if self.with_regulariser:
            small = Linf(x, self.eps.clamp(min=SMALLEST), clip=self.clip)
            term = self.intensity * regulariser(graph, small, self.share)
            loss = loss + term
            metrics["regulariser"] = term.detach()
        return Step(loss, metrics)

    def parts(self, x: Tensor, y: Tensor) -> tuple[Tensor | None, Step | None, Graph]:
        """(f(x), the robust term, the graph with the batch's statistics); None for what has weight 0."""
        logits, graph = self.batchnorms(x, self.share) if self.with_nominal else (None, self.graph)
        return logits, self.robust(x, y, graph) if self.with_bound else None, graph

    def robust(self, x: Tensor, y: Tensor, graph: Graph) -> Step:
        """The loss at the bound on the ball around x; `graph` is that of `self.batchnorms(x)`."""
        bound = self.bound(self.region(x), y, graph)
        return Step(self.settings.loss(bound), self.proved(bound))

    def logits(self, points: Tensor, graph: Graph) -> Tensor:
        """f(points), (B, classes), points other than those that the network has just seen.

        In a network with batch norm by the statistics of that pass, which `graph` has: they are updated no second time.
        """
        return graph(points) if self.tracks else self.network(points)

    def proved(self, bound: Tensor) -> dict[str, Tensor]:
        """The verified error of bounds on the whole ball, as a step shows it; none if the domain proves nothing."""
        return {"verified_error": verified_error(bound)} if self.domain.guarantee is Guarantee.SOUND else {}

    def epoch_end(self, held_out: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Learns kappa at the present eps, where the weight learns; `lambda` is what it becomes."""
        if not self.settings.weight.learns:
            return {}

        def look(x: Tensor, y: Tensor) -> dict[str, Tensor]:
            loss = functional.cross_entropy(self.network(x), y)
            return {"nominal": loss, "robust": self.robust(x, y, self.graph).loss}

        if means := averaged(held_out, look):
            self.learnt.fill_(self.settings.weight.learn(**means, learnt=self.learnt.item()))
        return {"lambda": 1 - self.learnt.item()}


def worst_margins(lower: Tensor, upper: Tensor, y: Tensor) -> Tensor:
    """l_y - u_j for j != y in the order of j, (B, classes - 1), from bounds (B, classes) of the logits themselves.

    Never above the bound of the functional z_y - z_j itself, which elision gives.
    """
    classes = lower.shape[1]
    k = torch.arange(classes - 1, device=y.device)
    other = k + (k >= y.unsqueeze(1)).long()  # (B, classes - 1)
    return lower.gather(1, y.unsqueeze(1)) - upper.gather(1, other)


def checked(setup: Setup[Any]) -> Setup[Any]:
    """The setup; RecipeError where kappa is learnt from held-out images and the recipe holds none out."""
    if setup.settings.weight.learns and setup.recipe.validation == 0:
        raise setup.recipe.refuse("validation", "an adaptive weight learns from held-out images; hold some out")
    return setup


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
FASHION = MNIST.on("fashion-mnist", eps=0.1, lr=1e-3)
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
# The same without mirroring, at Gowal et al.'s radius: 0.01, trained at 1.1 times that.
SVHN = CIFAR10.on("svhn", eps=0.011, eps_eval=0.01, flip=False)
SHORT = 0.8  # of MNIST's phases
DIGITS = MNIST.on(
    "digits",
    eps=0.1,
    batch=64,
    lr=5e-3,
    validation=144,
    epochs=80,
    warmup=SHORT * MNIST.warmup,
    ramp=SHORT * MNIST.ramp,
    milestones=tuple(SHORT * milestone for milestone in MNIST.milestones),
)
TOY = MNIST.on(
    "toy",
    network="toy",
    eps=0.08,
    clip=False,
    batch=13,
    lr=2e-3,
    validation=0,
    epochs=400,
    warmup=15.0,
    ramp=235.0,
    milestones=(),
)
RECIPES = (MNIST, FASHION, CIFAR10, SVHN, DIGITS, TOY)

certified = Method(
    "certified", "nominal loss and the loss at any domain's bound, mixed by kappa", Certified.of, RECIPES, USUAL
)
