"""Certificates that polynomial inequalities contradict each other: identities that exact arithmetic checks.

Facts p_i >= 0 or p_i > 0 and equations z_j = 0 have no common real point if

    sum_k c_k (product of facts)_k + sum_j q_j z_j = 0   identically, with c_k >= 0, q_j polynomials

and some product of strict facts alone (the empty product 1 is one) has c_k > 0: at a common point the left side would
be positive (Handelman 1988, Krivine 1964, Stengle 1974). A linear program finds which terms occur, in floating point;
their coefficients are then solved for in rationals and the identity is checked, so that nothing rests on the solver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations_with_replacement

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from absdomain.proofs.kernel.executed import unwatched
from absdomain.proofs.kernel.polynomial import Poly

_SMALL = 1e-9  # below it, the linear program's coefficient counts as 0


@dataclass(frozen=True)
class Fact:
    """poly >= 0, or with `strict` poly > 0."""

    poly: Poly
    strict: bool = False


@dataclass(frozen=True)
class _Term:
    """One summand: a product of facts, whose coefficient is >= 0, or a multiple of an equation, of any sign."""

    poly: Poly
    factors: tuple[Fact, ...] = ()
    free: bool = False

    @property
    def lax(self) -> frozenset[Fact]:
        """The factors that may be 0."""
        return frozenset(f for f in self.factors if not f.strict)


@lru_cache(maxsize=20_000)  # a check that is run for every way of its comparisons asks again and again
def contradicts(facts: tuple[Fact, ...], zeros: tuple[Poly, ...], degree: int) -> bool:
    """Whether a certificate with products of at most `degree` facts shows that no real point satisfies all."""
    with unwatched():
        return _search(facts, zeros, degree, lambda term: not term.free and not term.lax) is not None


def boundary(facts: tuple[Fact, ...], zeros: Sequence[Poly], degree: int) -> frozenset[Fact] | None:
    """Facts of which one is 0 at every real point that satisfies all; None: no certificate of it was found.

    As `contradicts`, but taking every fact as strict; those that the positive product needs so are given back.
    """
    with unwatched():
        found = _search(facts, zeros, degree, lambda term: not term.free)
    return None if found is None else min((term.lax for term in found if not term.free), key=len)


def _search(
    facts: tuple[Fact, ...], zeros: Sequence[Poly], degree: int, positive: Callable[[_Term], bool]
) -> list[_Term] | None:
    """The terms of a checked identity in which `positive` terms have coefficients that sum to 1."""
    whole = tuple(Fact(fact.poly.whole, fact.strict) for fact in facts)  # products of integers are fast
    terms = [*_products(whole, degree), *_multiples(whole, zeros, degree)]
    nothing = [term for term in terms if positive(term) and not term.poly.terms]
    if nothing:
        return nothing[:1]  # 0 > 0
    counts = [positive(term) for term in terms]
    support = _support(terms, counts)
    if support is None or not _identity([terms[k] for k in support], [counts[k] for k in support]):
        return None
    return [terms[k] for k in support]


@lru_cache(maxsize=8)  # `boundary` asks for the products that `contradicts` has just asked for
def _products(facts: tuple[Fact, ...], degree: int) -> tuple[_Term, ...]:
    """Products of at most `degree` facts, the empty one first; equal polynomials once, the strictest way."""
    products: dict[Poly, _Term] = {}
    layer = [(0, _Term(Poly.of(1)))]
    for size in range(degree + 1):
        if size:
            layer = [
                (i, _Term(term.poly * fact.poly, (*term.factors, fact)))
                for first, term in layer
                for i, fact in enumerate(facts)
                if i >= first
            ]
        for _, term in layer:
            if term.poly not in products or len(term.lax) < len(products[term.poly].lax):
                products[term.poly] = term
    return tuple(products.values())


def _multiples(facts: Sequence[Fact], zeros: Sequence[Poly], degree: int) -> Iterator[_Term]:
    names = sorted({name for p in [*(f.poly for f in facts), *zeros] for name in p.symbols})
    for size in range(degree):
        for m in combinations_with_replacement(names, size):
            yield from (_Term(zero * Poly({m: 1}), free=True) for zero in zeros)


def _support(terms: Sequence[_Term], counts: Sequence[bool]) -> list[int] | None:
    """The terms that occur in a solution of the linear program, or None where it has none."""
    rows = {m: i for i, m in enumerate(sorted({m for term in terms for m in term.poly.terms}))}
    entries = [(len(rows), k, 1.0) for k, counted in enumerate(counts) if counted]
    for k, term in enumerate(terms):
        largest = max((abs(float(c)) for _, c in term.poly), default=1.0)  # a term's size is of no account
        entries += [(rows[m], k, float(c) / largest) for m, c in term.poly]
    places, columns, values = zip(*entries, strict=True)
    matrix = coo_array((values, (places, columns)), shape=(len(rows) + 1, len(terms)))
    target = np.zeros(len(rows) + 1)
    target[-1] = 1.0
    cost = np.array([0.0 if term.free else 1.0 + len(term.lax) for term in terms])
    bounds = [(None, None) if term.free else (0, None) for term in terms]
    found = linprog(cost, A_eq=matrix, b_eq=target, bounds=bounds, method="highs-ds")
    return [int(j) for j in np.flatnonzero(np.abs(found.x) > _SMALL)] if found.status == 0 else None


def _identity(terms: Sequence[_Term], counts: Sequence[bool]) -> bool:
    """Whether rational coefficients, > 0 but for the free ones, make the terms sum to 0 and the counted ones to 1."""
    solved = _solve(terms, counts)
    if solved is None or any(c <= 0 and not term.free for c, term in zip(solved, terms, strict=True)):
        return False
    total = Poly({})
    for c, term in zip(solved, terms, strict=True):
        total = total + term.poly * c
    return not total.terms and sum(c for c, counted in zip(solved, counts, strict=True) if counted) > 0


def _solve(terms: Sequence[_Term], counts: Sequence[bool]) -> list[Fraction] | None:
    """The coefficients, by elimination; None where there are none, or where they are not determined."""
    places = sorted({m for term in terms for m in term.poly.terms})
    system = [[Fraction(term.poly.terms.get(m, 0)) for term in terms] + [Fraction(0)] for m in places]
    system.append([Fraction(counted) for counted in counts] + [Fraction(1)])
    for column in range(len(terms)):
        pivot = next((r for r in range(column, len(system)) if system[r][column]), None)
        if pivot is None:
            return None
        system[column], system[pivot] = system[pivot], system[column]
        scale = system[column][column]
        system[column] = [v / scale for v in system[column]]
        for r in range(len(system)):
            factor = system[r][column]
            if r != column and factor:
                system[r] = [v - factor * w if w else v for v, w in zip(system[r], system[column], strict=True)]
    return [row[-1] for row in system[: len(terms)]] if not any(row[-1] for row in system[len(terms) :]) else None
