"""VNN-LIB 1.0: constants X_i and Y_j of type Real, and assertions."""

from __future__ import annotations

import re

from absdomain.properties.declared import Declared, Network
from absdomain.properties.formula import Formula
from absdomain.properties.polynomial import INPUT, OUTPUT, Polynomial, Variable
from absdomain.properties.property import Property
from absdomain.vnnlib.expressions import Expressions
from absdomain.vnnlib.forms import Cursor, Placed
from absdomain.vnnlib.source import Source

_NAME = re.compile(r"([XY])_(0|[1-9][0-9]{0,8})")
_KINDS = {"X": INPUT, "Y": OUTPUT}
_IGNORED = ("set-logic", "set-info", "set-option", "check-sat", "get-model", "exit")  # of SMT-LIB: no part of the set
NETWORK = "N"  # what 1.0 does not name


class _Reader:
    """Reads one source: the tensors X and Y are as long as their constants are many."""

    def __init__(self, source: Source) -> None:
        self.cursor = Cursor(source)
        self.places: dict[Variable | str, int] = {}
        self.expressions = Expressions(source, self._unknown)
        self.assertions: list[Formula] = []
        self.placed = Placed(source, self.places)
        self.forms = {"declare-const": self._constant, "declare-fun": self._function, "assert": self._assertion}

    def read(self) -> Property:
        cursor = self.cursor
        while not cursor.over:
            cursor.take("(")
            head = cursor.take(*self.forms, *_IGNORED, what="declare-const or assert")
            self.forms.get(head, cursor.skip)()
        tensors = [self._tensor(letter) for letter in "XY"]
        network = Network(NETWORK, (tensors[0],), (tensors[1],))
        return Property((network,), tuple(self.assertions), "1.0", self.placed)

    def _function(self) -> None:
        """(declare-fun X_0 () Real), which is a constant."""
        self._constant(("(", ")"))

    def _constant(self, between: tuple[str, ...] = ()) -> None:
        cursor = self.cursor
        place, word = cursor.place, cursor.take(what="a name")
        found = _NAME.fullmatch(word)
        if found is None:
            raise cursor.error(f"{word!r} is no name of an input X_0, X_1, ... or an output Y_0, Y_1, ...", place)
        for token in between:
            cursor.take(token)
        cursor.take("Real")
        cursor.take(")")
        variable = Variable(NETWORK, _KINDS[found[1]], found[1], int(found[2]))
        if variable in self.places:
            raise cursor.error(f"{word} is declared twice", place)
        self.places[variable] = place
        self.places.setdefault(found[1], place)
        self.expressions.known[word] = Polynomial.of(variable)

    def _assertion(self) -> None:
        cursor = self.cursor
        self.placed.assertions.append(cursor.place)
        formula, cursor.place = self.expressions.formula(cursor.place)
        cursor.take(")")
        self.assertions.append(formula)

    def _unknown(self, token: str, place: int) -> tuple[Polynomial, int]:
        raise self.cursor.error(f"{token!r} is no number, and no name that is declared before", place)

    def _tensor(self, letter: str) -> Declared:
        """X or Y, all of whose constants are there."""
        count = sum(1 for entry in self.places if isinstance(entry, Variable) and entry.name == letter)
        if not count:
            raise self.cursor.error(f"no {letter}_0 is declared: a property has inputs X_0, ... and outputs Y_0, ...")
        for i in range(count):
            if Variable(NETWORK, _KINDS[letter], letter, i) not in self.places:
                raise self.cursor.error(f"{letter}_{i} is not declared, while {count} others are", self.places[letter])
        return Declared(NETWORK, _KINDS[letter], letter, (count,))


def read(source: Source) -> Property:
    """The property. Errors: PropertyError with line and column."""
    return _Reader(source).read()
