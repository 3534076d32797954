"""Which lines of the code that a lemma lists its checks have run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

Lines = dict[CodeType, set[int]]  # of a code object, those that were run


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
def watched(functions: Iterable[FunctionType]) -> Iterator[Lines]:
    """The lines of these functions that are run inside the block."""
    seen: Lines = {code: set() for f in functions for code in codes(f)}

    def entered(frame: FrameType, event: str, arg: Any) -> Any:
        lines = seen.get(frame.f_code)
        if lines is None:
            return None

        def ran(frame: FrameType, event: str, arg: Any) -> Any:
            if event == "line":
                lines.add(frame.f_lineno)
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


def missed(f: FunctionType, seen: Lines) -> list[int]:
    """The lines of a function that were not run; refusals of a wrong argument (`raise`) do not count."""
    refusals = _refusals(f.__code__.co_filename)
    own: set[int] = set()
    ran: set[int] = set()
    for code in codes(f):
        own |= {line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno}
        ran |= seen.get(code, set())
    return sorted(own - ran - refusals)


@cache
def _refusals(path: str) -> frozenset[int]:
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
