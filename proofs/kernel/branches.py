"""Both ways of every condition and loop in the code that a lemma lists, and which of them its checks have gone.

A branch is a conditional jump of the bytecode: of `if`, `while`, `for`, `a if c else b`, `a and b`, in comprehensions,
too. Left out are ways that lead to a refusal (`raise`, a failed `assert`), and those of exception handlers.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import CodeType, FunctionType

from absdomain.proofs.kernel.executed import Trace, codes, lines_of, missed, refusals

_HANDLERS = ("CHECK_EXC_MATCH", "CHECK_EG_MATCH", "WITH_EXCEPT_START")
_LONGEST = 60  # characters of a condition


@dataclass(frozen=True)
class Way:
    """One way that a condition may come out: the instruction of its jump, and whether it goes on to the next one."""

    code: CodeType
    offset: int
    falls: bool  # the next instruction follows
    next: int
    place: tuple[int, int]  # line and column of what is decided
    says: str

    def gone(self, seen: Trace) -> bool:
        """Whether it was run."""
        return any(a == self.offset and (b == self.next) == self.falls for a, b in seen.steps.get(self.code, ()))


def ways(f: FunctionType) -> list[list[Way]]:
    """The ways of all branches of a function, those of one condition that the compiler has written twice together."""
    found: dict[tuple[tuple[int, int], str], list[Way]] = {}
    for code in codes(f):
        for way in _of(code):
            found.setdefault((way.place, way.says), []).append(way)
    return list(found.values())


def _of(code: CodeType) -> Iterator[Way]:
    steps = _instructions(code)
    lines = {start: step.positions.lineno for start, step in steps if step.positions and step.positions.lineno}
    names, refused = {start: step.opname for start, step in steps}, refusals(code.co_filename)
    for place, (start, jump) in enumerate(steps):
        if not ("_IF_" in jump.opname or jump.opname == "FOR_ITER"):
            continue
        decided = place - (2 if steps[place - 1][1].opname == "GET_ITER" else 1)
        before, at, after = steps[place - 1][1], steps[decided][1].positions, steps[place + 1][0]
        for falls, to in ((True, after), (False, jump.argval)):
            refuses = lines.get(to) in refused or names.get(to) in ("LOAD_ASSERTION_ERROR", "LOAD_COMMON_CONSTANT")
            if at is not None and before.opname not in _HANDLERS and not refuses:
                where = (at.lineno or 0, at.col_offset or 0)
                yield Way(code, start, falls, after, where, _said(jump.opname, _text(code, at), falls))


def _instructions(code: CodeType) -> list[tuple[int, dis.Instruction]]:
    """The instructions, and where each begins: with the parts of its argument that are written before it."""
    found, begun = [], None
    for step in dis.get_instructions(code):
        begun = step.offset if begun is None else begun
        if step.opname != "EXTENDED_ARG":
            found.append((begun, step))
            begun = None
    return found


def _said(name: str, text: str, falls: bool) -> str:
    """What it means that a way is never gone."""
    if name == "FOR_ITER":
        return f"`{text}` is always empty" if falls else f"`{text}` never ends"
    if name.endswith("_NONE"):
        return f"`{text}` is {'never' if name.endswith('_NOT_NONE') == falls else 'always'} None"
    return f"`{text}` is never {'true' if ('_IF_FALSE' in name) == falls else 'false'}"


def _text(code: CodeType, at: dis.Positions) -> str:
    """The source at these positions, on one line."""
    if not at.lineno or not at.end_lineno:
        return "?"
    lines = _source(code.co_filename)[at.lineno - 1 : at.end_lineno]
    lines = [*lines[:-1], lines[-1].encode()[: at.end_col_offset].decode()]
    lines[0] = lines[0].encode()[at.col_offset or 0 :].decode()
    text = " ".join(" ".join(lines).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."


@cache
def _source(path: str) -> list[str]:
    with open(path) as file:
        return file.read().splitlines()


@dataclass(frozen=True)
class Executed:
    """What the checks of a lemma have run of a function that it lists."""

    name: str
    entered: bool
    lines: int  # that are to be run, and
    missed: tuple[int, ...]  # those that were not
    ways: int  # of its branches, and
    never: tuple[str, ...]  # what those say that were not gone

    @staticmethod
    def of(f: FunctionType, seen: Trace) -> Executed:
        """What a trace has seen of f."""
        every = ways(f)
        never = tuple(some[0].says for some in every if not any(way.gone(seen) for way in some))
        entered = bool(seen.steps.get(f.__code__))
        return Executed(f.__qualname__, entered, len(lines_of(f)), tuple(missed(f, seen)), len(every), never)
