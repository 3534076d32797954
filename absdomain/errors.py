"""Errors that more than one part of the library raises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from numbers import Real


class UnsupportedOp(NotImplementedError):
    """An operation, or a use of one, for which the table has no rule; says which, where, and what could be done."""


class InvalidFile(ValueError):
    """A file is not what it says it is: which one, where in it, what was found, and what could be done."""


class TooLarge(MemoryError):
    """Work that needs more memory than there is; says where, how much, and what could be done."""


class MissingExtra(ImportError):
    """A library that a part of this one needs is not installed; says which, and how to install it."""


@contextmanager
def needing(extra: str, caller: str) -> Iterator[None]:
    """Imports of what an extra of this package brings: MissingExtra where one fails, with the command that helps."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra(f'{caller}: {error}; install what it needs: pip install "absdomain[{extra}]"') from error


class NoCertificate(RuntimeError):
    """What is proved, but cannot be written as a certificate that the checker accepts; says why."""


class PropertyError(ValueError):
    """A property that cannot be read, or not be decided; says where (file, line, column) and what could be done.

    `line` and `column` count from 1; both are None for a property that was written in Python.
    """

    def __init__(self, message: str, path: str | None = None, line: int | None = None, column: int | None = None):
        self.message, self.path, self.line, self.column = message, path, line, column
        place = ":".join(str(part) for part in (path, line, column) if part is not None)
        super().__init__(f"{place}: {message}" if place else message)

    def __reduce__(self) -> tuple[type[PropertyError], tuple[str, str | None, int | None, int | None]]:
        return PropertyError, (self.message, self.path, self.line, self.column)


def check_type(place: str, value: object, kind: type | tuple[type, ...], remedy: str) -> None:
    """TypeError unless the value is of this kind: what came, what is wanted, and how to get it."""
    if isinstance(value, kind):
        return
    kinds = kind if isinstance(kind, tuple) else (kind,)
    wanted = " or ".join(one.__name__ for one in kinds)
    came = f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
    raise TypeError(f"{place}: a {wanted} is needed, got {came}; {remedy}")


def near(name: str, known: Iterable[str], every: str) -> str:
    """What the reader of an error may have meant: the close ones of the names that are known, or else all of them.

    `every` stands before all.
    """
    names = {one.lower(): one for one in known}
    close = [names[match] for match in get_close_matches(name.lower(), names, n=3)]
    return f"did you mean {' or '.join(close)}?" if close else f"{every} {', '.join(names.values())}"


def check_range(place: str, clip: object) -> None:
    """TypeError unless this is None, or a pair of numbers."""
    pair = isinstance(clip, tuple | list) and len(clip) == 2 and all(isinstance(end, Real) for end in clip)
    if clip is not None and not pair:
        raise TypeError(f"{place}: clip is a pair of numbers such as (0, 1), or None; got {clip!r:.60}")


def check_count(place: str, value: object) -> None:
    """TypeError unless this is a whole number, ValueError for one below 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        came = f"a {type(value).__name__}"
        raise TypeError(f"{place}: a whole number is needed, got {came}; give one, such as 100")
    if value < 1:
        raise ValueError(f"{place}: {value} is below 1; give a whole number from 1")


def described(error: Exception) -> str:
    """The error in one line. The library's own name value, place and remedy; any other one is shown as a defect."""
    text = " ".join(str(error).split()) or repr(error)
    if ours(error) or isinstance(error, ValueError | OSError):
        return text
    return f"{type(error).__name__}: {text} (run again with --debug for the traceback)"


def ours(error: Exception) -> bool:
    """Whether the library raised it, with a text that was written for this."""
    return type(error).__module__.startswith("absdomain.")
