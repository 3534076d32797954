"""Properties of networks: formulas over inputs, hidden nodes and outputs, their normal form, and what is asked."""

from absdomain.properties.expression import Term, Variables, all_of, any_of
from absdomain.properties.formula import Comparison, Formula
from absdomain.properties.normal import Case, Normal, normal
from absdomain.properties.property import Property
from absdomain.properties.query import Query, queries
from absdomain.properties.specify import specify
from absdomain.properties.variables import unsafe, variables

__all__ = [
    "Case",
    "Comparison",
    "Formula",
    "Normal",
    "Property",
    "Query",
    "Term",
    "Variables",
    "all_of",
    "any_of",
    "normal",
    "queries",
    "specify",
    "unsafe",
    "variables",
]
