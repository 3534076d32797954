"""The attacks that training uses, as settings: (model, region, labels) -> points of the region, (B, *shape).

The network is attacked in evaluation mode, so that an attack neither moves the statistics of a batch norm nor meets
random layers; its mode comes back afterwards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from torch import Tensor, nn

from absdomain.attack import Loss, adam, ascend, cross_entropy, margin_loss
from absdomain.region import Region
from absdomain.runtime.modes import evaluating
from absdomain.trainers.options import Named, refused


class Attack(ABC):
    """Points of a region at which a loss is high, searched from `start` or from random points; frozen dataclasses."""

    @abstractmethod
    def __call__(
        self, model: nn.Module, region: Region, labels: Tensor, *, loss: Loss | None = None, start: Tensor | None = None
    ) -> Tensor:
        """(B, *shape), without a gradient. `loss` is what is maximised, by default the attack's own."""


class Ascent(Attack):
    """Projected ascent of a loss from a start, the network in evaluation mode; a subclass says by which steps."""

    @staticmethod
    @abstractmethod
    def usual(logits: Tensor, labels: Tensor, /) -> Tensor:
        """The loss that is maximised where none is given, (B,)."""

    def __call__(
        self, model: nn.Module, region: Region, labels: Tensor, *, loss: Loss | None = None, start: Tensor | None = None
    ) -> Tensor:
        with evaluating(model):
            begin = region.sample(1)[0] if start is None else start
            return self.climb(model, region, labels, begin, self.usual if loss is None else loss)

    @abstractmethod
    def climb(self, model: nn.Module, region: Region, labels: Tensor, start: Tensor, loss: Loss) -> Tensor:
        """Where the steps end, (B, *shape)."""


@dataclass(frozen=True)
class Fgsm(Ascent):
    """project(x_0 + rate * steepest(grad CE)) from a random x_0 (Wong, Rice and Kolter 2020)."""

    usual = staticmethod(cross_entropy)
    rate: float = 1.25  # in units of the region's size

    def __post_init__(self) -> None:
        _positive("rate", self.rate)

    def climb(self, model: nn.Module, region: Region, labels: Tensor, start: Tensor, loss: Loss) -> Tensor:
        return ascend(model, region, labels, steps=1, rate=self.rate, start=start, loss=loss)


@dataclass(frozen=True)
class SignAscent(Ascent):
    """`steps` projected steps along the steepest direction of CE (Madry et al. 2018).

    After each number of steps in `drops` the rate falls to a tenth, as in SABR.
    """

    usual = staticmethod(cross_entropy)
    steps: int = 10
    rate: float = 0.25  # in units of the region's size
    drops: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _positive("steps", self.steps)
        _positive("rate", self.rate)
        if list(self.drops) != sorted({drop for drop in self.drops if 0 < drop < self.steps}):
            raise refused("drops", self.drops, f"give rising numbers of steps between 0 and {self.steps}")

    def climb(self, model: nn.Module, region: Region, labels: Tensor, start: Tensor, loss: Loss) -> Tensor:
        rate = self.rate
        for begin, end in pairwise((0, *self.drops, self.steps)):
            start = ascend(model, region, labels, steps=end - begin, rate=rate, start=start, loss=loss)
            rate /= 10
        return start


@dataclass(frozen=True)
class Adam(Ascent):
    """`steps` projected steps of Adam on max_{j != y} z_j - z_y (Gowal et al. 2019, their adversarial baseline)."""

    usual = staticmethod(margin_loss)
    steps: int = 7
    rate: float = 0.1  # in pixels

    def __post_init__(self) -> None:
        _positive("steps", self.steps)
        _positive("rate", self.rate)

    def climb(self, model: nn.Module, region: Region, labels: Tensor, start: Tensor, loss: Loss) -> Tensor:
        return adam(model, region, labels, steps=self.steps, rate=self.rate, start=start, loss=loss)


ATTACKS: dict[str, Callable[..., Attack]] = {"fgsm": Fgsm, "signs": SignAscent, "adam": Adam}
AttackRule = Annotated[Attack, Named(ATTACKS)]  # a field for one of them


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise refused(name, value, "give a number > 0")
