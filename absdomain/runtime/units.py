"""(work(unit) for unit in units), where and in which order the units are worked on left open.

A certification maps over batches of images, a benchmark over instances, a sweep over trainings, fuzzing over laws. All
are given a `Mapper`: `HERE` works on one unit after another in this process, that of `runtime.cluster` on as many at
once as there are workers. What comes of a unit depends on the unit alone, so that both give the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import TypeVar

from absdomain.runtime.progress import Ticker, errors

U = TypeVar("U")
R = TypeVar("R")
Tell = Callable[[float, str], None]  # (done so far, text), from within a unit
Watch = Callable[[int, float, str], None]  # the same, and the unit's place


class UnitFailed(RuntimeError):
    """No result came of a unit, whatever it was: the processes that worked on it died, or nobody is left to ask."""


def quiet(place: int, done: float, text: str) -> None:
    """A watch that shows nothing."""


class Mapper(ABC):
    """Works on units, each on its own. `apart`: in other processes, so that what those show has to be shown here."""

    apart: bool

    @abstractmethod
    def map(
        self, work: Callable[[U, Tell], R], units: Sequence[U], names: Sequence[str], watch: Watch = quiet
    ) -> Generator[tuple[int, R]]:
        """(place, work(units[place], tell)) as they become known; closing it ends the work.

        Raises what the work raises, and UnitFailed with the name of the unit that has no result.
        """


class Here(Mapper):
    """One unit after another, in this process, each when it is asked for."""

    apart = False

    def map(
        self, work: Callable[[U, Tell], R], units: Sequence[U], names: Sequence[str], watch: Watch = quiet
    ) -> Generator[tuple[int, R]]:
        """(place, work(units[place], tell)), in order."""
        for place, unit in enumerate(units):
            yield place, work(unit, partial(watch, place))


HERE = Here()


def watched(
    mapper: Mapper, work: Callable[[U, Tell], R], units: Sequence[U], names: Sequence[str]
) -> Generator[tuple[int, R]]:
    """`mapper.map`, and a line on stderr about units that are worked on elsewhere; here they show how they go."""
    ticker, done, news = Ticker(), 0, dict[int, str]()

    def watch(place: int, share: float, text: str) -> None:
        news[place] = f"{names[place]}{f': {text}' if text else ''}"
        ticker(lambda: f"{done} of {len(units)}; {'; '.join(news.values())}"[: errors().width - 1])

    with closing(mapper.map(work, units, names, watch if mapper.apart else quiet)) as results:
        for place, result in results:
            done += 1
            news.pop(place, None)
            ticker.clear()
            yield place, result


def in_order(results: Iterable[tuple[int, R]]) -> Iterator[R]:
    """The results by place, each as soon as it and all before it are known."""
    waiting, place = dict[int, R](), 0
    for found, result in results:
        waiting[found] = result
        while place in waiting:
            yield waiting.pop(place)
            place += 1
