"""CROWN-IBP: linear relaxation over interval bounds early in the training, interval bounds at its end.

Zhang et al., "Towards Stable and Efficient Training of Verifiably Robust Neural Networks", section 3 and appendix A,
with the weight beta on the linear relaxation, as in the public code. The text's eq. (9) has it on the interval bounds,
going from 0 to 1, which is the same; with the appendix's schedule, from 1 to 0, eq. (9) would begin with intervals and
end with the relaxation: that is this method on the domain mix(box, deeppoly.guided(by=box)).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from absdomain.domain import AnyDomain, Mix
from absdomain.trainers.certified import RECIPES, USUAL, Certified, Settings
from absdomain.trainers.method import Method, Setup
from absdomain.trainers.objective import Objective
from absdomain.trainers.schedules import START, Moment

NEGLIGIBLE = 1e-5  # a smaller beta is taken as 0, and the relaxation is not computed


class CrownIBP(Certified):
    """Certified's loss at lower = beta * lower(first) + (1 - beta) * lower(second) of a Mix, beta set at each step.

    The usual mixture is parse("mix(deeppoly.guided(by=box), box)").
    """

    def set(self, *, eps: float, kappa: float, beta: float = 0.0, at: Moment = START) -> None:
        super().set(eps=eps, kappa=kappa, beta=beta, at=at)
        self.domain = weighed(self.domain, self.beta, beta)


def weighed(domain: AnyDomain, beta: Tensor, value: float) -> AnyDomain:
    """A Mix with the weight beta, exactly 0 where beta's value is negligible; any other domain as it is."""
    if not isinstance(domain, Mix):
        return domain
    return replace(domain, weight=beta if value >= NEGLIGIBLE else 0.0)


def weighable(setup: Setup[Any]) -> Setup[Any]:
    """The setup, if its recipe says where the weight of its mixture goes."""
    if isinstance(setup.domain, Mix) and setup.recipe.beta_end is None:
        raise setup.recipe.refuse("beta_end", "the mixture's weight goes to it as eps grows; give a weight in [0, 1]")
    return setup


def objective(setup: Setup[Settings]) -> Objective:
    """The recipe's mixture and clip, given to CrownIBP."""
    if not isinstance(setup.domain, Mix):
        raise setup.recipe.refuse("domain", "crown-ibp mixes two domains: write mix(first, second)")
    return CrownIBP.of(weighable(setup))


crown_ibp = Method(
    "crown-ibp",
    "CROWN-IBP bounds giving way to IBP as beta goes from 1 to beta_end",
    objective,
    tuple(
        replace(
            recipe,
            trainer="crown-ibp",
            domain="mix(deeppoly.guided(by=box), box)",
            kappa_start=0.0,
            kappa_end=0.0,
            beta_end=0.0,
        )
        for recipe in RECIPES
    ),
    USUAL,
)
