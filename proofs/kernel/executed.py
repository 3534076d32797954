"""Which lines of the code that a lemma lists its checks have run; if asked, its branches and what they went through.

For branches every step from one bytecode instruction of a listed function to the next is recorded, so that also the two
ways of a condition within a line (`a if c else b`, `a and b`) are told apart (`branches.py` reads them). It takes a
fifth longer.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

START = -1  # where a step begins that enters a function
Steps = dict[CodeType, set[tuple[int, int]]]  # of a code object, pairs of offsets: this instruction, then that one


@dataclass(frozen=True)
class Trace:
    """The steps within the functions that are watched, of lines or of instructions; with these the modules of all
    other code that was run."""

    steps: Steps
    others: dict[CodeType, str] = field(default_factory=dict)

    def join(self, other: Trace) -> None:
        """Add what another trace has seen."""
        for code, steps in other.steps.items():
            self.steps.setdefault(code, set()).update(steps)
        self.others.update(other.others)

    def lines(self, code: CodeType) -> set[int]:
        """The lines of a code object that were run."""
        ran = {to for _, to in self.steps.get(code, ())}
        spans = ((line, range(start, end)) for start, end, line in code.co_lines() if line is not None)
        return {line for line, span in spans if not ran.isdisjoint(span)}


def function(thing: Any) -> FunctionType:
    """The Python function behind a function, method, property or slope policy."""
    if isinstance(thing, property):
        return function(thing.fget)
    if isinstance(thing, cached_property):
        return function(thing.func)
    if isinstance(thing, MethodType):
        return function(thing.__func__)
    inner = getattr(thing, "__wrapped__", None) or getattr(thing, "rule", None)  # singledispatch; a slope policy
    if inner is not None:
        return function(inner)
    if not isinstance(thing, FunctionType):
        raise TypeError(f"a lemma lists {thing!r}, which is no function; list the functions that its checks run")
    return thing


def codes(f: FunctionType) -> tuple[CodeType, ...]:
    """The function's code and that of all functions that are written inside it."""
    found = [f.__code__]
    for code in found:
        found += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    return tuple(found)


_WATCHING: list[object] = []  # what is set as the tracer while checks are watched


@contextmanager
def unwatched() -> Iterator[None]:
    """Inside the block, which runs no function that is watched, calls are not followed: it takes half of the time."""
    before = sys.gettrace()
    if before is None or before not in _WATCHING:
        yield
        return
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(before)


@contextmanager
def watched(functions: Iterable[FunctionType], branches: bool = False) -> Iterator[Trace]:
    """What is run inside the block: lines, or with `branches` instructions."""
    seen = Trace({code: set() for f in functions for code in codes(f)})

    def entered(frame: FrameType, event: str, arg: Any) -> Any:
        steps = seen.steps.get(frame.f_code)
        if steps is None:
            if branches:
                seen.others[frame.f_code] = frame.f_globals.get("__name__", "")
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = branches, not branches
        before = START

        def ran(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal before
            if event in ("opcode", "line"):
                steps.add((before, frame.f_lasti))
                before = frame.f_lasti
            return ran

        return ran

    before = sys.gettrace()
    _WATCHING.append(entered)
    sys.settrace(entered)
    try:
        yield seen
    finally:
        sys.settrace(before)
        _WATCHING.pop()


def lines_of(f: FunctionType) -> set[int]:
    """The lines of a function that are to be run: all but refusals of a wrong argument (`raise`)."""
    own: set[int] = set()
    for code in codes(f):
        own |= {line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno}
    return own - refusals(f.__code__.co_filename)


def missed(f: FunctionType, seen: Trace) -> list[int]:
    """Those of these lines that were not run."""
    return sorted(lines_of(f).difference(*(seen.lines(code) for code in codes(f))))


@cache
def refusals(path: str) -> frozenset[int]:
    """The lines of `raise` statements, and of what is reckoned for their messages alone."""
    with open(path) as file:
        tree = ast.parse(file.read())
    found: set[int] = set()
    for node in ast.walk(tree):
        for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if isinstance(body, list) and body and isinstance(body[-1], ast.Raise):
                first = body[-1] if isinstance(node, ast.FunctionDef) else body[0]
                found.update(range(first.lineno, (body[-1].end_lineno or body[-1].lineno) + 1))
    return frozenset(found)
