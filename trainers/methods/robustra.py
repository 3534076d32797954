"""Robustra: two networks, each trained to withstand what the other one does not.

Li et al., "Robustra: Training Provable Robust Neural Networks over Reference Adversarial Space" (2019). The reference
network's half-space is that of the points at which its relaxation may reach t: the set that eq. (8) there bounds, and
not the "for all" of eq. (5). Bounds over it are no certificates: what is shown as verified, and what certifies either
network later, is the plain dual over the ball.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain.domain import AnyDomain
from absdomain.graph import Graph
from absdomain.linear import Rows
from absdomain.lowering import to_graph
from absdomain.reference import MatchedSpace, ReferenceSpace, State, planes_above
from absdomain.region import Linf
from absdomain.runtime.modes import copied
from absdomain.spec import Spec, margins
from absdomain.trainers import certified, randomness
from absdomain.trainers.attacks import AttackRule, SignAscent
from absdomain.trainers.batchnorm import BatchNorms
from absdomain.trainers.certified import Certified
from absdomain.trainers.losses import BoundLoss, robust_cross_entropy
from absdomain.trainers.method import Method, Setup
from absdomain.trainers.methods.wong_kolter import CIFAR10 as WK_CIFAR10
from absdomain.trainers.methods.wong_kolter import DIGITS as WK_DIGITS
from absdomain.trainers.methods.wong_kolter import MNIST as WK_MNIST
from absdomain.trainers.objective import Objective, Step, averaged, clean_error, verified_error
from absdomain.trainers.options import refused
from absdomain.trainers.pairs import partner, transfer_error
from absdomain.trainers.schedules import START, Moment
from absdomain.trainers.stabilise import Initialisation, as_built


class ReferenceWeights(Enum):
    """The weights of the first network against which the second one is trained."""

    CURRENT = 0  # those of this round, as the paper trains small networks: one after the other
    LAST = 1  # those of the round before, as it trains large ones: two at once, on two devices


@dataclass(frozen=True)
class Settings:
    """How a pair is trained, and what is looked at after each epoch.

    The reference's multiplier is the breakpoint of the quantile `rate`, with the t that suits it; or t is `threshold`.
    """

    loss: BoundLoss = robust_cross_entropy
    initialisation: Initialisation = as_built
    rate: float = 0.5  # the median
    threshold: float | None = None
    reference: ReferenceWeights = ReferenceWeights.CURRENT
    attack: AttackRule = SignAscent()
    looked_at: int = 500  # held-out images

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise refused("rate", self.rate, "give a share of the breakpoints, in [0, 1]")
        if self.looked_at < 0:
            raise refused("looked_at", self.looked_at, "give a number of images >= 0")


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two networks: the trained one or its reference."""

    name: str  # what its metrics begin with
    network: nn.Module
    batchnorms: BatchNorms

    @property
    def graph(self) -> Graph:
        """The network in evaluation mode."""
        return self.batchnorms.graph

    @staticmethod
    def of(name: str, network: nn.Module, example: Tensor) -> Side:
        """The network lowered for what it takes."""
        return Side(name, network, BatchNorms.of(network, to_graph(network, example)))


Space = MatchedSpace | ReferenceSpace
LOOK = 100  # images that are looked at together: boxes without projections take memory


class Robustra(Certified):
    """L = kappa CE(f(x), y) + (1 - kappa) loss(lower), f one of two networks and g the other.

    lower_j bounds z_y - z_j of f over the x of the ball at which a relaxation of g still has z_j - z_y >= t
    (`reference.MatchedSpace`, or `ReferenceSpace` for a given t). The first epoch of every two trains the first
    network, the second one the other; no gradient reaches g. Where no such x exists, the bound is +inf, which adds
    nothing to the cross-entropy: the pair (x, j) leaves the loss, and is counted as `train_infeasible`.
    """

    takes_turns = True

    def __init__(
        self,
        network: nn.Module,
        partner: nn.Module,
        example: Tensor,
        domain: AnyDomain,
        *,
        classes: int = 10,
        clip: tuple[float, float] | None = None,
        pair: Settings,
        seed: int = 0,
    ) -> None:
        given = certified.Settings(loss=pair.loss, initialisation=pair.initialisation)
        pair.initialisation(partner)
        super().__init__(network, example, domain, classes=classes, clip=clip, settings=given, seed=seed)
        self.pair, self.partner, self.turn = pair, partner, 0
        self.first, self.second = Side("", network, self.batchnorms), Side.of("partner_", partner, example)
        self.former = self.first  # as the second network's reference
        if pair.reference is ReferenceWeights.LAST:
            self.stored = copied(network).requires_grad_(False)
            self.former = Side.of("", self.stored, example)

    @property
    def models(self) -> dict[str, nn.Module]:
        return {"model": self.network, "partner": self.partner}

    @property
    def sides(self) -> tuple[Side, Side]:
        """(what is trained in this epoch, its reference)."""
        return (self.second, self.former) if self.turn else (self.first, self.second)

    def set(self, *, eps: float, kappa: float, beta: float = 0.0, at: Moment = START) -> None:
        super().set(eps=eps, kappa=kappa, beta=beta, at=at)
        self.turn = at.step // at.per_epoch % 2

    def forward(self, x: Tensor, y: Tensor) -> Step:
        trained, reference = self.sides
        loss, metrics, graph = torch.zeros_like(self.eps), {}, trained.graph
        if self.with_nominal:
            logits, graph = trained.batchnorms(x, self.share)
            loss = loss + self.kappa * functional.cross_entropy(logits, y)
            metrics["clean_error"] = clean_error(logits, y)
        if self.with_bound:
            bound = self.against(graph, reference.graph, x, y)
            loss = loss + (1 - self.kappa) * self.settings.loss(bound)
            metrics["train_infeasible"] = bound.detach().isposinf().double().mean()
        return Step(loss, metrics)

    def against(self, graph: Graph, reference: Graph, x: Tensor, y: Tensor) -> Tensor:
        """(B, classes - 1) lower bounds of z_y - z_j over the part of the ball that the reference leaves for j.

        +inf where it leaves none. Differentiable in the graph.
        """
        rows, constants = self._planes(graph, x, y)
        least = self._space(reference, x, y).minimum(rows)
        return (least.view(self.classes - 1, len(x)) - constants).t()

    def _planes(self, graph: Graph, x: Tensor, y: Tensor, domain: AnyDomain | None = None) -> tuple[Rows, Tensor]:
        """Rows c (1, K B) and constants d (K, B): z_j - z_y <= d - <c, x> on the ball; K = classes - 1."""
        own = margins(y, self.classes)
        domain = self.domain if domain is None else domain
        rows, constants = planes_above(domain, graph, self.region(x), Spec(-own.C, -own.d))
        data = rows.data.expand(-1, *x.shape)
        return Rows.of(-data.reshape(1, -1, *x.shape[1:])), constants.expand(-1, len(x))

    def _space(self, reference: Graph, x: Tensor, y: Tensor, domain: AnyDomain | None = None) -> Space:
        """The part of the ball that the reference leaves, for every target of every sample: a batch of K B parts."""
        with torch.no_grad():
            rows, constants = self._planes(reference, x, y, domain)
        q, k = -rows.data[0], constants.flatten()
        ball = self.region(x.expand(self.classes - 1, *x.shape).reshape(q.shape))
        if self.pair.threshold is None:
            return MatchedSpace(ball, q, k, self.pair.rate)
        return ReferenceSpace(ball, q, k, self.pair.threshold)

    def epoch_end(self, held_out: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """What held-out images say of both networks, each against the other; `partner_` is before the second's.

        t: the mean threshold. loose, tight, infeasible: the shares of pairs of an image and a target whose half-space
        at t = 0 is so, as t by its own rule makes all of them tight (figure 4 there). clean_error and verified_error,
        by boxes without projections. attack_error, and transfer_error: under the points found against the other.
        """
        if self.turn and self.pair.reference is ReferenceWeights.LAST:
            self.stored.load_state_dict(self.network.state_dict())
        return averaged(_at_most(held_out, self.pair.looked_at), self._look_at_both)

    def _look_at_both(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        pairs = (self.first, self.second), (self.second, self.first)
        return {own.name + name: seen for own, other in pairs for name, seen in self._look(own, other, x, y).items()}

    def _look(self, own: Side, other: Side, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        region, attack = self.region(x), self.pair.attack
        seen = {
            "attack_error": transfer_error(attack, own.network, own.network, region, y),
            "transfer_error": transfer_error(attack, other.network, own.network, region, y),
        }
        if own is self.second:  # the first one's are in every row of metrics
            lower = self.sound.propagate(own.graph, region, margins(y, self.classes)).lower
            seen |= {"clean_error": clean_error(own.network(x), y), "verified_error": verified_error(lower)}
        return seen | (self._constraints(own.graph, other.graph, x, y) if self.eps > 0 else {})

    def _constraints(self, graph: Graph, reference: Graph, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        rows, _ = self._planes(graph, x, y, randomness.exact(self.domain))
        space = self._space(reference, x, y, randomness.exact(self.domain))
        matched = MatchedSpace(space.ball, space.q, space.k, self.pair.rate)
        t = matched.thresholds(rows) if self.pair.threshold is None else self.eps.new_tensor(self.pair.threshold)
        states = matched.at(0.0).states(rows)
        return {"t": t.mean()} | {state.name.lower(): (states == state).double().mean() for state in State}


def _at_most(batches: Iterable[tuple[Tensor, Tensor]], count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The first `count` images of the batches, LOOK at a time."""
    for batch, all_labels in batches:
        for x, y in zip(batch.split(LOOK), all_labels.split(LOOK), strict=True):
            if count <= 0:
                return
            yield x[:count], y[:count]
            count -= len(y)


def objective(setup: Setup[Settings]) -> Objective:
    """The recipe's network twice, each the other's reference."""
    recipe, domain = setup.recipe, setup.domain
    if recipe.l1:
        raise recipe.refuse("l1", "robustra's loss has no such term; leave it 0")
    if recipe.epochs % 2:
        raise recipe.refuse("epochs", "each epoch trains one of the two networks; give an even number")
    if domain.planes(domain.lift(Linf(torch.zeros(1, 1), 0.0))) is None:
        raise recipe.refuse("domain", "it keeps no relation to the input, which gives the half-space; take dual")
    return Robustra(
        setup.network,
        partner(setup),
        setup.example,
        domain,
        classes=setup.classes,
        clip=setup.clip,
        pair=setup.settings,
        seed=recipe.seed,
    )


# Two epochs here are one of the paper: 100 of them, with eps on 20 steps and the learning rate halved every 10 from 30
# on, as in the public code's schedule of Wong et al. The ball is not clipped. Its large networks take 50 projections.
MNIST = replace(
    WK_MNIST,
    trainer="robustra",
    domain="dual",
    clip=False,
    epochs=200,
    ramp=40.0,
    stair=2,
    milestones=tuple(20.0 * n for n in range(3, 10)),
)
CIFAR10 = replace(
    WK_CIFAR10,
    trainer="robustra(initialisation=fan_out)",
    domain="dual",
    eps_start=0.01 * 0.225,  # 0.01 of images divided by .225
    lr=1e-3,
    epochs=MNIST.epochs,
    ramp=MNIST.ramp,
    stair=MNIST.stair,
    milestones=MNIST.milestones,
)
DIGITS = replace(WK_DIGITS, trainer="robustra", epochs=80, ramp=28.0, stair=2, milestones=(40.0, 54.0, 68.0))

robustra = Method(
    "robustra",
    "a pair, each trained to withstand what the other does not, certified by the plain dual",
    objective,
    (MNIST, CIFAR10, DIGITS),
    Settings(),
)
