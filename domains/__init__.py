"""The abstract domains, one file each."""

from absdomain.domains.box import Box
from absdomain.domains.deeppoly import DeepPoly
from absdomain.domains.dual import Dual
from absdomain.domains.exact import Exact
from absdomain.domains.lp import LP
from absdomain.domains.symbolic_gap import SymbolicGap
from absdomain.domains.zonotope import Zonotope

__all__ = ["LP", "Box", "DeepPoly", "Dual", "Exact", "SymbolicGap", "Zonotope"]


def __dir__() -> list[str]:
    return sorted(__all__)
