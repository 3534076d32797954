"""Linear programming over the polyhedral relaxation of every operation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from absdomain.bounds import Bounds
from absdomain.domain import Domain, Reader
from absdomain.domains._program import Activation
from absdomain.domains._solver import boxed, minima, relaxed
from absdomain.kinds import Affine, Nonlinear
from absdomain.region import Region


@dataclass(frozen=True)
class LP(Domain[Activation]):
    """{ y : x in the region, z = A y' + b, inf <= y - <s, z> <= sup for the facets s of every op }: planet, triangle.

    Each end of each entry is a linear program, solved by HiGHS (over an L2 ball by Clarabel, as a cone program), and
    what is returned is what the solver's multipliers prove by weak duality. Over given boxes (`lp.guided(by=...)`) no
    backward bound over the same boxes is tighter; alone, the boxes of every nonlinear op are themselves bounds of LP
    (Ehlers 2017; Salman et al. 2019, section 4).
    """

    lemma = "lp"
    relational = True
    differentiable = False
    solved = True

    def lift(self, region: Region) -> Activation:
        return Activation.input(region)

    def affine(self, op: Affine, *args: Activation) -> Activation:
        return Activation.of(op, args)

    def relax(self, op: Nonlinear, args: tuple[Activation, ...], within: tuple[Bounds, ...] | None) -> Activation:
        return Activation.of(op, args, within if within is not None else self.boxes(op, args))

    def within(self, e: Activation, reader: Reader, where: Tensor | None = None) -> Bounds:
        return boxed(e, where)

    def bounds(self, e: Activation, where: Tensor | None = None) -> Bounds:
        least, most = minima(e, (1.0, -1.0), relaxed, where)
        return Bounds(least, -most)

    def lower(self, e: Activation) -> Tensor:
        return minima(e, (1.0,), relaxed)[0]

    def upper(self, e: Activation) -> Tensor:
        return -minima(e, (-1.0,), relaxed)[0]
