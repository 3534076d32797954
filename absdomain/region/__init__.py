"""The sets of inputs over which a network is bounded: balls of a norm and boxes."""

from absdomain.region.balls import L1, L2
from absdomain.region.base import Draws, Region
from absdomain.region.boxes import Interval, Linf

__all__ = ["L1", "L2", "Draws", "Interval", "Linf", "Region"]
