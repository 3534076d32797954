"""CROWN-IBP: linear relaxation over interval bounds early in the training, interval bounds at its end.

Zhang et al., "Towards Stable and Efficient Training of Verifiably Robust Neural Networks", section 3 and appendix A,
with the weight beta on the linear relaxation, as in the public code. The text's eq. (9) has it on the interval bounds,
going from 0 to 1, which is the same; with the appendix's schedule, from 1 to 0, eq. (9) would begin with intervals and
end with the relaxation: that is this method on the domain mix(box, deeppoly.guided(by=box)).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from absdomain.algebra import AnyDomain, Mix
from absdomain.trainers.certified import RECIPES, USUAL, Certified, Settings
from absdomain.trainers.method import Method, Setup
from absdomain.trainers.objective import Objective
from absdomain.trainers.schedules import START, Moment

NEGLIGIBLE = 1e-5  # a smaller beta is taken as 0, and the relaxation is not computed


class CrownIBP(Certified):
    """Certified's loss at lower = beta * lower(first) + (1 - beta) * lower(second) of a Mix, beta set at each step.

    The usual mixture is parse("mix(deeppoly.guided(by=box), box)").
    """

    def __init__(
        self,
        network: nn.Module,
        example: Tensor,
        mixture: Mix,
        *,
        classes: int = 10,
        clip: tuple[float, float] | None = (0.0, 1.0),
        l1: float = 0.0,
        settings: Settings = USUAL,  # frozen
        eps_end: float = 0.0,
    ) -> None:
        super().__init__(
            network, example, mixture, classes=classes, clip=clip, l1=l1, settings=settings, eps_end=eps_end
        )
        self.mixture = mixture

    def set(self, *, eps: float, kappa: float, beta: float = 0.0, at: Moment = START) -> None:
        super().set(eps=eps, kappa=kappa, beta=beta, at=at)
        self.domain = weighed(self.mixture, self.beta, beta)


def weighed(domain: AnyDomain, beta: Tensor, value: float) -> AnyDomain:
    """A Mix with the weight beta, exactly 0 where beta's value is negligible; any other domain as it is."""
    if not isinstance(domain, Mix):
        return domain
    return replace(domain, weight=beta if value >= NEGLIGIBLE else 0.0)


def objective(setup: Setup[Settings]) -> Objective:
    """The recipe's mixture and clip, given to CrownIBP."""
    if not isinstance(setup.domain, Mix):
        raise setup.recipe.refuse("domain", "crown-ibp mixes two domains: write mix(first, second)")
    return CrownIBP.of(setup)


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
