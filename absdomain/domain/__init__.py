"""Abstract domains, how they combine, and how they are written."""

from absdomain.domain.abstraction import Decision, Trace, argumentwise
from absdomain.domain.domain import AnyDomain, Combinator, Domain, Guided, Meet, changed
from absdomain.domain.expression import ExpressionError, parse
from absdomain.domain.mix import Mix
from absdomain.domain.traits import Traits

__all__ = [
    "AnyDomain",
    "Combinator",
    "Decision",
    "Domain",
    "ExpressionError",
    "Guided",
    "Meet",
    "Mix",
    "Trace",
    "Traits",
    "argumentwise",
    "changed",
    "parse",
]
