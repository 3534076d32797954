"""Training for narrow bounds: the logits shall hardly move in the ball, whichever class is right."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from absdomain.graph import Graph
from absdomain.trainers import Certified, Method, RecipeError, Step
from absdomain.trainers.certified import RECIPES
from absdomain.trainers.certified import Settings as CertifiedSettings


@dataclass(frozen=True)
class Settings(CertifiedSettings):
    """`width` weighs the bounds' mean width; on the command line `--trainer "narrow(width=2.0)"`."""

    width: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.width > 0:
            raise RecipeError(f"width: {self.width!r} cannot be used; give a weight > 0")


class Narrow(Certified):
    """L = kappa CE(f(x), y) + (1 - kappa) width mean (upper - lower), the domain's bounds on the logits in the ball.

    Certified does all the rest: schedules, any domain, batch norm, the verified error of held-out images.
    """

    settings: Settings

    def robust(self, x: Tensor, y: Tensor, graph: Graph) -> Step:
        bounds = self.domain.propagate(graph, self.region(x))
        mean = (bounds.upper - bounds.lower).mean()
        return Step(self.settings.width * mean, {"mean_width": mean.detach()})


narrow = Method(
    "narrow",
    "cross-entropy, and the width of any domain's bounds on the logits",
    Narrow.of,
    tuple(replace(recipe, trainer="narrow") for recipe in RECIPES),
    Settings(),
)
