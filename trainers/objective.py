"""What a training method minimises: an nn.Module whose forward maps a batch to a loss, with the methods' helpers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Step(NamedTuple):
    """One batch's loss, and what was seen on the way: mean error rates in [0, 1], detached 0-dim tensors."""

    loss: Tensor  # ()
    metrics: dict[str, Tensor]


class Objective(nn.Module, ABC):
    """L(x, y; eps, kappa, beta), a function of the network's parameters; x raw pixels (B, *shape), y labels (B,).

    The schedules' values are set between steps by `set`. They are buffers, so that a compiled or wrapped objective sees
    them as data; which terms are present at all are plain attributes, which change a few times in a training.
    `network` is the trained module: its parameters are the objective's.
    """

    eps: Tensor  # () each
    kappa: Tensor
    beta: Tensor
    with_bound: bool = False  # kappa < 1
    with_nominal: bool = True  # kappa > 0, or the network has statistics that only a nominal pass updates

    def __init__(self, network: nn.Module, *, l1: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.l1 = l1
        self.tracks = any(getattr(part, "track_running_stats", False) for part in network.modules())  # batch norm
        like = next(network.parameters())
        for name, value in (("eps", 0.0), ("kappa", 1.0), ("beta", 0.0)):
            self.register_buffer(name, torch.full((), value, dtype=like.dtype, device=like.device), persistent=False)

    def set(self, *, eps: float, kappa: float, beta: float = 0.0) -> None:
        """Give the next steps their radius, their weight of the nominal loss and of the linear relaxation.

        A method that needs none of them ignores it. Until the first call, the method trains naturally (kappa 1).
        """
        self.eps.fill_(eps)
        self.kappa.fill_(kappa)
        self.beta.fill_(beta)
        self.with_bound, self.with_nominal = kappa < 1, kappa > 0 or self.tracks

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor) -> Step:
        """The loss of the batch, ready for backward()."""

    def lower(self, x: Tensor, y: Tensor) -> Tensor | None:
        """(B, classes - 1) lower bounds of z_y - z_j at the present eps; None if the method bounds nothing."""
        return None

    def penalty(self) -> Tensor:
        """l1 * sum |w| over the parameters that are no biases (nor a norm's scales: more than one axis)."""
        if self.l1 == 0:
            return torch.zeros_like(self.eps)
        weights = [p.abs().sum() for p in self.network.parameters() if p.requires_grad and p.dim() > 1]
        return self.l1 * torch.stack(weights).sum()

    def nominal(self, x: Tensor, y: Tensor) -> Step:
        """CE(f(x), y), with the clean error."""
        logits = self.network(x)
        return Step(functional.cross_entropy(logits, y), {"clean_error": clean_error(logits, y)})


def certified_loss(objective: Objective, lower: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Step:
    """kappa CE(f(x), y) + (1 - kappa) log(1 + sum_j exp(-lower(x, y)_j)) + penalty.

    A term of weight 0 is not computed: at kappa 1 the network is not bounded, and at kappa 0 it is not evaluated at x,
    which saves a third of an IBP step. Bounds use the running statistics of a batch norm, so the nominal pass, which
    updates them, comes first.
    """
    loss, metrics = objective.penalty(), {}
    if objective.with_nominal:
        nominal = objective.nominal(x, y)
        loss, metrics = loss + objective.kappa * nominal.loss, nominal.metrics
    if objective.with_bound:
        bound = lower(x, y)
        loss = loss + (1 - objective.kappa) * robust_cross_entropy(bound)
        metrics = metrics | {"verified_error": verified_error(bound)}
    return Step(loss, metrics)


def robust_cross_entropy(lower: Tensor) -> Tensor:
    """mean over the batch of log(1 + sum_j exp(-lower_j)) >= CE(f(x'), y) for every x' whose margins are >= lower.

    lower (B, K): lower bounds of z_y - z_j, all j != y.
    """
    return torch.logsumexp(functional.pad(-lower, (1, 0)), dim=1).mean()


def clean_error(logits: Tensor, y: Tensor) -> Tensor:
    """The share of samples whose greatest logit (B, classes) is not the label's."""
    return (logits.detach().argmax(1) != y).double().mean()


def verified_error(lower: Tensor) -> Tensor:
    """The share of samples without a proof: not all lower bounds (B, K) are finite and >= 0."""
    proved = (lower.detach() >= 0) & lower.detach().isfinite()
    return (~proved.all(1)).double().mean()
