"""kappa in L = kappa CE(f(x), y) + (1 - kappa) loss(bound): by the recipe's schedule, or from held-out images.

lambda = 1 - kappa is the weight in SingleProp's paper.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from absdomain.trainers.options import Named, refused


class Kappa(ABC):
    """A rule that gives kappa from the recipe's schedule and from the kappa last learnt; frozen dataclasses."""

    learns: ClassVar[bool] = False  # from held-out images, at the end of each epoch

    @abstractmethod
    def kappa(self, scheduled: float, learnt: float) -> float:
        """The weight of the nominal loss for the next step."""

    def learn(self, nominal: float, robust: float, learnt: float) -> float:
        """The kappa that follows from the held-out images' nominal loss and loss at the bound."""
        return learnt


@dataclass(frozen=True)
class Scheduled(Kappa):
    """kappa as the recipe's schedule says, from kappa_start to kappa_end (Gowal et al. 2019, section 3)."""

    def kappa(self, scheduled: float, learnt: float) -> float:
        return scheduled


@dataclass(frozen=True)
class Adaptive(Kappa):
    """lambda = gamma L / (gamma L + L_worst) with the losses of held-out images at the present eps, once per epoch.

    lambda is 0 in the first epoch. So gamma (1 - lambda) L = lambda L_worst: the two terms keep a proportion
    (Boopathy et al. 2021, adaptive hyperparameter selection). Where the losses say nothing (0 / 0, or undefined),
    lambda stays.
    """

    learns: ClassVar[bool] = True
    gamma: float = 10.0

    def __post_init__(self) -> None:
        if not self.gamma > 0:
            raise refused("gamma", self.gamma, "give a factor > 0")

    def kappa(self, scheduled: float, learnt: float) -> float:
        return learnt

    def learn(self, nominal: float, robust: float, learnt: float) -> float:
        total = self.gamma * nominal + robust
        found = 1 - self.gamma * nominal / total if total > 0 else learnt
        return min(max(found, 0.0), 1.0) if math.isfinite(found) else learnt  # a hinge's loss may be negative


KAPPAS: dict[str, Callable[..., Kappa]] = {"scheduled": Scheduled, "adaptive": Adaptive}
KappaRule = Annotated[Kappa, Named(KAPPAS)]  # a field for one of them
