"""Boxes of a property's inputs: exact ends, each of which may be open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from absdomain.properties.decimals import short
from absdomain.properties.polynomial import ONE, Polynomial, Variable


class End(NamedTuple):
    """One end of an interval, which belongs to it unless it is strict."""

    value: Fraction
    strict: bool = False


class Range(NamedTuple):
    """An interval; an end that is None is infinite."""

    lower: End | None = None
    upper: End | None = None

    def meet(self, other: Range) -> Range:
        """The intersection; of two ends at one number the strict one counts."""
        lowers = [end for end in (self.lower, other.lower) if end is not None]
        uppers = [end for end in (self.upper, other.upper) if end is not None]
        return Range(max(lowers, default=None), min(uppers, key=lambda end: (end.value, not end.strict), default=None))

    @property
    def empty(self) -> bool:
        """Whether no number is in it."""
        if self.lower is None or self.upper is None:
            return False
        low, high = self.lower, self.upper
        return low.value > high.value or (low.value == high.value and (low.strict or high.strict))

    def __str__(self) -> str:
        low = "(-inf" if self.lower is None else f"{'(['[not self.lower.strict]}{short(self.lower.value)}"
        high = "inf)" if self.upper is None else f"{short(self.upper.value)}{')]'[not self.upper.strict]}"
        return f"{low}, {high}"


EVERYTHING = Range()
Ranges = Mapping[Variable, Range]


def bound(term: Polynomial, strict: bool) -> tuple[Variable, Range] | None:
    """The range to which term <= 0 (strict: < 0) confines its one variable; None where it is not a x + c."""
    terms = term.terms
    if len(terms) > 2 or (len(terms) == 2 and ONE not in terms):
        return None
    monomial = next((m for m in terms if m), ONE)
    if len(monomial) != 1:
        return None
    a = terms[monomial]
    end = End(-term.offset if a == 1 else term.offset if a == -1 else -term.offset / a, strict)
    return monomial[0], Range(upper=end) if a > 0 else Range(lower=end)


@dataclass(frozen=True)
class Box:
    """A range for every input: `common` to all boxes of a property, `own` where this box is smaller."""

    common: Ranges = field(hash=False)
    own: tuple[tuple[Variable, Range], ...] = ()

    @cached_property
    def _own(self) -> dict[Variable, Range]:
        return dict(self.own)

    def of(self, v: Variable) -> Range:
        """The range of one input."""
        found = self._own.get(v)
        return self.common.get(v, EVERYTHING) if found is None else found

    def ends(self, inputs: Iterable[Variable]) -> list[tuple[Fraction, Fraction]]:
        """The ends of these inputs, all of which are bounded."""
        return [(low.value, high.value) for low, high in map(self.of, inputs) if low is not None and high is not None]

    def strict(self, inputs: Iterable[Variable], side: int) -> list[bool]:
        """Whether the ends of these inputs on a side, 0 the lower and 1 the upper one, do not belong to the box."""
        return [end is not None and end.strict for end in (self.of(v)[side] for v in inputs)]

    def met(self, others: Iterable[tuple[Variable, Range]]) -> Box:
        """The intersection with these ranges."""
        own = dict(self.own)
        for v, other in others:
            own[v] = own.get(v, self.common.get(v, EVERYTHING)).meet(other)
        kept = [(v, r) for v, r in own.items() if r != self.common.get(v)]
        return Box(self.common, tuple(sorted(kept, key=lambda one: one[0])))


def propagated(box: Box, terms: Sequence[tuple[Polynomial, bool]], unbounded: Iterable[Variable]) -> Box:
    """The box, with ends of unbounded inputs that follow from linear terms <= 0 (or < 0, where True) over inputs.

    a x + r <= 0 bounds x by the least value of r: as |x - y| <= c does, where y is bounded.
    """
    wanted = set(unbounded)
    while True:
        found: list[tuple[Variable, Range]] = []
        for term, strict in terms:
            for m, a in term.terms.items():
                if len(m) == 1 and m[0] in wanted and None in box.of(m[0]):
                    rest = least(Polynomial({n: b for n, b in term.terms.items() if n != m}), box)
                    if rest is not None and box.of(m[0])[a > 0] is None:
                        end = End(-rest / a, strict)
                        found.append((m[0], Range(upper=end) if a > 0 else Range(lower=end)))
        if not found:
            return box
        box = box.met(found)


def least(term: Polynomial, box: Box) -> Fraction | None:
    """min of a linear term over the box; None where it is -inf, or the term is not linear."""
    total = Fraction(0)
    for m, a in term.terms.items():
        if not m:
            total += a
            continue
        end = box.of(m[0])[a < 0] if len(m) == 1 else None
        if end is None:
            return None
        total += a * end.value
    return total
