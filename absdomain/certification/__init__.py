"""Which images are robust: claims, the evidence for them, and the rounding that is allowed for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from absdomain.certification.evidence import SoundnessError
from absdomain.certification.verdict import Reason, Refused, Status, Summary, Verdict, summarise
from absdomain.runtime.names import former

if TYPE_CHECKING:
    from absdomain.certification.certification import CASCADE, certify
    from absdomain.certification.estimating import Estimate, estimate
    from absdomain.certification.explaining import explain
    from absdomain.certification.explanation import Explanation
    from absdomain.certification.result import Certification, load

# loaded at first use: they bring the front end for modules, which others do without
_LAZY = {
    "CASCADE": "certification", "certify": "certification", "explain": "explaining", "Explanation": "explanation",
    "Certification": "result", "load": "result", "Estimate": "estimating", "estimate": "estimating",
}  # fmt: skip

__all__ = [
    "CASCADE",
    "Certification",
    "Estimate",
    "Explanation",
    "Reason",
    "Refused",
    "SoundnessError",
    "Status",
    "Summary",
    "Verdict",
    "certify",
    "estimate",
    "explain",
    "load",
    "summarise",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"absdomain.certification.{_LAZY[name]}"), name)
    return former(__name__, {"allowance": "absdomain.rounding.allowance"}, name)
