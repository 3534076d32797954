"""Branch and bound: a question is split until bounds prove every part, or a point answers it."""

from absdomain.branching.outcome import Limits, Outcome, Verdict
from absdomain.branching.verify import verify

__all__ = ["Limits", "Outcome", "Verdict", "verify"]
