"""Where an expression in one variable is positive and where negative: proved factor by factor."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd, lcm
from typing import Any

import sympy
from mpmath import mp

from absdomain.ops.formula.functions import IV, enclosed

_OO = sympy.oo
_CORES = (10, 40, 160)  # beyond this distance from 0 a sign is shown to stay
_PARTS = 1000  # intervals into which the core may be cut
_CUT = sympy.Rational(4871, 10000)  # of an interval: not the middle, where formulas like to have their roots
_DEPTH = 14  # derivatives that are taken to show a sign far out
_FLAT = 4  # derivatives that are taken to show a sign next to an end, where h may be flat,
_TINY = sympy.Rational(1, 10**6)  # in intervals of no less than this part of the whole
_DIGITS = 45
_ZERO = 1e-25  # an enclosure of a point that holds 0 and is so narrow is 0


class Unproved(ValueError):
    """A sign that could not be shown."""


@dataclass(frozen=True)
class Signs:
    """The sign, 1 or -1 (weakly) or 0 (zero throughout), between roots in increasing order."""

    roots: tuple[Any, ...]  # sympy numbers, exact or of 45 digits; each lies inside the interval
    signs: tuple[int, ...]  # one more than roots

    @staticmethod
    def constant(sign: int) -> Signs:
        """No root."""
        return Signs((), (sign,))

    def at(self, x: Any) -> int:
        """The sign near x, which is no root."""
        return self.signs[bisect_left(self.roots, x)]

    def times(self, other: Signs) -> Signs:
        """The signs of the product."""
        roots = _distinct([*self.roots, *other.roots])
        signs = [self.at(x) * other.at(x) for x in _between(roots)]
        return _merged(roots, signs)


def signs(h: Any, x: Any, low: Any, high: Any, cuts: Sequence[Any] = ()) -> Signs:
    """The signs of h(x) for low < x < high. Unproved: says of which factor, and where.

    Factors: those whose sign sympy derives, polynomials with rational coefficients (real root isolation), and others
    by interval arithmetic. A factor in a denominator must not vanish. Between `cuts`, in increasing order, each stretch
    is shown by itself: more can be, if they are roots.
    """
    found = Signs.constant(1)
    for base, power in factors(h, x):
        part = _stretches(base, x, [low, *cuts, high])
        if part.roots and power.is_negative:
            raise Unproved(f"{h} is infinite at {x} = {sympy.N(part.roots[0], 6)}")
        if not (power.is_Integer and power % 2 == 0):
            found = found.times(part)
    return found


def factors(h: Any, x: Any) -> list[tuple[Any, Any]]:
    """(base, power) pairs whose product is h; exponentials of rational multiples of one argument are powers of one."""
    h = sympy.together(h.expand(power_base=False, log=False, mul=False, multinomial=False))
    bases: dict[Any, list[Any]] = {}
    for e in h.atoms(sympy.exp):
        coefficient, base = e.args[0].as_coeff_Mul()
        bases.setdefault(base, []).append(coefficient)
    names: dict[Any, Any] = {}
    back: dict[Any, Any] = {}
    for base, coefficients in bases.items():
        name, step = sympy.Dummy(positive=True), _common(coefficients)
        back[name] = sympy.exp(step * base)
        names |= {sympy.exp(c * base): name ** (c / step) for c in coefficients}
    h = h.xreplace(names)
    for atom in sorted(_others(h), key=sympy.default_sort_key):
        name = sympy.Dummy(real=True)
        back[name] = atom.xreplace(back)
        h = h.xreplace({atom: name})
    powers = sympy.factor(sympy.together(h)).as_powers_dict()
    return [(b.xreplace(back).xreplace(back), sympy.sympify(p)) for b, p in powers.items()]


def _others(h: Any) -> set[Any]:
    """What of h is no rational function: functions, roots and irrational numbers."""
    roots = {p for p in h.atoms(sympy.Pow) if not p.exp.is_Integer}
    return h.atoms(sympy.Function) | roots | h.atoms(sympy.NumberSymbol)


def _common(coefficients: list[Any]) -> Any:
    """The greatest number of which all these are whole multiples."""
    if not all(c.is_Rational for c in coefficients):
        return sympy.Integer(1)
    return sympy.Rational(gcd(*(c.p for c in coefficients)), lcm(*(c.q for c in coefficients)))


def _stretches(base: Any, x: Any, ends: list[Any]) -> Signs:
    """The signs of a factor, stretch by stretch."""
    roots: list[Any] = []
    found: list[int] = []
    for a, b in pairwise(ends):
        try:
            part = _factor(base, x, a, b)
        except Unproved as error:
            raise Unproved(f"{error}, where {a} < {x} < {b}") from error
        roots += [*part.roots, b]
        found += part.signs
    return _merged(roots[:-1], found)


def _factor(base: Any, x: Any, low: Any, high: Any) -> Signs:
    given = _given(base)
    if given is not None:
        return Signs.constant(given)
    polynomial = _polynomial(base, x)
    return _scanned(base, x, low, high) if polynomial is None else _of_polynomial(polynomial, low, high)


def _polynomial(base: Any, x: Any) -> Any:
    """The factor as a polynomial in x with rational coefficients, or None."""
    polynomial = base.as_poly(x)
    return polynomial if polynomial is not None and polynomial.domain in (sympy.ZZ, sympy.QQ) else None


def _given(base: Any) -> int | None:
    """The sign that sympy derives from the assumption that x is real; strict. A root, where it is defined, has one."""
    if base.is_Pow and base.exp.is_number and not base.exp.is_Integer:
        return 1
    return 0 if base.is_zero else 1 if base.is_positive else -1 if base.is_negative else None


def _of_polynomial(polynomial: Any, low: Any, high: Any) -> Signs:
    roots = [root for root in dict.fromkeys(polynomial.real_roots()) if low < root < high]
    places = _between(roots, low, high)
    return Signs(
        tuple(roots), tuple(int(sympy.sign(polynomial.eval(sympy.nsimplify(p, rational=True)))) for p in places)
    )


def _scanned(h: Any, x: Any, low: Any, high: Any) -> Signs:
    """The core cut into intervals, and the tails."""
    whole = (_OO,) if low > -_OO and high < _OO else ()  # no tails
    for core in (*_CORES, *whole):
        if whole and (low >= core or high <= -core):
            continue  # a larger one holds it
        left = _tail(h.subs(x, -x), x, core, _DEPTH) if low < -core else 0
        right = _tail(h, x, core, _DEPTH) if high > core else 0
        if left is None or right is None:
            continue
        a, b = (sympy.sympify(end) for end in (max(low, -core), min(high, core)))
        parts = [(low, min(high, -core), left)] if left else []
        parts += _cut(h, x, a, b) if a < b else []
        parts += [(max(low, core), high, right)] if right else []
        return _merged([sympy.sympify(end) for _, end, _ in parts[:-1]], [sign for *_, sign in parts])
    raise Unproved(f"the sign of {h} cannot be shown for large |{x}|")


def _cut(h: Any, x: Any, low: Any, high: Any) -> Iterator[tuple[Any, Any, int]]:
    """(a, b, sign) from left to right."""
    curves = [sympy.diff(h, x, k) for k in range(_FLAT + 1)]
    waiting, parts = [(low, high)], 0
    while waiting:
        a, b = waiting.pop()
        parts += 1
        if parts > _PARTS:
            raise Unproved(f"the sign of {h} cannot be shown near {x} = {sympy.N(a, 6)}; it may vanish too often")
        sign = _sign(enclosed(h, _span(a, b)))
        if sign is not None:
            yield a, b, sign
            continue
        outer = (a == low or b == high) and b - a > _TINY * (high - low)
        rises = _throughout(curves[1:] if outer else curves[1:2], a, b)
        if rises:
            yield from _crossed(h, x, a, b, rises)
        else:
            middle = a + (b - a) * _CUT
            waiting += [(middle, b), (a, middle)]


def _throughout(curves: list[Any], a: Any, b: Any) -> int | None:
    """The sign, weakly, of curves[0] from a to b; the others are its derivatives, of use where it is 0 at an end."""
    sign = _sign(enclosed(curves[0], _span(a, b)))
    if sign is not None or len(curves) == 1:
        return sign
    rises, first, last = _throughout(curves[1:], a, b), _at(curves[0], a), _at(curves[0], b)
    if rises is None or first is None or last is None:
        return None
    return rises if first * rises >= 0 else -rises if last * rises <= 0 else None


def _at(h: Any, p: Any) -> int | None:
    """The sign at p; 0 where h cannot be told from 0 to 40 digits, and None where it may not be defined."""
    value = enclosed(h, _span(p, p))
    sign = _sign(value)
    return 0 if sign is None and value.delta < _ZERO else sign


def _crossed(h: Any, x: Any, a: Any, b: Any, rises: int) -> Iterator[tuple[Any, Any, int]]:
    """A monotone stretch: one sign, or a root in it, found by bisection."""
    at_a, at_b = _at(h, a), _at(h, b)
    if at_a is None or at_b is None:
        raise Unproved(f"{h} may not be defined at {x} = {sympy.N(a if at_a is None else b, 6)}")
    if at_a * rises >= 0:  # an end where h cannot be told from 0 is a root
        yield a, b, rises
    elif at_b * rises <= 0:
        yield a, b, -rises
    else:
        with mp.workdps(_DIGITS + 10):
            f = sympy.lambdify(x, h, "mpmath")
            low, high = mp.mpf(str(sympy.N(a, 60))), mp.mpf(str(sympy.N(b, 60)))
            while high - low > mp.mpf(10) ** -_DIGITS * (1 + abs(low)):
                middle = (low + high) / 2
                low, high = (middle, high) if f(middle) * rises < 0 else (low, middle)
            root = sympy.Float(str(high), _DIGITS)
        yield a, root, -rises
        yield root, b, rises


def _tail(h: Any, x: Any, start: int, depth: int) -> int | None:
    """The sign of h on [start, oo), weakly; None: not shown.

    Known for an interval that holds it; else h is monotone there by the sign of h', and lies between h(start) and its
    limit.
    """
    total = 1
    for base, power in factors(h, x):
        sign = _given(base)
        polynomial = _polynomial(base, x)
        if sign is None and polynomial is not None:
            part = _of_polynomial(polynomial, sympy.Integer(start), _OO)
            sign = None if part.roots else part.signs[0]
        sign = _sign(enclosed(base, IV.mpf([start, "inf"]))) if sign is None else sign
        sign = _monotone_tail(base, x, start, depth) if sign is None else sign
        if sign is None:
            return None
        total *= sign if not (power.is_Integer and power % 2 == 0) else abs(sign)
    return total


def _monotone_tail(h: Any, x: Any, start: int, depth: int) -> int | None:
    if depth == 0:
        return None
    rises = _tail(sympy.diff(h, x), x, start, depth - 1)
    first = _sign(enclosed(h, _span(start, start)))
    if not rises or not first:
        return None
    if first == rises:
        return first
    limit = sympy.limit(h, x, _OO)
    return first if limit.is_number and (limit * first).is_nonnegative else None


def _sign(u: Any) -> int | None:
    """Of all numbers of an interval; None: of both signs, or one of them may be 0."""
    return 1 if u > 0 else -1 if u < 0 else None


def _span(a: Any, b: Any) -> Any:
    """The interval between two sympy numbers, rounded outwards."""
    with mp.workdps(60):
        low, high = (mp.mpf(str(sympy.N(p, 60))) for p in (a, b))
        room = mp.mpf(10) ** -55
        return IV.mpf([low - room * abs(low), high + room * abs(high)])


def _distinct(points: list[Any]) -> list[Any]:
    """In increasing order; of two that agree to 30 digits, one."""
    kept: list[Any] = []
    for p in sorted(points, key=lambda p: sympy.N(p, _DIGITS)):
        if not kept or sympy.N(p - kept[-1], _DIGITS) > sympy.Float("1e-30") * (1 + abs(sympy.N(p, _DIGITS))):
            kept.append(p)
    return kept


def _between(roots: list[Any], low: Any = -_OO, high: Any = _OO) -> list[Any]:
    """A point before, between and after the roots."""
    if not roots:
        return [low + 1 if low > -_OO and high == _OO else high - 1 if low == -_OO and high < _OO
                else (low + high) / 2 if low > -_OO else sympy.Integer(0)]  # fmt: skip
    first = roots[0] - 1 if low == -_OO else (low + roots[0]) / 2
    last = roots[-1] + 1 if high == _OO else (roots[-1] + high) / 2
    return [sympy.N(p, _DIGITS) for p in (first, *((a + b) / 2 for a, b in pairwise(roots)), last)]


def _merged(roots: list[Any], signs: list[int]) -> Signs:
    """Without the roots at which the sign stays."""
    kept = [(root, after) for root, before, after in zip(roots, signs, signs[1:], strict=False) if before != after]
    return Signs(tuple(root for root, _ in kept), (signs[0], *(after for _, after in kept)))
