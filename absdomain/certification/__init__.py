"""Which images are robust: claims, the evidence for them, and the rounding that is allowed for."""

from absdomain.certification.certification import CASCADE, certify
from absdomain.certification.evidence import SoundnessError
from absdomain.certification.verdict import Reason, Refused, Status, Summary, Verdict, summarise

__all__ = [
    "CASCADE",
    "Reason",
    "Refused",
    "SoundnessError",
    "Status",
    "Summary",
    "Verdict",
    "certify",
    "summarise",
]
