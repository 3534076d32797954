"""VNN-LIB 2: networks that declare tensors, and assertions over their entries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

from absdomain.errors import PropertyError
from absdomain.properties.declared import NAME, Declared, Network
from absdomain.properties.formula import Formula
from absdomain.properties.polynomial import HIDDEN, INPUT, OUTPUT, Polynomial, Variable
from absdomain.properties.property import Property
from absdomain.vnnlib.expressions import Expressions
from absdomain.vnnlib.forms import Cursor, Placed
from absdomain.vnnlib.source import Source

_VERSION = re.compile(r"<(2\.[0-9]+)>")
_INDEX = re.compile(r"\[\s*(?:([0-9]{1,12}(?:[\s,]+[0-9]{1,12})*))?\s*\]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_FLOATS = ("real", "float64", "float32", "float16", "bfloat16")
_WHOLE = (*(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "bool")
_KINDS = {"declare-input": INPUT, "declare-hidden": HIDDEN, "declare-output": OUTPUT}
_KIN = ("equal-to", "isomorphic-to")


class _Reader:
    def __init__(self, source: Source) -> None:
        self.cursor = Cursor(source)
        self.places: dict[Variable | str, int] = {}  # of networks, too: all names differ
        self.tensors: dict[str, Declared] = {}
        self.networks: dict[str, Network] = {}
        self.expressions = Expressions(source, self._entry)
        self.assertions: list[Formula] = []
        self.placed = Placed(source, self.places)

    def read(self) -> Property:
        cursor = self.cursor
        version = self._version()
        while not cursor.over:
            cursor.take("(")
            if cursor.take("declare-network", "assert") == "assert":
                self._assertion()
            elif self.assertions:
                raise cursor.error("a network is declared after an assertion; declare all networks first")
            else:
                self._network()
        if not self.networks:
            raise cursor.error("no network is declared; (declare-network f (declare-input ...) (declare-output ...))")
        return Property(tuple(self.networks.values()), tuple(self.assertions), version, self.placed)

    def _version(self) -> str:
        cursor = self.cursor
        cursor.take("(")
        cursor.take("vnnlib-version")
        found = _VERSION.fullmatch(cursor.token)
        if found is None:
            raise cursor.error(f"version {cursor.token} is unknown; 1.0 (without a version) and <2.0> are read")
        cursor.take()
        cursor.take(")")
        return found[1]

    def _network(self) -> None:
        """NAME (equal-to OTHER)? tensors )."""
        cursor = self.cursor
        start = cursor.place
        name = self._new_name()
        kin: dict[str, str] = {}
        tensors: list[Declared] = []
        while cursor.take("(", ")") == "(":
            head = cursor.take(*_KIN, *_KINDS)
            if head in _KINDS:
                tensors.append(self._tensor(name, _KINDS[head]))
            else:
                self._kin(kin, head)
            cursor.take(")")
        parts = {kind: tuple(t for t in tensors if t.kind == kind) for kind in (INPUT, OUTPUT, HIDDEN)}
        if not parts[INPUT] or not parts[OUTPUT]:
            raise cursor.error(f"network {name} needs an input and an output at least", start)
        network = Network(
            name, parts[INPUT], parts[OUTPUT], parts[HIDDEN], kin.get("equal-to"), kin.get("isomorphic-to")
        )
        self._check_kin(network, start)
        self.networks[name] = network

    def _kin(self, kin: dict[str, str], head: str) -> None:
        place, other = self.cursor.place, self.cursor.take(what="the name of a network")
        if kin:
            raise self.cursor.error("a network is equal or isomorphic to one other at most", place)
        if other not in self.networks:
            raise self.cursor.error(f"no network {other!r} is declared before", place)
        kin[head] = other

    def _check_kin(self, network: Network, start: int) -> None:
        """Inputs and outputs are those of the other; equal networks have the same element types, and so do nodes."""
        other = self.networks.get(network.equal_to or network.isomorphic_to or "")
        if other is None:
            return
        if other.equal_to or other.isomorphic_to:
            raise self.cursor.error(
                f"{network.name} refers to {other.name}, which refers to another itself; refer to that one", start
            )
        same = network.equal_to is not None
        for mine, theirs in ((network.inputs, other.inputs), (network.outputs, other.outputs)):
            if _types(mine, same) != _types(theirs, same):
                raise self.cursor.error(f"{network.name} and {other.name} differ in their inputs or outputs", start)
        nodes = {hidden.node: hidden for hidden in other.hidden}
        for hidden in network.hidden:
            twin = nodes.get(hidden.node)
            if same and twin is not None and _types((hidden,), same) != _types((twin,), same):
                raise self.cursor.error(
                    f"{hidden.name} and {twin.name} are one node, but are declared differently", start
                )

    def _tensor(self, network: str, kind: str) -> Declared:
        """NAME ELEMENT [SHAPE], of a hidden one also "NODE"."""
        cursor = self.cursor
        name = self._new_name()
        place = cursor.place
        element, bracket, rest = cursor.take(what="an element type").partition("[")
        element = self._element(element, kind, place)
        shape = self._numbers(bracket + rest if bracket else cursor.take(what="a shape such as [1,10]"))
        if 0 in shape or prod(shape) >= 1 << 40:
            raise cursor.error(f"shape {list(shape)} has no entry, or more than any memory", cursor.place - 1)
        node = self._node() if kind == HIDDEN else None
        if cursor.token == "initialized":
            raise cursor.error("initialized inputs are not supported; assert the value that the input has")
        self.tensors[name] = tensor = Declared(network, kind, name, shape, element, node)
        return tensor

    def _element(self, word: str, kind: str, place: int) -> str:
        element = "real" if word == "Real" else word
        if element in _FLOATS or (element in _WHOLE and kind != INPUT):
            return element
        raise self.cursor.error(
            f"nothing sound is said about {kind}s of type {word!r}; {', '.join(_FLOATS)} are known, and whole numbers "
            "for outputs", place
        )  # fmt: skip

    def _node(self) -> str:
        word = self.cursor.take(what='the name of a node in quotes, as in "relu_1"')
        if len(word) < 2 or not word.startswith('"'):
            raise self.cursor.error(f"{word!r} where the name of a node in quotes is expected", self.cursor.place - 1)
        return _ESCAPE.sub(lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), word[1:-1])

    def _new_name(self) -> str:
        place, word = self.cursor.place, self.cursor.take(what="a name")
        if not NAME.fullmatch(word):
            raise self.cursor.error(f"{word!r} is no name; letters, digits and _ make one", place)
        if word in self.places:
            raise self.cursor.error(
                f"{word!r} is declared twice; networks and tensors all have names of their own", place
            )
        self.places[word] = place
        return word

    def _numbers(self, token: str, place: int | None = None) -> tuple[int, ...]:
        """[1,10] as numbers."""
        found = _INDEX.fullmatch(token)
        if found is None:
            where = self.cursor.place - 1 if place is None else place
            raise self.cursor.error(f"{token!r} where whole numbers in brackets are expected, as in [1,10]", where)
        return tuple(map(int, re.findall("[0-9]+", found[1] or "")))

    def _assertion(self) -> None:
        cursor = self.cursor
        self.placed.assertions.append(cursor.place)
        formula, cursor.place = self.expressions.formula(cursor.place)
        cursor.take(")")
        if len({tensor.element for tensor in self.tensors.values()}) > 1:
            self._check_types(formula)
        self.assertions.append(formula)

    def _check_types(self, formula: Formula) -> None:
        for comparison in formula.comparisons():
            types = {self.tensors[v.name].element for v in comparison.term.variables}
            if len(types) > 1:
                raise self.cursor.error(
                    f"{' and '.join(sorted(types))} are compared; the standard compares one element type alone",
                    self.placed.assertions[-1],
                )

    def _entry(self, token: str, place: int) -> tuple[Polynomial, int]:
        """X[0,3], or X [0,3], or Y of an output without axes."""
        name, bracket, rest = token.partition("[")
        tensor = self.tensors.get(name)
        if tensor is None:
            raise self.cursor.error(f"{name!r} is no number, and no tensor that is declared before", place)
        after = place + 1
        index = bracket + rest
        if not bracket and self.expressions.tokens[after].startswith("["):
            index, after = self.expressions.tokens[after], after + 1
        try:
            entry = tensor.flat(self._numbers(index or "[]", after - 1))
        except PropertyError as error:
            raise error if error.line is not None else self.cursor.error(error.message, place) from None
        found = Polynomial.of(tensor.variable(entry))
        if after == place + 1 and (bracket or not tensor.shape):
            self.expressions.known[token] = found
        return found, after


def _types(tensors: Sequence[Declared], elements: bool) -> list[tuple[object, ...]]:
    return [(tensor.shape, tensor.element if elements else None) for tensor in tensors]


def read(source: Source) -> Property:
    """The property. Errors: PropertyError with line and column."""
    return _Reader(source).read()
