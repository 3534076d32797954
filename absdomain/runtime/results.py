"""Results that are computed as they are asked for, and kept: of certifications and certified radii."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from typing import TypeVar

from absdomain.runtime.progress import progress, unseen

R = TypeVar("R")


class Results(Iterator[R], ABC):
    """The results of N images, computed as they are asked for, in the order in which they become known.

    To iterate gives them one by one, with progress on stderr (`absdomain.quiet` takes that away); iterating again
    begins anew with those that are known.
    """

    title: str  # of the progress
    lines: int = 10  # of progress where stderr is no terminal

    def __init__(self, source: Generator[R], total: int) -> None:
        self._source, self._total = source, total
        self._known: list[R] = []

    def __next__(self) -> R:
        found = next(self._source)
        self._known.append(found)
        return found

    def __iter__(self) -> Iterator[R]:
        place = 0
        while place < len(self._known):
            yield self._known[place]
            place += 1
        working = progress(self.title, self._total, lines=self.lines) if place < self._total else nullcontext(unseen)
        with working as show:
            for found in self._rest(place):
                show(len(self._known), self.told())
                yield found

    def _rest(self, place: int) -> Iterator[R]:
        """Those from this place on, whoever else takes some from the source meanwhile."""
        while True:
            if place == len(self._known):
                try:
                    next(self)
                except StopIteration:
                    return
            yield self._known[place]
            place += 1

    def close(self) -> None:
        """End the work, and let others write its file; results that are known stay."""
        self._source.close()

    def __len__(self) -> int:
        """How many images there are."""
        return self._total

    @abstractmethod
    def told(self) -> str:
        """What is known so far, in a few words."""

    def __repr__(self) -> str:
        done, name = len(self._known), type(self).__name__
        if not done:
            return f"{name}({self._total} images, none asked yet: iterate, or ask for any of its results)"
        return f"{name}({'' if done == self._total else f'{done} of '}{self._total} images: {self.told()})"
