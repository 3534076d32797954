"""sum_m c_m x^m with rational coefficients c_m: the numbers on which lemmas run the shipped code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from math import lcm

Monomial = tuple[str, ...]  # the symbols' names in order, each as often as its power
Rational = int | Fraction


def _plain(c: Rational) -> Rational:
    """A whole number as int, whose arithmetic is several times faster."""
    return c if type(c) is int or c.denominator != 1 else c.numerator


class Poly:
    """A polynomial in named real symbols; equal where it is the same polynomial. No term has the coefficient 0."""

    def __init__(self, terms: Mapping[Monomial, Rational]) -> None:
        self.terms: dict[Monomial, Rational] = {m: _plain(c) for m, c in terms.items() if c}

    @staticmethod
    def of(value: Poly | Rational) -> Poly:
        """A constant as a polynomial; a polynomial as it is."""
        return value if isinstance(value, Poly) else Poly({(): value})

    @staticmethod
    def symbol(name: str) -> Poly:
        """The symbol of this name."""
        return Poly({(name,): 1})

    @property
    def constant(self) -> Rational | None:
        """The value, if no symbol occurs."""
        return None if any(self.terms) else self.terms.get((), 0)

    @cached_property
    def symbols(self) -> frozenset[str]:
        """The names that occur."""
        return frozenset(name for m in self.terms for name in m)

    def __add__(self, other: Poly | Rational) -> Poly:
        terms = dict(self.terms)
        for m, c in Poly.of(other).terms.items():
            terms[m] = terms.get(m, 0) + c
        return Poly(terms)

    def __mul__(self, other: Poly | Rational) -> Poly:
        terms: dict[Monomial, Rational] = {}
        for n, d in Poly.of(other).terms.items():
            for m, c in self.terms.items():
                both = tuple(sorted(m + n)) if m and n else m or n
                terms[both] = terms.get(both, 0) + c * d
        return Poly(terms)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Poly:
        return Poly({m: -c for m, c in self.terms.items()})

    def __sub__(self, other: Poly | Rational) -> Poly:
        return self + -Poly.of(other)

    def __rsub__(self, other: Rational) -> Poly:
        return Poly.of(other) - self

    @cached_property
    def whole(self) -> Poly:
        """The polynomial times the least positive number that makes all coefficients whole."""
        scale = lcm(*(c.denominator for c in self.terms.values()))
        return self if scale == 1 else self * scale

    def replaced(self, name: str, value: Poly) -> Poly:
        """The polynomial with `value` in the place of the symbol `name`."""
        if name not in self.symbols:
            return self
        total = Poly({m: c for m, c in self.terms.items() if name not in m})
        for m, c in self.terms.items():
            if name in m:
                term = Poly({tuple(n for n in m if n != name): c})
                for _ in range(m.count(name)):
                    term = term * value
                total = total + term
        return total

    @cached_property
    def _key(self) -> frozenset[tuple[Monomial, Rational]]:
        return frozenset(self.terms.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Poly) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return " + ".join(f"{c}*{'*'.join(m)}" if m else str(c) for m, c in sorted(self.terms.items())) or "0"

    def __iter__(self) -> Iterator[tuple[Monomial, Rational]]:
        return iter(self.terms.items())
