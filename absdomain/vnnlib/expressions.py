"""S-expressions of an assertion as formulas, on a stack of its own: no nesting ends in a RecursionError."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import Any

from absdomain.errors import PropertyError
from absdomain.properties.decimals import from_text
from absdomain.properties.formula import Comparison, Formula, Relation, conjunction, disjunction
from absdomain.properties.polynomial import Polynomial
from absdomain.vnnlib.source import Source

_NESTED = 10_000  # parentheses inside each other
Atom = Callable[[str, int], tuple[Polynomial, int]]  # a name at a place -> what it is, and the place after it


@dataclass(frozen=True)
class Operator:
    """What a word makes of its arguments, all of one kind, at least `fewest` and at most `most` of them."""

    takes: type
    fewest: int
    most: float
    apply: Callable[[Sequence[Any]], Polynomial | Formula]


def _difference(parts: Sequence[Polynomial]) -> Polynomial:
    return -parts[0] if len(parts) == 1 else parts[0] - Polynomial.total(parts[1:])


_MANY = float("inf")
OPERATORS = {
    "<=": Operator(Polynomial, 2, 2, lambda a: Comparison(a[0] - a[1], Relation.AT_MOST)),
    ">=": Operator(Polynomial, 2, 2, lambda a: Comparison(a[1] - a[0], Relation.AT_MOST)),
    "<": Operator(Polynomial, 2, 2, lambda a: Comparison(a[0] - a[1], Relation.BELOW)),
    ">": Operator(Polynomial, 2, 2, lambda a: Comparison(a[1] - a[0], Relation.BELOW)),
    "==": Operator(Polynomial, 2, 2, lambda a: Comparison(a[0] - a[1], Relation.EQUAL)),
    "=": Operator(Polynomial, 2, 2, lambda a: Comparison(a[0] - a[1], Relation.EQUAL)),
    "!=": Operator(Polynomial, 2, 2, lambda a: Comparison(a[0] - a[1], Relation.UNEQUAL)),
    "+": Operator(Polynomial, 1, _MANY, Polynomial.total),
    "-": Operator(Polynomial, 1, _MANY, _difference),
    "*": Operator(Polynomial, 1, _MANY, lambda a: reduce(mul, a)),
    "and": Operator(Formula, 1, _MANY, conjunction),
    "or": Operator(Formula, 1, _MANY, disjunction),
    "not": Operator(Formula, 1, 1, lambda a: ~a[0]),
}
_KINDS = {Polynomial: "a term", Formula: "a formula"}


class Expressions:
    """Reads assertions of one source. `name` says what a word is that is no number and no operator."""

    def __init__(self, source: Source, name: Atom) -> None:
        self.source = source
        self.tokens = [*source.tokens, "", ""]  # beyond the end there is nothing
        self.name = name
        self.known: dict[str, Polynomial] = {}  # constants; names too, where one token is one

    def formula(self, place: int) -> tuple[Formula, int]:
        """The formula that begins at a token, and the place after it. Errors: PropertyError with line and column."""
        tokens, known = self.tokens, self.known
        stack: list[tuple[Operator, list[Any], int]] = []
        value: Any
        while True:
            token = tokens[place]
            if token == "(":
                stack.append((self._operator(place + 1), [], place))
                place += 2
                if len(stack) > _NESTED:
                    raise self.source.error(place, f"parentheses are nested more than {_NESTED} deep; write it flatter")
                continue
            if token == ")" and stack:
                value = self._applied(*stack.pop(), place)
                place += 1
            elif token in known:
                value, place = known[token], place + 1
            else:
                value, place = self._atom(token, place)
            if not stack:
                break
            stack[-1][1].append(value)
        if not isinstance(value, Formula):
            raise self.source.error(place - 1, "an assertion is a comparison, or `and`, `or` of such; this is a term")
        return value, place

    def _operator(self, place: int) -> Operator:
        word = self.tokens[place]
        if word not in OPERATORS:
            what = f"{word!r} is no operator" if word else "the text ends in the middle of an assertion"
            raise self.source.error(place, f"{what}; known are {', '.join(OPERATORS)}")
        return OPERATORS[word]

    def _applied(self, operator: Operator, args: list[Any], start: int, end: int) -> Polynomial | Formula:
        word = self.tokens[start + 1]
        if not operator.fewest <= len(args) <= operator.most:
            wanted = f"{operator.fewest}" if operator.fewest == operator.most else f"{operator.fewest} or more"
            raise self.source.error(start, f"`{word}` takes {wanted} arguments, it has {len(args)}")
        for number, arg in enumerate(args):
            if not isinstance(arg, operator.takes):
                wanted = _KINDS[operator.takes]
                raise self.source.error(start, f"argument {number + 1} of `{word}` is to be {wanted}, and is not")
        try:
            return operator.apply(args)
        except PropertyError as error:
            raise self.source.error(start, error.message) from None

    def _atom(self, token: str, place: int) -> tuple[Polynomial, int]:
        if not token or token in "()":
            raise self.source.error(place, f"{token!r} where a term or formula is expected" if token else
                                    "the text ends in the middle of an assertion; is the file whole?")  # fmt: skip
        try:
            number = from_text(token)
        except ValueError as error:
            raise self.source.error(place, str(error)) from None
        if number is None:
            return self.name(token, place)
        self.known[token] = Polynomial.constant(number)
        return self.known[token], place + 1
