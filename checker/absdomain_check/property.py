"""VNN-LIB 1.0, gzipped or not, as cases: a box of inputs, and conjunctions of rows that are unsafe over it.

The unsafe set is the union of { x in the box, all rows of one of the conjunctions are at most 0 }. Numbers are read as
the decimals that they are, a strict comparison as its closure, which proves more.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from fractions import Fraction
from math import inf

from absdomain_check.errors import Unreadable

_LARGEST, _CASES, _NESTED = 1 << 28, 100_000, 200
_TOKEN = re.compile(r"[()]|[^\s()]+")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?")
_NAME = re.compile(r"([XY])_(0|[1-9]\d{0,7})")
_IGNORED = ("set-logic", "set-info", "set-option", "check-sat", "get-model", "exit")

Linear = dict[str, Fraction]  # coefficients by name, "" for the constant
Atoms = tuple[tuple[Linear, bool], ...]  # terms that are <= 0, or where True < 0


@dataclass(frozen=True)
class Row:
    """a x + b y + c <= 0."""

    x: tuple[tuple[int, Fraction], ...]
    y: tuple[tuple[int, Fraction], ...]
    c: Fraction
    strict: bool = False


@dataclass(frozen=True)
class Case:
    """A box, and over it the conjunctions; one without a row makes all of the box unsafe."""

    box: tuple[tuple[Fraction, Fraction], ...]
    conjunctions: tuple[tuple[Row, ...], ...]
    strict: frozenset[tuple[int, bool]] = frozenset()  # open ends: (input, whether the upper)


@dataclass(frozen=True)
class Property:
    """How many inputs and outputs there are, and the cases in the order of the file."""

    inputs: int
    outputs: int
    cases: tuple[Case, ...]


def unpacked(data: bytes) -> bytes:
    """What a gzipped file holds; others as they are. Errors: Unreadable before too much is unpacked."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        unpacker = zlib.decompressobj(wbits=31)
        found = unpacker.decompress(data, _LARGEST)
    except zlib.error as error:
        raise Unreadable(f"a broken gzipped file: {error}") from None
    if not unpacker.eof or unpacker.unused_data.strip(b"\0"):
        raise Unreadable(f"the gzipped file is cut off, has several members, or holds more than {_LARGEST} bytes")
    return found


def read_property(data: bytes) -> Property:
    """The cases of a file's bytes. Errors: Unreadable."""
    try:
        text = unpacked(data).decode()
    except UnicodeDecodeError:
        raise Unreadable("the property is no text") from None
    tokens = _TOKEN.findall(re.sub(r";[^\n]*", "", text))
    names, assertions, place = set[str](), list[list[Atoms]](), 0
    while place < len(tokens):
        form, place = _form(tokens, place)
        head = form[0] if isinstance(form, list) and form else form
        if head in ("declare-const", "declare-fun") and form[2:] in (["Real"], [[], "Real"]):
            if not isinstance(form[1], str) or not _NAME.fullmatch(form[1]) or form[1] in names:
                raise Unreadable(f"{form[1]!r} is no name of an input X_i or output Y_i, or is declared twice")
            names.add(form[1])
        elif head == "assert" and len(form) == 2:
            assertions.append(_formula(form[1], names))
        elif head not in _IGNORED:
            raise Unreadable(f"{head!r} is no form of VNN-LIB 1.0")
    counts = [sum(name[0] == letter for name in names) for letter in "XY"]
    if not all(counts) or any(int(name[2:]) >= counts["XY".index(name[0])] for name in names):
        raise Unreadable("inputs X_0, X_1, ... and outputs Y_0, Y_1, ... must all be declared")
    return Property(counts[0], counts[1], tuple(_cases(assertions, counts[0])))


def _form(tokens: list[str], place: int) -> tuple[list, int]:
    """The list that begins at a token, and the place after it."""
    stack: list[list] = [[]]
    while True:
        if place >= len(tokens) or len(stack) > _NESTED:
            raise Unreadable("parentheses do not close, or are nested too deeply")
        token, place = tokens[place], place + 1
        if token == "(":
            stack.append([])
        elif token == ")":
            if len(stack) == 1:
                raise Unreadable("a parenthesis closes that does not open")
            stack[-2].append(stack.pop())
        else:
            stack[-1].append(token)
        if len(stack) == 1:
            if not isinstance(stack[0][0], list):
                raise Unreadable(f"{token!r} stands where a form begins")
            return stack[0][0], place


def _formula(form: object, names: set[str]) -> list[Atoms]:
    """A disjunction of conjunctions of atoms."""
    match form:
        case ["and", *parts] if parts:
            found: list[Atoms] = [()]
            for part in parts:
                found = _both(found, _formula(part, names))
            return found
        case ["or", *parts] if parts:
            return [one for part in parts for one in _formula(part, names)]
        case ["<=" | ">=" | "<" | ">" as word, a, b]:
            low, high = (a, b) if word in ("<=", "<") else (b, a)
            return [((_sum([(1, _term(low, names)), (-1, _term(high, names))]), "=" not in word),)]
    raise Unreadable(f"{str(form)[:80]} is no formula that is read")


def _both(some: list[Atoms], others: list[Atoms]) -> list[Atoms]:
    if len(some) * len(others) > _CASES:
        raise Unreadable(f"more than {_CASES} conjunctions")
    return [a + b for a in some for b in others]


def _term(form: object, names: set[str]) -> Linear:
    match form:
        case str(word) if word in names:
            return {word: Fraction(1)}
        case str(word) if _NUMBER.fullmatch(word):
            return {"": Fraction(word)}
        case ["+", *parts] if parts:
            return _sum([(1, _term(part, names)) for part in parts])
        case ["-", part]:
            return _sum([(-1, _term(part, names))])
        case ["-", first, *parts] if parts:
            return _sum([(1, _term(first, names)), *((-1, _term(part, names)) for part in parts)])
        case ["*", *parts] if parts:
            found, number = [_term(part, names) for part in parts], Fraction(1)
            terms = [one for one in found if set(one) - {""}]
            for one in found:
                number *= 1 if set(one) - {""} else one.get("", Fraction(0))
            if len(terms) <= 1:
                return {name: number * a for name, a in (terms[0] if terms else {"": Fraction(1)}).items()}
    raise Unreadable(f"{str(form)[:80]} is no linear term of what is declared")


def _sum(parts: list[tuple[int, Linear]]) -> Linear:
    found: Linear = {}
    for sign, part in parts:
        for name, a in part.items():
            found[name] = found.get(name, Fraction(0)) + sign * a
    return {name: a for name, a in found.items() if a}


def _cases(assertions: list[list[Atoms]], inputs: int) -> list[Case]:
    """Conjunctions of one box are one case; what the box leaves empty is none."""
    common = [atom for one in assertions if len(one) == 1 for atom in one[0]]
    rest: list[Atoms] = [()]
    for one in assertions:
        rest = _both(rest, one) if len(one) > 1 else rest
    shared, rows = _ends({}, common, inputs)
    found: dict[tuple, list[tuple[Row, ...]]] = {}
    for atoms in rest:
        ends, more = _ends(shared, list(atoms), inputs)
        box = tuple(ends.get(i, (-inf, inf, False, False)) for i in range(inputs))
        if any(low == -inf or high == inf for low, high, _, _ in box):
            raise Unreadable("an input has no lower or no upper bound")
        if all(low < high or (low == high and not a and not b) for low, high, a, b in box):
            found.setdefault(box, []).append(tuple(rows + more))
    return [
        Case(
            tuple((low, high) for low, high, _, _ in box),
            tuple(some),
            frozenset((i, up) for i, one in enumerate(box) for up in (False, True) if one[2 + up]),
        )
        for box, some in found.items()
    ]


def _ends(start: dict, atoms: list[tuple[Linear, bool]], inputs: int) -> tuple[dict, list[Row]]:
    """Ends of inputs of which alone an atom speaks, met with those at the start; rows of the others."""
    ends, rows = dict(start), []
    for term, strict in atoms:
        (name, a), rest = next(iter(term.items()), ("", Fraction(0))), set(term) - {""}
        if len(rest) == 1 and next(iter(rest))[0] == "X":
            (name,) = rest
            a, i = term[name], int(name[2:])
            end = -term.get("", Fraction(0)) / a
            low, high, open_low, open_high = ends.get(i, (-inf, inf, False, False))
            if a > 0 and (end < high or (end == high and strict)):
                high, open_high = end, strict
            elif a < 0 and (end > low or (end == low and strict)):
                low, open_low = end, strict
            ends[i] = (low, high, open_low, open_high)
        else:
            parts = [tuple(sorted((int(n[2:]), b) for n, b in term.items() if n.startswith(letter))) for letter in "XY"]
            rows.append(Row(parts[0], parts[1], term.get("", Fraction(0)), strict))
    return ends, rows
