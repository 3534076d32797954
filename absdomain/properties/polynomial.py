"""Polynomials with rational coefficients over the entries of a network's inputs, hidden nodes and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from math import lcm
from typing import NamedTuple, final

from absdomain.errors import PropertyError

_TERMS = 1_000_000  # a product of sums is refused beyond so many terms
_DEGREE = 16
_BITS = 20_000  # of a numerator or denominator: numbers that long are no property, but a way to use up time


class Variable(NamedTuple):
    """One entry of a declared tensor: the network's name, what the tensor is, its name, and the flat position."""

    network: str
    kind: str  # INPUT, HIDDEN or OUTPUT
    name: str
    flat: int


INPUT, HIDDEN, OUTPUT = "input", "hidden", "output"
Monomial = tuple[Variable, ...]  # a sorted product; () is 1
ONE: Monomial = ()
Values = Callable[[Variable], Fraction]


@final
class Polynomial:
    """sum of coefficient * monomial: an immutable value; no coefficient is 0."""

    __slots__ = ("terms",)
    terms: Mapping[Monomial, Fraction]

    def __init__(self, terms: Mapping[Monomial, Fraction]) -> None:
        self.terms = terms if all(terms.values()) else {m: a for m, a in terms.items() if a}

    @staticmethod
    def constant(value: Fraction) -> Polynomial:
        """The number itself."""
        return Polynomial({ONE: value})

    @staticmethod
    def of(variable: Variable) -> Polynomial:
        """The variable itself."""
        return Polynomial({(variable,): Fraction(1)})

    @staticmethod
    def total(parts: Iterable[Polynomial]) -> Polynomial:
        """The sum of all."""
        first, *rest = parts
        terms = dict(first.terms)
        for part in rest:
            for m, a in part.terms.items():
                terms[m] = terms[m] + a if m in terms else a
        return Polynomial(terms)

    def __add__(self, other: Polynomial) -> Polynomial:
        return Polynomial.total((self, other))

    def __neg__(self) -> Polynomial:
        return Polynomial({m: -a for m, a in self.terms.items()})

    def __sub__(self, other: Polynomial) -> Polynomial:
        terms = dict(self.terms)
        for m, a in other.terms.items():
            terms[m] = terms[m] - a if m in terms else -a
        return Polynomial(terms)

    def __mul__(self, other: Polynomial) -> Polynomial:
        if len(self.terms) * len(other.terms) > _TERMS or self.degree + other.degree > _DEGREE:
            raise PropertyError(
                f"a product of {len(self.terms)} by {len(other.terms)} terms, of degree {self.degree + other.degree}; "
                f"at most {_TERMS} terms and degree {_DEGREE} are multiplied out: compute it inside the network"
            )
        terms: dict[Monomial, Fraction] = {}
        for m, a in self.terms.items():
            for n, b in other.terms.items():
                key = tuple(sorted(m + n)) if m and n else m + n
                terms[key] = terms.get(key, 0) + a * b
        for a in terms.values():
            if max(a.numerator.bit_length(), a.denominator.bit_length()) > _BITS:
                raise PropertyError(f"a product has a coefficient of over {_BITS} bits; write it with fewer digits")
        return Polynomial(terms)

    def scaled(self, factor: Fraction) -> Polynomial:
        """factor times it."""
        return Polynomial({m: factor * a for m, a in self.terms.items()})

    @property
    def offset(self) -> Fraction:
        """The coefficient of 1."""
        return self.terms.get(ONE, Fraction(0))

    @property
    def degree(self) -> int:
        """Of its longest monomial; 0 of a number."""
        return max(map(len, self.terms), default=0)

    @property
    def variables(self) -> set[Variable]:
        """Every variable in it."""
        return {v for m in self.terms for v in m}

    def value(self, values: Values) -> Fraction:
        """What it is where the variables are these, exactly."""
        total = Fraction(0)
        for m, a in self.terms.items():
            for v in m:
                a *= values(v)
            total += a
        return total

    def renamed(self, name: Callable[[Variable], Variable]) -> Polynomial:
        """With other variables in the places of these; two that get one name are added up."""
        terms: dict[Monomial, Fraction] = {}
        for m, a in self.terms.items():
            key = tuple(sorted(map(name, m)))
            terms[key] = terms.get(key, 0) + a
        return Polynomial(terms)

    def decimal(self) -> Polynomial:
        """The least whole multiple all of whose coefficients are finite decimals: itself, as a rule."""
        odd = lcm(*(_without(_without(a.denominator, 2), 5) for a in self.terms.values()))
        return self if odd == 1 else self.scaled(Fraction(odd))

    @property
    def key(self) -> tuple[tuple[Monomial, Fraction], ...]:
        """Its terms in order: equal where the polynomials are."""
        return tuple(sorted(self.terms.items()))

    def __eq__(self, other: object) -> bool:
        return self.terms == other.terms if isinstance(other, Polynomial) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __repr__(self) -> str:
        return f"Polynomial({self})"

    def __str__(self) -> str:
        factors = ([str(a), *(f"{v.name}[{v.flat}]" for v in m)] for m, a in sorted(self.terms.items()))
        return " + ".join(map(" ".join, factors)) or "0"

    def __reduce__(self) -> tuple[type[Polynomial], tuple[dict[Monomial, Fraction]]]:
        return Polynomial, (dict(self.terms),)


def _without(n: int, prime: int) -> int:
    """n without its factors of a prime."""
    while n % prime == 0:
        n //= prime
    return n
