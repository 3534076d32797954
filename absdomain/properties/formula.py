"""Formulas: comparisons of polynomials, and, or."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from operator import eq, le, lt, ne
from typing import Any, ClassVar, final

from absdomain.errors import PropertyError
from absdomain.properties.polynomial import Polynomial, Values, Variable
from absdomain.properties.text import Namer, comparison, flat_name, joined

_DEPTH = 100  # alternations of `and` and `or`; equal ones inside each other are one


class Relation(Enum):
    """How a polynomial compares with 0."""

    AT_MOST = "<="
    BELOW = "<"
    EQUAL = "=="
    UNEQUAL = "!="

    def holds(self, value: Fraction) -> bool:
        """Whether this number compares so with 0."""
        return _TESTS[self](value, 0)


_TESTS: dict[Relation, Callable[[Any, Any], bool]] = {
    Relation.AT_MOST: le,
    Relation.BELOW: lt,
    Relation.EQUAL: eq,
    Relation.UNEQUAL: ne,
}


class Formula(ABC):
    """A statement about a network's values: an immutable tree. `&` is and, `|` is or, `~` is not.

    It prints as VNN-LIB 2.0, an entry being named by its flat position.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def depth(self) -> int:
        """How many `and` and `or` are inside each other."""

    @abstractmethod
    def holds(self, values: Values) -> bool:
        """Whether it is true where the variables have these values: exactly, as it is written."""

    @abstractmethod
    def __invert__(self) -> Formula:
        """Its negation."""

    @abstractmethod
    def comparisons(self) -> Iterator[Comparison]:
        """Every comparison in it, from left to right."""

    @abstractmethod
    def mapped(self, f: Callable[[Comparison], Comparison]) -> Formula:
        """The formula with f of each comparison in its place."""

    @final
    def variables(self) -> set[Variable]:
        """Every variable in it."""
        return {v for comparison in self.comparisons() for v in comparison.term.variables}

    @final
    def __and__(self, other: Formula) -> Formula:
        return conjunction((self, other)) if isinstance(other, Formula) else NotImplemented

    @final
    def __or__(self, other: Formula) -> Formula:
        return disjunction((self, other)) if isinstance(other, Formula) else NotImplemented

    @final
    def __str__(self) -> str:
        return printed(self)

    @final
    def __bool__(self) -> bool:
        raise TypeError(
            "a formula is neither true nor false before its variables have values; join formulas by & and | and ~ "
            "with parentheses around each, as in (0 <= x[0]) & (x[0] <= 1), not by `and`, `or`, `not`, or by chaining"
        )


@final
@dataclass(frozen=True, slots=True)
class Comparison(Formula):
    """term <= 0, or <, ==, != as the relation says."""

    term: Polynomial
    relation: Relation

    @property
    def depth(self) -> int:
        return 0

    def holds(self, values: Values) -> bool:
        return self.relation.holds(self.term.value(values))

    def __invert__(self) -> Formula:
        match self.relation:
            case Relation.AT_MOST:
                return Comparison(-self.term, Relation.BELOW)
            case Relation.BELOW:
                return Comparison(-self.term, Relation.AT_MOST)
            case Relation.EQUAL:
                return Comparison(self.term, Relation.UNEQUAL)
            case Relation.UNEQUAL:
                return Comparison(self.term, Relation.EQUAL)

    def comparisons(self) -> Iterator[Comparison]:
        yield self

    def mapped(self, f: Callable[[Comparison], Comparison]) -> Formula:
        return f(self)


@dataclass(frozen=True, slots=True)
class Joined(Formula):
    """Formulas under `and` or under `or`; none of the parts is of the same kind."""

    word: ClassVar[str]  # in VNN-LIB
    empty: ClassVar[str]  # the same without parts
    decides: ClassVar[Callable[[Iterable[bool]], bool]]  # of the parts' truth

    parts: tuple[Formula, ...]
    levels: int = field(default=1, compare=False, repr=False)

    @property
    @final
    def depth(self) -> int:
        return self.levels

    @final
    def holds(self, values: Values) -> bool:
        return type(self).decides(part.holds(values) for part in self.parts)

    @final
    def comparisons(self) -> Iterator[Comparison]:
        for part in self.parts:
            yield from part.comparisons()

    @final
    def mapped(self, f: Callable[[Comparison], Comparison]) -> Formula:
        return _joined(type(self), [part.mapped(f) for part in self.parts])


@final
@dataclass(frozen=True, slots=True)
class And(Joined):
    """All of the parts; none of them is an And. Without parts it is true."""

    word, empty, decides = "and", "(<= 0 0)", all

    def __invert__(self) -> Formula:
        return disjunction([~part for part in self.parts])


@final
@dataclass(frozen=True, slots=True)
class Or(Joined):
    """One of the parts at least; none of them is an Or. Without parts it is false."""

    word, empty, decides = "or", "(< 0 0)", any

    def __invert__(self) -> Formula:
        return conjunction([~part for part in self.parts])


def conjunction(parts: Iterable[Formula]) -> Formula:
    """All of them, an And inside being taken apart; of one part, that part."""
    return _joined(And, parts)


def disjunction(parts: Iterable[Formula]) -> Formula:
    """One of them at least, an Or inside being taken apart; of one part, that part."""
    return _joined(Or, parts)


def _joined(kind: type[Joined], parts: Iterable[Formula]) -> Formula:
    flat: list[Formula] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, kind) else (part,))
    if len(flat) == 1:
        return flat[0]
    depth = 1 + max((part.depth for part in flat), default=0)
    if depth > _DEPTH:
        raise PropertyError(f"`and` and `or` alternate more than {_DEPTH} levels deep; write the formula flatter")
    return kind(tuple(flat), depth)


def printed(formula: Formula, name: Namer = flat_name) -> str:
    """The formula in VNN-LIB, variables being called as `name` says."""
    match formula:
        case Comparison(term, relation):
            return comparison(term.decimal(), relation.value, name)
        case Joined(parts):
            return joined(formula.word, [printed(part, name) for part in parts]) if parts else formula.empty
    raise TypeError(f"{type(formula).__name__} is not a formula of And, Or and Comparison")
