"""Linear programming over the polyhedral relaxation of every operation."""

from __future__ import annotations

from dataclasses import dataclass

from absdomain.domains.program.activation import Unevaluated
from absdomain.domains.program.programmed import Programmed
from absdomain.domains.program.solver import Minima, relaxed


@dataclass(frozen=True)
class LP(Programmed):
    """{ y : x in the region, z = A y' + b, inf <= y - <s, z> <= sup for the facets s of every op }: planet, triangle.

    Each end of each entry is a linear program, solved by HiGHS (over an L2 ball by Clarabel, as a cone program), and
    what is returned is what the solver's multipliers prove by weak duality. Over given boxes (`lp.guided(by=...)`) no
    backward bound over the same boxes is tighter; alone, the boxes of every nonlinear op are themselves bounds of LP
    (Ehlers 2017; Salman et al. 2019, section 4).
    """

    lemma = "lp"

    def solve(self, e: Unevaluated, sample: int) -> Minima:
        return relaxed(e, sample)
