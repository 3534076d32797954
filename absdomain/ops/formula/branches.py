"""A formula as branches, on each of which it is smooth."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sympy

from absdomain.ops.formula.functions import ENCLOSED, known
from absdomain.ops.formula.signs import Unproved, factors, signs

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
    spans, points = _split(expression, x, low, high)
    found = []
    for a, b, given in spans:
        _check_known(given)
        exact = _exact(given)
        _check_regular(exact, x, a, b)
        found.append(Branch(a, b, given, exact))
    for one, other in pairwise(found):
        _check_continuous(one.exact, other.exact, x, one.high, ("on the left", "on the right"))
    for place, given in points:
        for branch in found:
            if branch.low <= place <= branch.high:
                _check_continuous(branch.exact, _exact(given), x, place, ("beside it", "at the point itself"))
    return found


def _exact(e: Any) -> Any:
    """With rational numbers for decimals, and exponentials for hyperbolic functions."""
    return sympy.nsimplify(e, rational=True).rewrite((sympy.tanh, sympy.sinh, sympy.cosh), sympy.exp)


def _split(expression: Any, x: Any, low: Any, high: Any) -> tuple[list[tuple[Any, Any, Any]], list[tuple[Any, Any]]]:
    """(low, high, smooth expression) from left to right, and (x, expression) for points that stand alone."""
    whole = expression.rewrite((sympy.Abs, sympy.Max, sympy.Min), sympy.Piecewise)
    if not whole.has(sympy.Piecewise):
        return [(low, high, expression)], []
    folded = sympy.piecewise_fold(whole)
    try:
        pairs = folded.as_expr_set_pairs(sympy.Interval(low, high))
    except NotImplementedError as error:
        raise _unsolved(folded, str(error).strip()) from error
    pieces = [(piece, part) for part, where in pairs for piece in _pieces(where, folded)]
    spans = sorted(
        ((piece.inf, piece.sup, part) for piece, part in pieces if not piece.is_FiniteSet),
        key=lambda one: sympy.N(one[0], 30),
    )
    reached = low
    for a, b, _ in spans:
        if a != reached:
            raise ValueError(f"from_sympy: {expression} is not defined between {reached} and {a}")
        reached = b
    if reached != high:
        raise ValueError(f"from_sympy: {expression} is not defined between {reached} and {high}")
    return spans, [(place, part) for piece, part in pieces if piece.is_FiniteSet for place in piece]


def _pieces(where: Any, expression: Any) -> list[Any]:
    """The intervals and the finite sets of which a set of numbers is made."""
    parts = where.args if isinstance(where, sympy.Union) else (where,)
    for part in parts:
        if not (part.is_Interval or part.is_FiniteSet):
            raise _unsolved(expression, f"they hold in {part}")
    return [part for part in parts if part is not sympy.S.EmptySet]


def _unsolved(expression: Any, found: str) -> ValueError:
    return ValueError(
        f"from_sympy: sympy cannot solve the conditions of {expression}: {found}. Give a sympy.Piecewise whose breaks "
        "are numbers"
    )


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


def _check_continuous(one: Any, other: Any, x: Any, place: Any, where: tuple[str, str]) -> None:
    """Both expressions have one value at the place; `where` says for a message where each holds."""
    left, right = (sympy.N(part.subs(x, place), 60) for part in (one, other))
    gap = sympy.Abs(left - right)
    if not (left.is_finite and right.is_finite and bool(gap <= _EQUAL * (1 + sympy.Abs(left)))):
        raise ValueError(
            f"from_sympy: the formula is not continuous at {x} = {sympy.N(place, 6)}, where it is "
            f"{sympy.N(left, 6)} {where[0]} and {sympy.N(right, 6)} {where[1]}"
        )
