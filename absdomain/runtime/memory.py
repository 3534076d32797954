"""How much memory work may take, and who is told how it goes: asked before it begins, and while it lasts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LIMIT = "ABSDOMAIN_MEMORY"  # GiB, in the environment
_GIB = 2**30
_SMALL = 2**26  # bytes


class TooLarge(MemoryError):
    """Work would take more memory than there is; says how much, and what could be done."""


Watcher = Callable[[str, int, int], None]  # what is done, how much of it is, and how much there is
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def available() -> float:
    """Bytes that may still be taken: what ABSDOMAIN_MEMORY says in GiB, or what is free; inf where that is not told.

    ValueError: ABSDOMAIN_MEMORY is no positive number.
    """
    given = os.environ.get(LIMIT)
    if given is None:
        return _free()
    try:
        limit = float(given) * _GIB
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise ValueError(f"{LIMIT} is {given!r}; give a positive number of GiB")
    return limit


def needed(size: float, what: str) -> None:
    """TooLarge where `what` would take so many bytes and they are not there; what is small is not looked into."""
    if size <= _SMALL:
        return
    room = available()
    if size > room:
        raise TooLarge(
            f"{what} takes at least {size / _GIB:.2f} GiB, and {room / _GIB:.2f} GiB may be used; take another domain "
            f"(box, or crown-ibp, which asks for the output's bounds alone), a smaller batch, or allow more by {LIMIT}"
        )


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Within it, `watcher` is told how long work goes."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def tell(what: str, done: int, total: int) -> None:
    """So much of this is done."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(what, done, total)


def _free() -> float:
    """What the system could give without swapping: Linux counts caches as free where MemAvailable is read."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            found = {line.split(":")[0]: line.split()[1] for line in lines}
        return float(found["MemAvailable"]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return float("inf")
