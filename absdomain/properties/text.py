"""Formulas as VNN-LIB text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from absdomain.properties.decimals import to_text
from absdomain.properties.polynomial import ONE, Monomial, Polynomial, Variable

Namer = Callable[[Variable], str]
_TURNED = {"<=": ">=", "<": ">"}


def flat_name(variable: Variable) -> str:
    """Y[3]: the tensor's name and the flat position."""
    return f"{variable.name}[{variable.flat}]"


def comparison(term: Polynomial, relation: str, name: Namer) -> str:
    """(relation left right), where left - right is the term: the first name has a positive sign, if that can be."""
    first = min((m for m in term.terms if m), default=ONE)
    if relation in _TURNED and term.terms.get(first, 0) < 0:
        term, relation = -term, _TURNED[relation]
    left, right = _sides(term)
    return f"({relation} {_sum(left, name)} {_sum(right, name)})"


def joined(word: str, parts: Sequence[str]) -> str:
    """(word part part ...)."""
    return f"({word} {' '.join(parts)})"


def _sides(term: Polynomial) -> tuple[dict[Monomial, Fraction], dict[Monomial, Fraction]]:
    """Two sums with left - right = term: positive and negative terms, or all of them and a number."""
    terms = dict(sorted(term.terms.items()))
    offset = terms.pop(ONE, Fraction(0))
    plus = {m: a for m, a in terms.items() if a > 0}
    minus = {m: -a for m, a in terms.items() if a < 0}
    if not offset:
        return plus, minus
    if not plus:
        return {ONE: offset}, minus
    return terms, {ONE: -offset}


def _sum(terms: dict[Monomial, Fraction], name: Namer) -> str:
    plus = [_product(m, a, name) for m, a in terms.items() if a > 0]
    minus = [_product(m, -a, name) for m, a in terms.items() if a < 0]
    if ONE in terms and len(terms) == 1:
        return to_text(terms[ONE])
    head = "0" if not plus else plus[0] if len(plus) == 1 else joined("+", plus)
    return joined("-", [head, *minus]) if minus else head


def _product(m: Monomial, a: Fraction, name: Namer) -> str:
    factors = ([] if a == 1 and m else [to_text(a)]) + [name(v) for v in m]
    return factors[0] if len(factors) == 1 else joined("*", factors)
