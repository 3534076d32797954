"""A formula as branches, on each of which it is smooth."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sympy

from absdomain.formula.functions import ENCLOSED, known
from absdomain.formula.signs import Unproved, factors, signs

_EQUAL = sympy.Float("1e-40")  # two ends that agree to 40 digits are one


@dataclass(frozen=True)
class Branch:
    """f between two places: as given, and with exact numbers and exponentials, for proofs."""

    low: Any
    high: Any
    given: Any
    exact: Any


def branches(expression: Any, x: Any, low: Any, high: Any) -> list[Branch]:
    """The branches of f between low and high, in order. ValueError: f is not defined or not continuous somewhere."""
    found = []
    for a, b, given in _split(expression, x, low, high):
        _check_known(given)
        exact = sympy.nsimplify(given, rational=True).rewrite((sympy.tanh, sympy.sinh, sympy.cosh), sympy.exp)
        _check_regular(exact, x, a, b)
        found.append(Branch(a, b, given, exact))
    for one, other in pairwise(found):
        _check_continuous(one, other, x)
    return found


def _split(expression: Any, x: Any, low: Any, high: Any) -> list[tuple[Any, Any, Any]]:
    """(low, high, smooth expression) from left to right."""
    whole = expression.rewrite((sympy.Abs, sympy.Max, sympy.Min), sympy.Piecewise)
    if not whole.has(sympy.Piecewise):
        return [(low, high, expression)]
    folded = sympy.piecewise_fold(whole)
    try:
        pairs = folded.as_expr_set_pairs(sympy.Interval(low, high))
    except NotImplementedError as error:
        raise ValueError(f"from_sympy: the conditions of {folded} cannot be solved for {x}: {error}") from error
    spans = sorted(
        ((span.inf, span.sup, part) for part, where in pairs for span in _intervals(where)),
        key=lambda one: sympy.N(one[0], 30),
    )
    reached = low
    for a, b, _ in spans:
        if a != reached:
            raise ValueError(f"from_sympy: {expression} is not defined between {reached} and {a}")
        reached = b
    if reached != high:
        raise ValueError(f"from_sympy: {expression} is not defined between {reached} and {high}")
    return spans


def _intervals(where: Any) -> list[Any]:
    """The intervals of a set of numbers; single points, at which a continuous f is known anyway, are left out."""
    parts = where.args if isinstance(where, sympy.Union) else (where,)
    return [part for part in parts if isinstance(part, sympy.Interval)]


def _check_known(e: Any) -> None:
    """Only functions that are smooth where they are defined, and that the tables know."""
    for part in sympy.preorder_traversal(e):
        if not (part.is_Symbol or part.is_number or part.is_Add or part.is_Mul or part.is_Pow):
            known(part, ENCLOSED)


def _check_regular(e: Any, x: Any, low: Any, high: Any) -> None:
    """No pole, and no root or logarithm of a negative number, strictly between low and high."""
    for part in sympy.preorder_traversal(e):
        if part.is_number or (part.is_Pow and part.exp.is_Integer and part.exp.is_nonnegative):
            continue
        if part.is_Pow and part.exp.is_number:
            _check_sign(part.base, x, low, high, whole=bool(part.exp.is_Integer))
        elif isinstance(part, sympy.log):
            _check_sign(part.args[0], x, low, high, whole=False)


def _check_sign(base: Any, x: Any, low: Any, high: Any, *, whole: bool) -> None:
    """base is nowhere 0, and positive unless `whole`."""
    try:
        roots = [root for factor, _ in factors(base, x) for root in signs(factor, x, low, high).roots]
        if roots:
            raise Unproved(f"it is 0 at {x} = {sympy.N(roots[0], 6)}")
        positive = whole or signs(base, x, low, high).signs == (1,)
    except Unproved as error:
        raise ValueError(
            f"from_sympy: a power or logarithm of {base} may not be defined between {low} and {high}: {error}. Give "
            "domain=(low, high)"
        ) from error
    if not positive:
        raise ValueError(f"from_sympy: a root or logarithm of {base}, which is negative between {low} and {high}; give "
                         "domain=(low, high)")  # fmt: skip


def _check_continuous(one: Branch, other: Branch, x: Any) -> None:
    """Both branches have one value where they meet."""
    left, right = (sympy.N(part.exact.subs(x, one.high), 60) for part in (one, other))
    gap = sympy.Abs(left - right)
    if not (left.is_finite and right.is_finite and bool(gap <= _EQUAL * (1 + sympy.Abs(left)))):
        raise ValueError(
            f"from_sympy: the formula is not continuous at {x} = {sympy.N(one.high, 6)}, where it is "
            f"{sympy.N(left, 6)} on the left and {sympy.N(right, 6)} on the right"
        )
