"""Abstract domains, how they combine, and how they are written."""

from absdomain.domain.combinators import AnyDomain, Guided, Meet, Mix
from absdomain.domain.domain import Decision, Domain, Trace
from absdomain.domain.expression import ExpressionError, parse

__all__ = [
    "AnyDomain",
    "Decision",
    "Domain",
    "ExpressionError",
    "Guided",
    "Meet",
    "Mix",
    "Trace",
    "parse",
]
