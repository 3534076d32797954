"""What a bound promises."""

from __future__ import annotations

from enum import IntEnum


class Guarantee(IntEnum):
    """HEURISTIC < STATISTICAL < SOUND; a combination promises the least of its parts."""

    HEURISTIC = 0  # an estimate: may be wrong for any sample
    STATISTICAL = 1  # holds with some probability over the domain's own randomness
    SOUND = 2  # lower <= f(x) <= upper for every x of the region, in real arithmetic
