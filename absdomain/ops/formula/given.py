"""What `from_sympy` is given, checked: a real expression in one symbol, the ends of its domain, inflection points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sympy


def of_symbol(expression: Any, x: Any) -> Any:
    """The expression in x. ValueError: it is none, has other than one symbol, or a number in it is not real."""
    if not isinstance(expression, sympy.Expr):
        raise ValueError(f"from_sympy: {expression!r} is a {type(expression).__name__}; give a sympy expression, for "
                         "example of x = sympy.Symbol('x')")  # fmt: skip
    for part in sympy.preorder_traversal(expression):
        if part is sympy.nan or (part.is_number and part.is_real is False):
            raise ValueError(f"from_sympy: {expression} has {part}, which is not a real number; give a real formula")
    symbols = expression.free_symbols
    if len(symbols) != 1:
        raise ValueError(f"from_sympy: {expression} has {len(symbols)} symbols; it must have one")
    return expression.subs(symbols.pop(), x)


def ends(domain: Any) -> tuple[Any, Any]:
    """The two ends of the domain, perhaps infinite, in order."""
    found = _numbers(domain, "the domain")
    if len(found) != 2:
        raise ValueError(f"from_sympy: the domain is {domain}; give two numbers, (low, high)")
    if not found[0] < found[1]:
        raise ValueError(f"from_sympy: the domain is ({domain[0]}, {domain[1]}); its ends must be in order")
    return found[0], found[1]


def places(inflections: Any) -> list[Any]:
    """Inflection points, finite, in increasing order."""
    found = _numbers(inflections, "inflections")
    endless = [p for p in found if p.is_infinite]
    if endless:
        raise ValueError(f"from_sympy: inflections has {endless[0]}; give finite numbers")
    return sorted(found)


def _numbers(given: Any, name: str) -> list[Any]:
    """Real numbers and infinities, as sympy has them."""
    found = []
    for number in given if isinstance(given, Iterable) and not isinstance(given, str) else [given]:
        try:
            value = sympy.sympify(number, strict=True)
        except sympy.SympifyError:
            value = sympy.nan
        if not (isinstance(value, sympy.Expr) and value.is_number and value.is_extended_real):
            raise ValueError(f"from_sympy: {name} has {number!r}; give real numbers, such as 0.5 or sympy.pi")
        found.append(value)
    return found
