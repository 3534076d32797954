"""How an operation of one variable bends: what it declares of itself, once."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Curvature:
    """Where f is defined and convex or concave; Curvature() says nothing.

    Law: on each of the pieces between the breaks the sign of f'' is that of its bend, so that f' is monotone there,
    and at each break f' jumps by the sign that `jumps` gives. ValueError: the numbers of these do not match.
    """

    breaks: tuple[float, ...] = ()  # kinks and inflection points, in increasing order
    bends: tuple[int, ...] = ()  # one more than breaks: 1 convex, -1 concave, 0 affine; () where that is not told
    jumps: tuple[int, ...] = ()  # of f', one for each break: 1 up, -1 down, 0 none; () where that is not told
    domain: tuple[float, float] = (-inf, inf)  # f is finite between these, and perhaps at them
    increasing: bool = False  # f is nondecreasing, so that its image is that of the two ends

    def __post_init__(self) -> None:
        if self.bends and len(self.bends) != len(self.breaks) + 1:
            raise ValueError(
                f"Curvature: {len(self.breaks)} breaks and {len(self.bends)} bends; give one bend for each piece, that "
                "is one more than breaks"
            )
        if self.jumps and len(self.jumps) != len(self.breaks):
            raise ValueError(
                f"Curvature: {len(self.breaks)} breaks and {len(self.jumps)} jumps; give one jump for each break"
            )

    @property
    def convex(self) -> bool:
        """Whether f is known to be convex: over any box the chord's is the best line above it."""
        return self._told and all(sign >= 0 for sign in (*self.bends, *self.jumps))

    @property
    def concave(self) -> bool:
        """Whether f is known to be concave: over any box the chord's is the best line below it."""
        return self._told and all(sign <= 0 for sign in (*self.bends, *self.jumps))

    @property
    def piecewise_linear(self) -> bool:
        """Whether f is affine on every piece and defined everywhere: it maps bounded boxes to bounded ones."""
        return bool(self.bends) and not any(self.bends) and self.domain == (-inf, inf)

    @property
    def _told(self) -> bool:
        return bool(self.bends) and len(self.jumps) == len(self.breaks)
