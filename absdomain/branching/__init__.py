"""Branch and bound: a question is split until bounds prove every part, or a point answers it."""

from absdomain.branching.decide import decide
from absdomain.branching.domain import Branching
from absdomain.branching.outcome import Limits, Outcome, Verdict
from absdomain.branching.radius import Radii, Radius, radius
from absdomain.branching.verify import Answer, verify

__all__ = ["Answer", "Branching", "Limits", "Outcome", "Radii", "Radius", "Verdict", "decide", "radius", "verify"]
