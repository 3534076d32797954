"""Inputs that a property says are equal: one stands for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from absdomain.properties.formula import Comparison, Relation
from absdomain.properties.polynomial import INPUT, ONE, Variable
from absdomain.properties.property import Property, conjuncts


@dataclass(frozen=True)
class Shared:
    """{ input -> the first of the inputs that are equal to it }, for each but the first ones."""

    names: dict[Variable, Variable]

    def renamed(self, comparison: Comparison) -> Comparison:
        """The comparison of the inputs that stand for others."""
        return Comparison(comparison.term.renamed(lambda v: self.names.get(v, v)), comparison.relation)


def shared(given: Property) -> Shared:
    """From assertions a == b of two inputs, as two runs of one network on the same point state (union by the first)."""
    first: dict[Variable, Variable] = {}

    def root(v: Variable) -> Variable:
        path = []
        while v in first:
            path.append(v)
            v = first[v]
        first.update(dict.fromkeys(path, v))
        return v

    for assertion in given.assertions:
        for formula in conjuncts(assertion):
            pair = _pair(formula) if isinstance(formula, Comparison) and formula.relation is Relation.EQUAL else None
            if pair is not None and root(pair[0]) != root(pair[1]):
                order = {tensor.name: i for i, tensor in enumerate(given.tensors.values())}
                low, high = sorted((root(pair[0]), root(pair[1])), key=lambda v: (order[v.name], v.flat))
                first[high] = low
    return Shared({v: root(v) for v in list(first)})


def _pair(comparison: Comparison) -> tuple[Variable, Variable] | None:
    """The two inputs a and b of a comparison c a - c b == 0."""
    terms = comparison.term.terms
    if len(terms) != 2 or ONE in terms or sum(terms.values()) != 0:
        return None
    one, other = terms
    return (one[0], other[0]) if len(one) == len(other) == 1 and one[0].kind == other[0].kind == INPUT else None
