"""AdvIBP: one step for two losses, at the points of an attack and at the bound, along the bisector of their gradients.

Fan and Li 2021, "Adversarial Training and Provable Robustness: A Tale of Two Objectives", algorithms 1 and 2 (line 13
as `directions` reads it); with a mixture of CROWN-IBP and IBP for a domain it is their AdvCROWN-IBP. The paper is
followed where its released code does otherwise, but for two ways of that code that train better and are the defaults:
`ramp=alone` (while eps grows, the bound's loss alone, and moments from then on) and `long_step=True` (where the
gradients agree, v stands for |m|^2 / v, which makes that step a few times longer). Others are options:
`moments=first` (inner products and norms of the first trainable tensor's gradient alone), `strength=0` (its adversarial
warm-up, whose attack has no radius), `always_square=True` (L^2 / 2 is added wherever the gradients oppose each other),
`present_first=True` (the first step's own gradients are its moments, and count again as those before the second),
`times_length=True` (a factor v_1 on both weights after the ramp, where the gradients agree), `freeze=(250, 500)` (the
latent stages that follow there: from each of these epochs on one more nonlinear layer, and what is before it, stays).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain.attack import fosc
from absdomain.domain import AnyDomain
from absdomain.graph import Graph
from absdomain.lowering.evaluated import Evaluated
from absdomain.region import Linf, Region
from absdomain.trainers import certified
from absdomain.trainers.attacks import AttackRule, Fgsm
from absdomain.trainers.certified import Certified
from absdomain.trainers.latent import Latent, cuts
from absdomain.trainers.losses import BoundLoss, hinge, robust_cross_entropy
from absdomain.trainers.method import Method, Setup
from absdomain.trainers.methods.crown_ibp import weighable, weighed
from absdomain.trainers.moments import Moments
from absdomain.trainers.objective import Objective, Step, clean_error
from absdomain.trainers.options import Epochs, refused
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.schedules import START, Moment
from absdomain.trainers.times import Steps, Time, exceeds, is_time


class Weighing(Enum):
    """The weights of the two losses: from their gradients' moments, or 1 and 1 (the paper's baseline)."""

    ADAPTIVE = 1
    FIXED = 2


class Watched(Enum):
    """The parameters whose gradients have moments: all of them, or the first trainable tensor."""

    ALL = 1
    FIRST = 2


class Growing(Enum):
    """What is trained while eps grows.

    FOSC is proportional to eps. Below a constant c_t, as the paper has it, the attack comes first wherever gradients
    oppose each other, so that the bound, which grows with eps, is hardly trained.
    """

    ALONE = 1  # the bound's loss, as in the released code
    SCALED = 2  # both losses, c_t in proportion to eps
    JOINT = 3  # both losses, c_t constant: the paper's way


@dataclass(frozen=True)
class Settings:
    """AdvIBP's own numbers; times are in epochs, FOSC is a mean over the batch of each sample's own.

    The recipe's warm-up begins with `natural` epochs of cross-entropy, the rest of it is adversarial, on a radius that
    grows to the `strength` of the training radius. The threshold c_t is `fosc` until `hold` epochs after the ramp, then
    falls to 0 in `decay` epochs. The released code's FOSC is that of the batch's mean loss: 1e-4 there is 0.0256 here,
    with batches of 256. After each time of `freeze` one more layer stays as it is, and attack and bound begin at the
    boxes of its values (`trainers.latent`).
    """

    weights: Weighing = Weighing.ADAPTIVE
    moments: Watched = Watched.ALL
    beta1: float = 0.9
    beta2: float = 0.99
    natural: Epochs = 10.0
    strength: float = 1.0
    fosc: float = 0.0256
    hold: Epochs = 10.0
    decay: Epochs = 50.0
    attack: AttackRule = Fgsm()
    loss: BoundLoss = robust_cross_entropy
    elision: bool = True
    ramp: Growing = Growing.ALONE
    long_step: bool = True
    always_square: bool = False
    present_first: bool = False
    times_length: bool = False
    freeze: tuple[Epochs, ...] = ()

    def __post_init__(self) -> None:
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise refused(name, getattr(self, name), "give a decay in [0, 1)")
        if self.loss is hinge:
            raise refused("loss", "hinge", "where it is negative its square pulls the wrong way; take another")
        for name in ("fosc", "strength"):
            if not getattr(self, name) >= 0:
                raise refused(name, getattr(self, name), "give a number >= 0")
        times = [(name, getattr(self, name)) for name in ("natural", "hold", "decay")]
        for name, time in (*times, *(("freeze", time) for time in self.freeze)):
            if not is_time(time):
                raise refused(name, str(time), 'give a number of epochs >= 0, or "2000 steps"')
        if any(not exceeds(later, sooner) for sooner, later in pairwise(self.freeze)):
            raise refused("freeze", self.freeze, "give rising times")
        if self.freeze and self.moments is Watched.FIRST:
            raise refused("moments", "first", "the first tensor is frozen first; with freeze take moments of all")


USUAL = Settings()


class AdvIBP(Certified):
    """A step along k_1 grad L_1 + (k_2 + 2 k_3 L_2) grad L_2 + l1 grad sum |w|: L_1 = CE(f(x'), y), L_2 = loss(lower).

    x' comes from an attack, lower from `domain`, both in the ball of the present eps. k_1 and k_2 are those of
    `directions` for the moments of the gradients before this step; where they oppose each other, L_1 comes first if
    FOSC at x' is at most c_t, else L_2, with k_3 = 1/2 (0 otherwise). The loss returned has just that gradient, and the
    value k_1 L_1 + k_2 L_2 + k_3 L_2^2. kappa is ignored. Bounds, and logits at x', use the batch statistics of a
    pass at x.

    While eps is 0 the loss is CE(f(x), y), and from epoch settings.natural on CE(f(x'), y). `eps_end` is the training
    radius, which eps reaches in a `ramp` after the `warmup`; radii grow along a line, or as `smooth` says. With an eps
    from the start, no warm-up takes place. After the k-th time of `freeze` f is g(h(x)), h being all up to its k-th
    nonlinear layer: h stays as it is, and both losses are those of g over the box of h's values.
    """

    threshold: Tensor  # (), c_t
    reach: Tensor  # (), the attack's radius
    adversarial: bool = False  # reach > 0
    joint: bool = False  # both losses have a say
    stage: Latent | None = None  # what is frozen

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
        warmup: Time = 0.0,
        ramp: Time = 0.0,
        smooth: bool = False,
        seed: int = 0,
    ) -> None:
        usual = certified.Settings(settings.loss, settings.elision)
        super().__init__(
            network, example, domain, classes=classes, clip=clip, l1=l1, settings=usual, eps_end=eps_end, seed=seed
        )
        self.own, self.warmup, self.ramp_end, self.smooth = settings, warmup, warmup + ramp, smooth
        self.trained = [p for p in network.parameters() if p.requires_grad]
        self.watched = self.trained if settings.moments is Watched.ALL else self.trained[:1]
        size, like = sum(p.numel() for p in self.watched), self.trained[0]
        self.moments = Moments(size, like, beta1=settings.beta1, beta2=settings.beta2, long_step=settings.long_step)
        if settings.freeze and self.tracks:
            raise refused("freeze", settings.freeze, "statistics of batch norms do not stay; take a network without")
        ends = cuts(self.graph) if settings.freeze else []
        if len(settings.freeze) > len(ends):
            raise refused("freeze", settings.freeze, f"give {len(ends)} times at most, one for each nonlinear layer")
        self.stages = [Latent.at(self.graph, cut, example, self.trained) for cut in ends]
        self.takes_turns = bool(settings.freeze)
        for name in ("threshold", "reach"):
            self.register_buffer(name, torch.zeros_like(self.eps), persistent=False)

    def set(self, *, eps: float, kappa: float, beta: float = 0.0, at: Moment = START) -> None:
        super().set(eps=eps, kappa=1.0 if eps == 0 else 0.0, beta=beta, at=at)
        own, begin = self.own, self.ramp_end + self.own.hold
        warm = at.ramp(0.0, own.strength * self.eps_end, own.natural, self.warmup, smooth=self.smooth)
        reach = eps if eps > 0 else warm
        share = min(eps / self.eps_end, 1.0) if own.ramp is Growing.SCALED and self.eps_end > 0 else 1.0
        self.domain = weighed(self.domain, self.beta, beta)
        self.threshold.fill_(share * at.ramp(own.fosc, 0.0, begin, begin + own.decay))
        self.reach.fill_(reach)
        self.adversarial = reach > 0
        self.joint = eps > 0 and not (own.ramp is Growing.ALONE and eps < self.eps_end)
        frozen = sum(at.step >= at.at(time) for time in own.freeze)
        self.stage = self.stages[frozen - 1] if frozen else None

    def forward(self, x: Tensor, y: Tensor) -> Step:
        if not self.adversarial:
            step = self.nominal(x, y)
        elif self.joint:
            step = self._joint(x, y)
        elif self.with_bound:
            step = self.robust(x, y, self._graph(x))
        else:
            step = self._attacked(x, y)
        return Step(step.loss + self.penalty(), step.metrics)

    @property
    def moving(self) -> list[nn.Parameter]:
        return self.trained if self.stage is None else [p for p in self.trained if p not in self.stage.still]

    def _graph(self, x: Tensor) -> Graph:
        """The graph with the statistics of a pass at x, where the network has batch norms."""
        return self.batchnorms(x, self.share)[1] if self.tracks else self.graph

    def _asked(self, x: Tensor) -> tuple[Graph, Region]:
        """What is bounded, and over which region: the network over the ball, or what is not frozen over a box."""
        graph, ball = self._graph(x), self.region(x)
        return (graph, ball) if self.stage is None else self.stage.over(graph, ball)

    def _points(self, network: nn.Module, region: Region, y: Tensor) -> Tensor:
        """What the attack finds in a region of the network's."""
        return self.own.attack(network, region, y, start=self.share.point(region))

    def _attacked(self, x: Tensor, y: Tensor) -> Step:
        logits = self.network(self._points(self.network, Linf(x, self.reach, clip=self.clip), y))
        return Step(functional.cross_entropy(logits, y), {"train_attack_error": clean_error(logits, y)})

    def _joint(self, x: Tensor, y: Tensor) -> Step:
        graph, region = self._asked(x)
        points = self._points(self.network if self.stage is None else Evaluated(graph), region, y)
        points.requires_grad_()
        logits = self.logits(points, graph) if self.stage is None else graph(points)
        moving = self.moving
        share, first = self.share, functional.cross_entropy(logits, y)
        *g1, slope = torch.autograd.grad(
            share.weight * first, (*moving, points), retain_graph=self.tracks, materialize_grads=True
        )
        bound = self.bound(region, y, graph)
        second = self.own.loss(bound)
        g2 = torch.autograd.grad(share.weight * second, moving, materialize_grads=True)
        d1, d2 = share.summed(g1), share.summed(g2)
        distance = share.mean(fosc(region, points.detach(), slope * share.whole(len(y))).mean())
        k1, k2, k3, opposed = self._weights(distance, d1, d2)
        first, second = share.mean(first.detach()), share.mean(second.detach())
        value = k1 * first + k2 * second + k3 * second**2
        steps = [k1 * p + (k2 + 2 * k3 * second) * q for p, q in zip(d1, d2, strict=True)]
        seen = {"train_attack_error": clean_error(logits, y), "fosc": distance, "loss_attacked": first}
        seen |= {"loss_bound": second, "weight_attacked": k1, "weight_bound": k2}
        seen["fosc_reached"] = (distance <= self.threshold).double()
        seen["opposed"] = torch.full_like(seen["fosc_reached"], float(opposed))
        return Step(with_gradients(value, moving, steps), seen | self.proved(bound))

    def _weights(
        self, distance: Tensor, g1: Sequence[Tensor], g2: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, bool]:
        """(k_1, k_2, k_3, whether the moments oppose each other), of the gradients before; these are for the next step.

        Fixed weights ask nobody whether they do.
        """
        none = torch.zeros_like(distance)
        if self.own.weights is Weighing.FIXED:
            return none + 1, none + 1, none, False
        weak, own = bool(distance > self.threshold), self.own
        present = [self._watched(g) for g in (g1, g2)]
        if own.present_first and not self.moments.count:
            self.moments.see(*present)
        k1, k2, opposed = self.moments.weights(second_first=weak)
        if own.times_length and self.values.eps >= self.eps_end and not opposed:
            k1, k2 = k1 * self.moments.lengths[0], k2 * self.moments.lengths[0]
        self.moments.see(*present)
        square = opposed and (weak or own.always_square)
        return k1.to(none), k2.to(none), none + 0.5 * square, opposed

    def _watched(self, gradients: Sequence[Tensor]) -> Tensor:
        """The gradients of the moving parameters, of those that have moments; flat, with zeros for frozen ones."""
        given = dict(zip(self.moving, gradients, strict=True))
        return torch.cat([given.get(p, torch.zeros_like(p)).flatten() for p in self.watched])


def with_gradients(value: Tensor, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """A loss of this value whose backward() gives the parameters these gradients."""
    none = [((p - p.detach()) * g).sum() for p, g in zip(parameters, gradients, strict=True)]
    return value + torch.stack(none).sum()


def objective(setup: Setup[Settings]) -> Objective:
    """AdvIBP on the recipe's domain, with its warm-up and ramp."""
    recipe, natural = weighable(setup).recipe, setup.settings.natural
    if exceeds(natural, recipe.warmup) and recipe.warmup != 0:
        raise refused("natural", natural, f"the warm-up is {recipe.warmup}; give at most that")
    grown = Steps.of(recipe.warmup) + recipe.ramp
    if any(exceeds(grown, time) for time in setup.settings.freeze):
        raise refused("freeze", setup.settings.freeze, f"eps grows until {grown}; give later times")
    return AdvIBP(
        setup.network,
        setup.example,
        setup.domain,
        classes=setup.classes,
        clip=setup.clip,
        l1=recipe.l1,
        settings=setup.settings,
        eps_end=recipe.eps,
        warmup=recipe.warmup,
        ramp=recipe.ramp,
        smooth=recipe.smooth,
        seed=recipe.seed,
    )


# 10 natural and 40 adversarial epochs, 50 of ramp. beta_end serves the mixture, where there is one.
MNIST = Recipe(
    data="mnist",
    network="dm-medium",
    trainer="advibp",
    domain="box",
    eps=0.4,
    epochs=250,
    batch=256,
    lr=5e-4,
    milestones=(150.0, 200.0),
    decay=0.25,
    warmup=50.0,
    ramp=50.0,
    smooth=True,
    kappa_start=0.0,
    kappa_end=0.0,
    beta_end=0.0,
)
# 400 natural and 400 adversarial epochs; the ramp of 1000 begins 10 later. Trained at 1.1 times the certified radius.
CIFAR10 = MNIST.on(
    "cifar10",
    trainer="advibp(natural=400.0, hold=20.0, decay=280.0)",
    eps=1.1 * 8 / 255,
    eps_eval=8 / 255,
    epochs=3200,
    milestones=(2200.0, 2700.0),
    decay=0.1,
    warmup=810.0,
    ramp=1000.0,
    flip=True,
    crop=4,
    normalise=True,
)
DIGITS = MNIST.on(
    "digits",
    trainer="advibp(natural=3.0, hold=3.0, decay=16.0)",
    network="crown-ibp-B",
    eps=0.1,
    epochs=80,
    batch=64,
    lr=5e-3,
    validation=144,
    warmup=16.0,
    ramp=16.0,
    milestones=(48.0, 64.0),
)

advibp = Method(
    "advibp",
    "losses at an attack and at the bound, along the bisector of their gradients",
    objective,
    (MNIST, CIFAR10, DIGITS),
    USUAL,
)
