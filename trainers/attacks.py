"""The attacks that training uses, as settings: (model, region, labels) -> points of the region, (B, *shape).

The network is attacked in evaluation mode, so that an attack neither moves the statistics of a batch norm nor meets
random layers; its mode comes back afterwards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from absdomain.attack import Loss, adam, ascend, cross_entropy, margin_loss
from absdomain.region import Region
from absdomain.runtime.modes import evaluating
from absdomain.trainers.options import Named, refused


class Attack(ABC):
    """Points of a region where a loss is high; frozen dataclasses. From `start`, or a random point for each sample."""

    @abstractmethod
    def __call__(
        self, model: nn.Module, region: Region, labels: Tensor, *, loss: Loss | None = None, start: Tensor | None = None
    ) -> Tensor:
        """(B, *shape), without a gradient; `loss` ascends, by default the attack's own."""


@dataclass(frozen=True)
class Fgsm(Attack):
    """project(x_0 + rate * steepest(grad CE)) from a random x_0 (Wong, Rice and Kolter 2020)."""

    rate: float = 1.25  # in units of the region's size

    def __post_init__(self) -> None:
        _positive("rate", self.rate)

    def __call__(
        self, model: nn.Module, region: Region, labels: Tensor, *, loss: Loss | None = None, start: Tensor | None = None
    ) -> Tensor:
        with evaluating(model):
            begin = region.sample(1)[0] if start is None else start
            return ascend(model, region, labels, steps=1, rate=self.rate, start=begin, loss=loss or cross_entropy)


@dataclass(frozen=True)
class SignAscent(Attack):
    """`steps` projected steps along the steepest direction of CE (Madry et al. 2018).

    After each number of steps in `drops` the rate falls to a tenth, as in SABR.
    """

    steps: int = 10
    rate: float = 0.25  # in units of the region's size
    drops: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _positive("steps", self.steps)
        _positive("rate", self.rate)
        if list(self.drops) != sorted({drop for drop in self.drops if 0 < drop < self.steps}):
            raise refused("drops", self.drops, f"give rising numbers of steps between 0 and {self.steps}")

    def __call__(
        self, model: nn.Module, region: Region, labels: Tensor, *, loss: Loss | None = None, start: Tensor | None = None
    ) -> Tensor:
        with evaluating(model):
            points = region.sample(1)[0] if start is None else start
            rate, ends = self.rate, (*self.drops, self.steps)
            for begin, end in zip((0, *self.drops), ends, strict=True):
                steps, ascended = end - begin, loss or cross_entropy
                points = ascend(model, region, labels, steps=steps, rate=rate, start=points, loss=ascended)
                rate /= 10
        return points


@dataclass(frozen=True)
class Adam(Attack):
    """`steps` projected steps of Adam on max_{j != y} z_j - z_y (Gowal et al. 2019, their adversarial baseline)."""

    steps: int = 7
    rate: float = 0.1  # in pixels

    def __post_init__(self) -> None:
        _positive("steps", self.steps)
        _positive("rate", self.rate)

    def __call__(
        self, model: nn.Module, region: Region, labels: Tensor, *, loss: Loss | None = None, start: Tensor | None = None
    ) -> Tensor:
        with evaluating(model):
            begin = region.sample(1)[0] if start is None else start
            rate, ascended = self.rate, loss or margin_loss
            return adam(model, region, labels, steps=self.steps, rate=rate, start=begin, loss=ascended)


ATTACKS: dict[str, Callable[..., Attack]] = {"fgsm": Fgsm, "signs": SignAscent, "adam": Adam}
AttackRule = Annotated[Attack, Named(ATTACKS)]  # a field for one of them


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise refused(name, value, "give a number > 0")
