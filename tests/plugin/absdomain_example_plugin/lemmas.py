"""What `absdomain prove asinh` checks: the band of asinh against extrema that interval arithmetic encloses."""

from math import inf

import sympy
from torch import Tensor

from absdomain.linear import Bounds
from absdomain.proofs.lemma import CASES, Lemma, Twin
from absdomain.proofs.lemmas.enclosures import X, tight
from absdomain_example_plugin.asinh import Asinh

BOXES = ((-2.0, 3.0), (-4.0, -1.0), (0.5, 4.0), (1.0, 1.0))
SLOPES = (0.0, 0.125, 0.5, 0.75, -0.5, 1.5)
PIECES = ((-inf, inf, sympy.log(X + sympy.sqrt(X**2 + 1))),)


class _OneSided(Asinh):
    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return super().critical(slope, box)[:1]


LEMMAS = (
    Lemma(
        "asinh",
        "inf and sup are the extrema of asinh(x) - s x over these boxes, at these slopes",
        (Asinh.__call__, Asinh.critical),
        (tight(Asinh(), PIECES, BOXES, SLOPES),),
        (Twin("critical points on one side alone", tight(_OneSided(), PIECES, BOXES, SLOPES), {}),),
        CASES,
        leaves="other boxes and slopes; float32; rounding",
    ),
)
