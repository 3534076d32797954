"""What floating point does to a network: how far results may be off, and the network as it is executed."""

from absdomain.rounding.errors import Boxes, Computed, allowance, asked, evaluated, source, stepped, widened
from absdomain.rounding.execution import executed, radii, with_radii

__all__ = [
    "Boxes",
    "Computed",
    "allowance",
    "asked",
    "evaluated",
    "executed",
    "radii",
    "source",
    "stepped",
    "widened",
    "with_radii",
]
