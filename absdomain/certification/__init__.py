"""Which images are robust: claims, the evidence for them, and the rounding that is allowed for."""

from absdomain.certification.certification import CASCADE, certify
from absdomain.certification.verdict import Status, Summary, Verdict, summarise

__all__ = [
    "CASCADE",
    "Status",
    "Summary",
    "Verdict",
    "certify",
    "summarise",
]
