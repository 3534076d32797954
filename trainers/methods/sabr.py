"""SABR: certified training on a small box around the point that an attack finds.

Müller et al. 2023, "Certified Training: Small Boxes are All You Need", section 3, and the public code, whose shrinking
of boxes before ReLUs (CIFAR-10 at 2/255) is not offered, and whose attack keeps the worst point that it met, not the
last. Where the range of pixels cuts the ball, that code shifts the small box inwards; here it is cut as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from absdomain.graph import Graph
from absdomain.region import Linf
from absdomain.trainers import certified
from absdomain.trainers.attacks import AttackRule, SignAscent
from absdomain.trainers.certified import Certified
from absdomain.trainers.method import Method
from absdomain.trainers.methods import shi
from absdomain.trainers.objective import Step, verified_error
from absdomain.trainers.options import refused
from absdomain.trainers.stabilise import Initialisation, ibp


@dataclass(frozen=True)
class Settings(certified.Settings):
    """`share` (lambda) is the small box's radius in units of eps; `attack` looks for its centre."""

    share: float = 0.6
    attack: AttackRule = SignAscent(8, 0.5, (4, 7))
    initialisation: Initialisation = ibp
    regularise: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.share <= 1:
            raise refused("share", self.share, "give a share of eps in [0, 1]")


class Sabr(Certified):
    """Certified's loss with the bound on { x' : |x' - c| <= share eps }, where |c - x| <= (1 - share) eps.

    c is what an attack in the whole ball finds, moved inwards, so that the small box is a part of the ball. share 1
    is certified training, share 0 adversarial training. The bound does not hold on the whole ball: its error,
    `small_box_error`, is no verified error. Batch statistics are those of the clean images.
    """

    settings: Settings

    def robust(self, x: Tensor, y: Tensor, graph: Graph) -> Step:
        ball, own = self.region(x), self.settings
        points = own.attack(self.network, ball, y, start=self.share.point(ball))
        centre = Linf(x, self.eps * (1 - own.share), clip=self.clip).project(points)
        bound = self.bound(Linf(centre, self.eps * own.share, clip=self.clip), y, graph)
        return Step(own.loss(bound), {"small_box_error": verified_error(bound)})


MNIST = shi.MNIST.on("mnist", trainer="sabr", eps=0.3, eps_start=0.0, warmup=1.0, l1=1e-6)
CIFAR10 = shi.CIFAR10.on("cifar10", trainer="sabr(share=0.7)", epochs=180, milestones=(140.0, 160.0))
DIGITS = shi.DIGITS.on("digits", trainer="sabr")

sabr = Method(
    "sabr",
    "the loss at the bound on a small box around an attacked point",
    Sabr.of,
    (MNIST, CIFAR10, DIGITS),
    Settings(),
)
