"""A formula as a disjunction of conjunctions, each of which is ranges of inputs and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from absdomain.properties.box import Range, bound
from absdomain.properties.formula import And, Comparison, Formula, Or, Relation
from absdomain.properties.polynomial import INPUT, Polynomial, Variable

LARGEST = 100_000  # conjunctions


class Explosion(ValueError):
    """A disjunction that is too long to be written out."""


@dataclass(frozen=True)
class Row:
    """term <= 0, which is what is unsafe; strict: term < 0. A proof is of its closure, a counterexample as written."""

    term: Polynomial
    strict: bool = False

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Equal where rows are, and sortable."""
        return (self.term.key, self.strict)

    @cached_property
    def of_inputs(self) -> bool:
        """Whether it speaks of inputs alone."""
        return all(v.kind == INPUT for v in self.term.variables)

    def __str__(self) -> str:
        return str(Comparison(self.term, Relation.BELOW if self.strict else Relation.AT_MOST))


@dataclass(frozen=True)
class Part:
    """A conjunction: ranges of inputs, and rows."""

    ranges: tuple[tuple[Variable, Range], ...] = ()
    rows: tuple[Row, ...] = ()

    def __and__(self, other: Part) -> Part:
        return Part(self.ranges + other.ranges, self.rows + other.rows)


def halves(comparison: Comparison) -> list[tuple[Polynomial, bool]]:
    """Terms that are at most 0, or where True below it: of == and != two, of which == needs both and != one."""
    term, relation = comparison.term, comparison.relation
    strict = relation in (Relation.BELOW, Relation.UNEQUAL)
    return [(term, strict)] if relation in (Relation.AT_MOST, Relation.BELOW) else [(term, strict), (-term, strict)]


def parts(formula: Formula) -> list[Part]:
    """The conjunctions whose disjunction the formula is. Errors: Explosion for over 100,000."""
    match formula:
        case Comparison(_, relation):
            first, *second = (_literal(term, strict) for term, strict in halves(formula))
            if not second:
                return first
            return first + second[0] if relation is Relation.UNEQUAL else _product(first, second[0])
        case And(inside):
            found = Conjoined()
            for part in inside:
                found.add(parts(part))
            return found.parts()
        case Or(inside):
            return [one for part in inside for one in parts(part)]
    raise TypeError(f"{type(formula).__name__} is not a formula of And, Or and Comparison")


class Conjoined:
    """A conjunction of disjunctions, written out as a disjunction: distributivity, refused where it explodes."""

    def __init__(self) -> None:
        self.single: list[Part] = []
        self.many = [Part()]

    def add(self, found: list[Part]) -> None:
        """And one of these. Errors: Explosion for over 100,000."""
        if len(found) == 1:
            self.single += found  # put together at the end: one by one takes quadratic time
        else:
            self.many = _product(self.many, found)

    def parts(self) -> list[Part]:
        """The disjunction."""
        rows = tuple(row for one in self.single for row in one.rows)
        always = Part(tuple(pair for one in self.single for pair in one.ranges), rows)
        return [always & one for one in self.many]


def _product(left: list[Part], right: list[Part]) -> list[Part]:
    """One of the left and one of the right, in every way."""
    if len(left) * len(right) > LARGEST:
        raise Explosion(
            f"`or` inside `and` makes {len(left)} x {len(right)} conjunctions, over {LARGEST}; split the property into "
            "several, or compute the choice inside the network, as Max or Min"
        )
    return [one & other for one in left for other in right]


def _literal(term: Polynomial, strict: bool) -> list[Part]:
    """term <= 0, or < 0; of a number, which is true or makes nothing."""
    found = bound(term, strict)
    if found is not None and found[0].kind == INPUT:
        return [Part((found,))]
    if term.degree == 0:
        return [Part()] if term.offset < 0 or (term.offset == 0 and not strict) else []
    return [Part(rows=(Row(term, strict),))]


def sifted(found: Iterable[Part], test: Callable[[Part], bool]) -> tuple[list[Part], list[Part]]:
    """Those that pass, and the others."""
    yes: list[Part] = []
    no: list[Part] = []
    for part in found:
        (yes if test(part) else no).append(part)
    return yes, no
