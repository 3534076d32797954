"""The sets of inputs over which a network is bounded: balls of a norm and boxes."""

from absdomain.region.balls import L1, L2
from absdomain.region.base import EACH, Draws, Region
from absdomain.region.boxes import BoxRegion, Interval, Linf
from absdomain.region.clipped import Clipped
from absdomain.region.constraints import Constraints
from absdomain.region.product import CartesianProduct

__all__ = [
    "EACH",
    "L1",
    "L2",
    "BoxRegion",
    "CartesianProduct",
    "Clipped",
    "Constraints",
    "Draws",
    "Interval",
    "Linf",
    "Region",
]
