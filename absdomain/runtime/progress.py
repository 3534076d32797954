"""Progress on stderr, of one process alone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


QUIET = "ABSDOMAIN_QUIET"  # in the environment, and not empty: no progress


def speaks() -> bool:
    """Whether this process shows progress and results: alone, or the first of those that torchrun has started."""
    return os.environ.get("RANK", "0") == "0" or "TORCHELASTIC_RUN_ID" not in os.environ


def quiet() -> AbstractContextManager[None]:
    """No progress inside, as in `with absdomain.quiet(): ...`; everywhere where ABSDOMAIN_QUIET=1 is set."""
    return forwarded(lambda line: None)


_elsewhere: ContextVar[Callable[[str], None] | None] = ContextVar("elsewhere", default=None)


@contextmanager
def forwarded(to: Callable[[str], None]) -> Iterator[None]:
    """What would be shown of progress inside is given to `to`, line by line: of work for another process."""
    token = _elsewhere.set(to)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def errors() -> Console:
    """The console on stderr; results alone go to stdout."""
    from rich.console import Console

    return Console(stderr=True)


def say(text: str) -> None:
    """A line on stderr, of the process that speaks."""
    to = _elsewhere.get()
    if to is not None:
        to(text)
    elif speaks() and not os.environ.get(QUIET):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(title: str, total: int, *, lines: int = 10) -> Iterator[Callable[[float, str], None]]:
    """A bar on stderr with `title` and a changing text; gives a function (done so far, text).

    Parts of the text are separated by two spaces, the most important first: on a narrow terminal the last ones are left
    out, then the bar and the title, so that how far it is, the time that is left and the first part stay on one line.
    Where stderr is no terminal, `lines` lines are written over the whole, instead of a bar. Work inside of work that
    shows its own progress shows none, and of several processes that torchrun has started only the first one does.
    """
    to = _elsewhere.get()
    if to is not None:
        yield lambda done, text: to(f"{title}: {done:.4g}/{total}  {text}")
        return
    if _open or not speaks() or os.environ.get(QUIET):
        yield unseen
        return
    _open.append(title)
    try:
        console = errors()
        with _bar(title, total, console) if drawn(console) else nullcontext(_lines(title, total, lines)) as show:
            yield show
    finally:
        _open.remove(title)


_open: list[str] = []  # the one that is shown; work inside of it says nothing of its own


def unseen(done: float, text: str) -> None:
    """Progress that nobody sees."""


def drawn(console: Console) -> bool:
    """Whether a line can be changed in place: in a terminal, and in a notebook that has ipywidgets, as rich needs."""
    return console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)


def _lines(title: str, total: int, lines: int) -> Callable[[float, str], None]:
    shown = [0]

    def line(done: float, text: str) -> None:
        if int(lines * done / max(total, 1)) > shown[0]:
            shown[0] = int(lines * done / max(total, 1))
            print(f"{title}: {done:g}/{total}  {text}", file=sys.stderr, flush=True)

    return line


@contextmanager
def _bar(title: str, total: int, console: Console) -> Iterator[Callable[[float, str], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

    heading, bar_width, room = layout(title, total, console.width)
    columns: list[ProgressColumn] = [TextColumn(heading, markup=False)] if heading else []
    columns += [BarColumn(bar_width)] if bar_width else []
    columns += [MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[text]}", markup=False)]
    # what is printed meanwhile stands above the bar, and stays in its file where stdout is one
    with Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task(title, total=total, text="")
        yield lambda done, text: bar.update(task, completed=done, text=fitting(text, room))


_LEFT = 8  # of a time such as 12:34:56
_FIRST = 34  # of a text's first part
_BARS = (40, 10, 0)  # wide, narrow, none


def layout(title: str, total: int, width: int) -> tuple[str, int, int]:
    """(title, width of the bar, room for the text) of a line of this width, in which its first part has room."""
    counts = 2 * len(str(total)) + 1 + 1 + _LEFT + 1  # with the spaces behind
    for bar in _BARS:
        room = width - counts - (bar + 1 if bar else 0) - len(title) - 1
        if room >= (2 * _FIRST if bar == _BARS[0] else _FIRST):
            return title, bar, room
    return "", 0, max(0, width - counts)


def fitting(text: str, room: int) -> str:
    """As many of its parts, separated by two spaces, as fit into the room; of the first one as much as fits."""
    first, *others = text.split("  ")
    shown = first[:room]
    for part in others:
        if len(shown) + 2 + len(part) > room:
            break
        shown += f"  {part}"
    return shown


class Ticker:
    """A line on stderr that says how work goes whose end is not known: changed in place, or written now and then."""

    def __init__(self, every: float = 0.5) -> None:
        self.terminal, self.began = sys.stderr.isatty(), time.monotonic()
        self.pause = every if self.terminal else 10 * every  # seconds to the next line; in a file they become fewer
        self.next, self.width = self.began + self.pause, 0

    def __call__(self, text: Callable[[], str]) -> None:
        """Show the text, if it is time for one."""
        now = time.monotonic()
        if now < self.next or _open or not speaks() or os.environ.get(QUIET) or _elsewhere.get() is not None:
            return
        line = text()
        if self.terminal:
            print(f"\r{line:<{self.width}}", end="", file=sys.stderr, flush=True)
            self.width = len(line)
        else:
            print(line, file=sys.stderr, flush=True)
            self.pause *= 1.5
        self.next = now + self.pause

    def clear(self) -> None:
        """Take the line away."""
        if self.width:
            print(f"\r{'':<{self.width}}\r", end="", file=sys.stderr, flush=True)
            self.width = 0
