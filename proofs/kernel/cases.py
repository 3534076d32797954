"""Proof by cases: no real point satisfies given inequalities, equations and choices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from absdomain.proofs.kernel.certificate import Fact, boundary, contradicts
from absdomain.proofs.kernel.polynomial import Poly

_DEGREE = 2  # products of facts that are tried before a case is split
_DEEPEST = 3  # and where no choice is left to split
_EDGES = 3  # how often a case may be followed to the boundary of a fact


@dataclass(frozen=True)
class Choice:
    """symbol = left or symbol = right, whichever is larger: a maximum."""

    symbol: str
    left: Poly
    right: Poly


@dataclass(frozen=True)
class Case:
    """{ real points : facts, zeros = 0, choices }."""

    facts: tuple[Fact, ...]
    zeros: tuple[Poly, ...]
    choices: tuple[Choice, ...]

    def split(self, choice: Choice) -> tuple[Case, Case]:
        """The two cases of a maximum, its symbol replaced."""
        gap = choice.left - choice.right
        rest = Case(self.facts, self.zeros, tuple(c for c in self.choices if c is not choice))
        left = rest._where(choice.symbol, choice.left)._with(Fact(gap))
        return left, rest._where(choice.symbol, choice.right)._with(Fact(-gap))

    def on(self, p: Poly) -> Case:
        """The part where p = 0, and what becomes 0 with it."""
        solved = _solvable(p)
        if solved is None:
            return Case(self.facts, (*self.zeros, p), self.choices)
        case = self._where(*solved)
        polys = {f.poly for f in case.facts if not f.strict and f.poly.terms}
        both = next((q for q in sorted(polys, key=repr) if -q in polys and _solvable(q)), None)  # q >= 0 and q <= 0
        return case if both is None else case.on(both)

    def _where(self, name: str, value: Poly) -> Case:
        return Case(
            _useful(Fact(f.poly.replaced(name, value), f.strict) for f in self.facts),
            tuple(z for z in dict.fromkeys(z.replaced(name, value) for z in self.zeros) if z.terms),
            tuple(Choice(c.symbol, c.left.replaced(name, value), c.right.replaced(name, value)) for c in self.choices),
        )

    def _with(self, fact: Fact) -> Case:
        return Case(_useful((*self.facts, fact)), self.zeros, self.choices)


def _useful(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """The facts once each, without those that say nothing: a constant that is as it must be."""
    constants = {f: f.poly.constant for f in dict.fromkeys(facts)}
    return tuple(f for f, c in constants.items() if c is None or c < 0 or (c == 0 and f.strict))


def _solvable(p: Poly) -> tuple[str, Poly] | None:
    """(symbol, value) such that p = 0 just where the symbol has the value; None where no symbol stands alone in p."""
    for m, c in p:
        if len(m) == 1 and sum(m[0] in n for n, _ in p) == 1:
            return m[0], (p - Poly({m: c})) * (-1 / Fraction(c))
    return None


def impossible(case: Case, claim: frozenset[str], edges: int = _EDGES) -> bool:
    """Whether a certificate, or one for each of its cases, shows that no real point satisfies the case.

    The choices among the claim's symbols are split first.
    """
    if any(contradicts(case.facts, case.zeros, d) for d in range(1, _DEGREE + 1)):
        return True
    edge = boundary(case.facts, case.zeros, _DEGREE) if edges else None
    if edge is not None:
        return all(impossible(case.on(fact.poly), claim, edges - 1) for fact in edge)
    relevant = [c for c in case.choices if c.symbol in claim] or list(case.choices)
    if not relevant:
        return contradicts(case.facts, case.zeros, _DEEPEST)
    choice = relevant[-1]
    inside = claim | choice.left.symbols | choice.right.symbols
    return all(impossible(part, inside, edges) for part in case.split(choice))
