"""What a training method minimises: an nn.Module whose forward maps a batch to a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain.trainers.recipe import Values
from absdomain.trainers.run.share import WHOLE, Share
from absdomain.trainers.schedules import START, Moment


class Step(NamedTuple):
    """One batch's loss, and what was seen on the way: means over the batch, detached 0-dim tensors.

    `clean_error` and `verified_error`, rates in [0, 1], are shown as training goes; anything else is averaged over the
    epoch and joins its row of metrics.
    """

    loss: Tensor  # ()
    metrics: dict[str, Tensor]


class Objective(nn.Module, ABC):
    """L(x, y; eps, kappa, beta), a function of the network's parameters; x raw pixels (B, *shape), y labels (B,).

    The schedules' values are set between steps by `set`. They are buffers, so that a compiled or wrapped objective sees
    them as data. Which terms are present at all are plain attributes, which change a few times in a training.
    `network` is the trained module: its parameters are the objective's.

    Whatever else an objective learns (moments, multipliers, a second network) is a persistent buffer, a parameter or a
    submodule: it is in every checkpoint and comes back bit for bit. A step that is left out does not change it.
    """

    eps: Tensor  # () each
    kappa: Tensor
    beta: Tensor
    values: Values = Values(0.0, 1.0, 0.0)  # the same as floats; not for `forward`, which would be compiled each time
    with_bound: bool = False  # kappa < 1
    with_nominal: bool = True  # kappa > 0, or the network has statistics that only a nominal pass updates
    takes_turns: bool = False  # some steps have no gradient for some of the parameters
    share: Share = WHOLE  # the part of the batch that `forward` is given, where several processes train together

    def __init__(self, network: nn.Module, *, l1: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.l1 = l1
        self.tracks = any(getattr(part, "track_running_stats", False) for part in network.modules())  # batch norm
        like = next(network.parameters())
        for name, value in (("eps", 0.0), ("kappa", 1.0), ("beta", 0.0)):
            self.register_buffer(name, torch.full((), value, dtype=like.dtype, device=like.device), persistent=False)

    def set(self, *, eps: float, kappa: float, beta: float = 0.0, at: Moment = START) -> None:
        """Give the next steps their radius, and the weights of the nominal loss and of the linear relaxation.

        A method with schedules of its own computes them from `at`; one that decides a value itself calls super().set
        with that value. Until the first call, the method trains naturally.
        """
        self.values = Values(eps, kappa, beta)
        self.eps.fill_(eps)
        self.kappa.fill_(kappa)
        self.beta.fill_(beta)
        self.with_bound, self.with_nominal = kappa < 1, kappa > 0 or self.tracks

    @contextmanager
    def working_on(self, share: Share) -> Iterator[None]:
        """In here `forward` is given this share of a batch, afterwards whole batches again."""
        self.share = share
        try:
            yield
        finally:
            self.share = WHOLE

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor) -> Step:
        """The loss of the batch, ready for backward()."""

    def lower(self, x: Tensor, y: Tensor) -> Tensor | None:
        """(B, classes - 1) sound lower bounds of z_y - z_j at the present eps; None if the method bounds nothing."""
        return None

    def epoch_end(self, held_out: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Look at the held-out batches, in evaluation mode without gradients, and learn from them.

        The numbers join the epoch's row of metrics. `held_out` may be gone through more than once; empty without
        held-out images. Called once per finished epoch, also for an epoch that was interrupted just here.
        """
        return {}

    @property
    def models(self) -> dict[str, nn.Module]:
        """{ file name -> a module whose weights a finished run keeps }; `network` is always the "model"."""
        return {"model": self.network}

    @property
    def moving(self) -> list[nn.Parameter]:
        """The parameters of the network that the next step moves: all that are trained, unless some are frozen."""
        return [p for p in self.network.parameters() if p.requires_grad]

    def penalty(self) -> Tensor:
        """l1 * sum |w| over the parameters that are no biases (nor a norm's scales: more than one axis)."""
        if self.l1 == 0:
            return torch.zeros_like(self.eps)
        weights = [p.abs().sum() for p in self.moving if p.dim() > 1]
        return self.l1 * torch.stack(weights).sum()

    def nominal(self, x: Tensor, y: Tensor) -> Step:
        """CE(f(x), y), with the clean error."""
        logits = self.network(x)
        return Step(functional.cross_entropy(logits, y), {"clean_error": clean_error(logits, y)})


def averaged(
    batches: Iterable[tuple[Tensor, Tensor]], look: Callable[[Tensor, Tensor], dict[str, Tensor]]
) -> dict[str, float]:
    """The means over all images of what `look` says of each batch (x, y), itself means; empty without images."""
    total: dict[str, float] = {}
    count = 0
    for x, y in batches:
        for name, value in look(x, y).items():
            total[name] = total.get(name, 0.0) + value.item() * len(y)
        count += len(y)
    return {name: value / count for name, value in total.items()}


def clean_error(logits: Tensor, y: Tensor) -> Tensor:
    """The share of samples whose greatest logit (B, classes) is not the label's."""
    return (logits.detach().argmax(1) != y).double().mean()


def verified_error(lower: Tensor) -> Tensor:
    """The share of samples without a proof: not all lower bounds (B, K) are finite and >= 0."""
    proved = (lower.detach() >= 0) & lower.detach().isfinite()
    return (~proved.all(1)).double().mean()
