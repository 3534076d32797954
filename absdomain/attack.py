"""max over x in a region of loss(f(x), y), from below: FGSM and PGD inside any region.

An attack needs nothing but a module, a Region and labels, and changes none of them: neither the module's mode nor the
gradients of its parameters. What it finds are points of the region, with their margins
z_y - max_{j != y} z_j; a negative margin is a misclassification.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from absdomain.linear import Rows
from absdomain.region import Draws, Linf, Region
from absdomain.spec import Spec

Network = Callable[[Tensor], Tensor]  # (B, *shape) -> logits (B, classes), or any outputs
Goal = Tensor | Spec  # what is to hold of the outputs: the label's class (B,) is the largest, or the spec
Loss = Callable[[Tensor, Any], Tensor]  # outputs and goal -> (B,); attacks ascend it


def margin(logits: Tensor, labels: Goal) -> Tensor:
    """min over j != y of z_y - z_j, shape (B,); of a spec min over its groups of max over their rows of C z + d.

    NaN where any logit is NaN.
    """
    if isinstance(labels, Spec):
        return labels.worst(labels.rows(logits))
    own = labels.unsqueeze(1)
    rivals = logits.scatter(1, own, -torch.inf)
    return logits.gather(1, own).squeeze(1) - rivals.amax(1)


def margin_loss(logits: Tensor, labels: Goal) -> Tensor:
    """max over j != y of z_j - z_y, shape (B,): the untargeted objective of Gowal et al., section 4; or of a spec."""
    return -margin(logits, labels)


def chosen(goal: Goal, rows: Tensor) -> Goal:
    """The goal of the samples at these places, (R,)."""
    return goal.select(rows) if isinstance(goal, Spec) else goal[rows]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """log sum_j exp(z_j - z_y), shape (B,)."""
    return nn.functional.cross_entropy(logits, labels, reduction="none")


@dataclass(frozen=True, eq=False)
class Attacked:
    """Points of a region, and z_y - max_{j != y} z_j at them."""

    points: Tensor  # (B, *shape)
    margin: Tensor  # (B,)

    @property
    def broken(self) -> Tensor:
        """Where the point is misclassified, (B,); a tie is not, and neither is NaN."""
        return self.margin < 0

    def improved(self, rows: Tensor, points: Tensor, margins: Tensor) -> Attacked:
        """The smaller margin of the two per sample, where `rows` (R,) were tried at `points` (R, *shape)."""
        better = margins < self.margin[rows]
        where = rows[better]
        return Attacked(
            self.points.index_copy(0, where, points[better]), self.margin.index_copy(0, where, margins[better])
        )


@singledispatch
def steepest(region: Region, gradient: Tensor) -> Tensor:
    """A step of the region's own size along which <gradient, x> grows most, (B, *shape).

    Half of argmax - argmin over the region: epsilon * gradient / |gradient| in an L2 ball.
    """
    with torch.no_grad():
        least, most = region.argmin(torch.stack([gradient, -gradient]))
        return (most - least) / 2


@steepest.register
def _(region: Linf, gradient: Tensor) -> Tensor:
    """radius * sign(gradient), of the whole ball: the clip cuts where a step ends, and not its length."""
    return (region.radius * gradient.sign()).detach()


def fgsm(
    model: Network,
    region: Region,
    labels: Tensor,
    *,
    rate: float = 1.0,
    start: Tensor | None = None,
    loss: Loss = cross_entropy,
) -> Attacked:
    """project(x_0 + rate * steepest(grad loss(f(x_0), y))), one gradient (Goodfellow et al. 2015).

    x_0 is `start` (B, *shape), or the region's centre. `steepest` has the region's own size, so that rate 1 is
    epsilon * sign(grad) in an L-infinity ball, and rate 1.25 from a random start is the usual one-step attack of
    adversarial training.
    """
    origin = _centre(region) if start is None else start.detach()
    _, gradient = _probe(model, origin, labels, loss)
    return _evaluated(model, region.project(origin + rate * steepest(region, gradient)), labels)


def pgd(
    model: Network,
    region: Region,
    labels: Goal,
    *,
    steps: int = 40,
    restarts: int = 1,
    rate: float = 0.5,
    goal: float = 0.0,
    loss: Loss = margin_loss,
    generator: Draws = None,
) -> Attacked:
    """x <- project(x + rate_t * steepest(grad loss(f(x), y))) from `restarts` random points of the region.

    rate_t falls from `rate` (a fraction of the region's size) to 0 along a cosine. The centre is always tried, so the
    margins returned are never above the nominal ones. A sample whose margin is below `goal` is left alone from
    then on: `goal=-inf` looks for the worst point instead of any misclassified one. A spec may stand in the place of
    labels. The same generator state gives the same result. Madry et al. 2018; the objective is that of Gowal et al.,
    section 4.
    """

    def walk() -> Walk:
        def move(step: int, points: Tensor, gradient: Tensor) -> Tensor:
            pace = rate * (1 + math.cos(math.pi * step / max(steps, 1))) / 2
            return region.project(points + pace * steepest(region, gradient))

        return move

    return _restarted(model, region, labels, walk, steps, restarts, goal, loss, generator)


Walk = Callable[[int, Tensor, Tensor], Tensor]  # the step's number, points, gradients there -> the next points


def _restarted(
    model: Network,
    region: Region,
    labels: Goal,
    walk: Callable[[], Walk],
    steps: int,
    restarts: int,
    goal: float,
    loss: Loss,
    generator: Draws,
) -> Attacked:
    """The worst points met on walks from random points of the region, a new walk for each; the centre among them.

    A sample whose margin is below `goal` is left alone from then on.
    """
    if steps < 0 or restarts < 1:
        raise ValueError(f"an attack needs steps >= 0 and restarts >= 1, not steps={steps}, restarts={restarts}")
    best = _evaluated(model, _centre(region), labels)
    for _ in range(restarts):
        points, move = region.sample(1, generator)[0].detach(), walk()
        for step in range(steps + 1):
            rows = (best.margin >= goal).nonzero().squeeze(1)
            if not len(rows):
                return best
            tried = points[rows]
            margins, slopes = _probe(model, tried, chosen(labels, rows), loss)
            best = best.improved(rows, tried, margins)
            gradient = torch.zeros_like(points).index_copy(0, rows, slopes)
            points = move(step, points, gradient)
    return best


def ascend(
    model: Network,
    region: Region,
    labels: Tensor,
    *,
    steps: int,
    rate: float,
    start: Tensor,
    loss: Loss = cross_entropy,
) -> Tensor:
    """`steps` times x <- project(x + rate * steepest(grad loss(f(x), y))) from `start`; the last points, (B, *shape).

    What adversarial training asks for: no search for the worst point met, and no margins. `rate` is a fraction of the
    region's size (Madry et al. 2018).
    """
    points = start.detach()
    for _ in range(steps):
        _, gradient = _probe(model, points, labels, loss)
        points = region.project(points + rate * steepest(region, gradient))
    return points


def adam(
    model: Network,
    region: Region,
    labels: Tensor,
    *,
    steps: int = 7,
    rate: float = 0.1,
    start: Tensor,
    loss: Loss = margin_loss,
) -> Tensor:
    """The same with steps of Adam, whose `rate` is in pixels; the last points, (B, *shape).

    The attack with which Gowal et al. 2019 train their adversarial baseline: 7 steps of rate 0.1.
    """
    points, move = start.detach(), _adam_walk(region, rate)
    for step in range(steps):
        _, gradient = _probe(model, points, labels, loss)
        points = move(step, points, gradient)
    return points


def _adam_walk(region: Region, rate: float) -> Walk:
    """x <- project(x + the step of Adam for the gradient), decays 0.9 and 0.999; the rate is in pixels."""
    m = v = torch.zeros(())

    def move(step: int, points: Tensor, gradient: Tensor) -> Tensor:
        nonlocal m, v
        m = 0.9 * m.to(points) + 0.1 * gradient
        v = 0.999 * v.to(points) + 0.001 * gradient**2
        corrected = (v / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
        return region.project(points + rate * (m / (1 - 0.9 ** (step + 1))) / corrected)

    return move


def fosc(region: Region, points: Tensor, gradient: Tensor) -> Tensor:
    """max over x' in the region of <x' - x, g>, at points x of it, (B,): how far a first-order attack is from done.

    `gradient` g (B, *shape) is that of each sample's own loss at x: a mean over the batch divides it, and with it the
    result, by B. Law: >= 0, and 0 just where x maximises <g, .> over the region. In an unclipped ball of radius eps it
    is eps |g|_1 - <x - centre, g>. First-order stationary condition of Wang et al. 2019, "On the Convergence and
    Robustness of Adversarial Training", in any region.
    """
    best = -region.minimum(Rows.of(-gradient.unsqueeze(0))).squeeze(0)
    reached = (gradient * points).flatten(1).sum(1)
    return (best - reached).clamp(min=0)  # below is rounding, for a point of the region


@dataclass(frozen=True)
class Pgd:
    """`pgd` with its settings as a value: what `certify` takes as its attack and writes into its results."""

    steps: int = 40
    restarts: int = 2
    rate: float = 0.5

    def __call__(self, model: Network, region: Region, labels: Goal, *, generator: Draws = None) -> Attacked:
        return pgd(model, region, labels, steps=self.steps, restarts=self.restarts, rate=self.rate, generator=generator)


@dataclass(frozen=True)
class AdamAttack:
    """The worst points that steps of Adam meet from random starts, as a value like `Pgd`; `rate` is in pixels.

    With 200 steps, 10 restarts and rate 0.1 it is the attack with which Gowal et al. 2019 report errors.
    """

    steps: int = 200
    restarts: int = 10
    rate: float = 0.1

    def __call__(self, model: Network, region: Region, labels: Goal, *, generator: Draws = None) -> Attacked:
        return _restarted(
            model,
            region,
            labels,
            lambda: _adam_walk(region, self.rate),
            self.steps,
            self.restarts,
            0.0,
            margin_loss,
            generator,
        )


def inside(region: Region, points: Tensor) -> Tensor:
    """Whether x is in the region, exactly: its projection is x; (B, *shape) -> (B,)."""
    return (region.project(points) == points).flatten(1).all(1)


def rounded_towards(points: Tensor, anchor: Tensor, dtype: torch.dtype) -> Tensor:
    """Entries of `dtype`, each between the anchor's and the point's, next to the point's; all of (B, *shape).

    Rounding to nearest may step out of a region that holds the point. Rounding towards a point of the region does not
    leave a box, nor a ball around that point.
    """
    near = points.to(dtype)
    outside = (near.to(points.dtype) - anchor).abs() > (points - anchor).abs()
    return torch.where(outside, torch.nextafter(near, anchor.to(dtype)), near)


def _evaluated(model: Network, points: Tensor, labels: Goal) -> Attacked:
    with torch.no_grad():
        return Attacked(points, margin(model(points), labels))


def _probe(model: Network, points: Tensor, labels: Goal, loss: Loss) -> tuple[Tensor, Tensor]:
    """The margins (B,) at the points, and the gradient of each sample's loss, (B, *shape)."""
    with torch.enable_grad():
        x = points.detach().requires_grad_()
        logits = model(x)
        (gradient,) = torch.autograd.grad(loss(logits, labels).sum(), x)
    return margin(logits.detach(), labels), gradient


def _centre(region: Region) -> Tensor:
    return region.project(region.centre.detach())
