"""A mapper that works as far from this process as one can without another one."""

import pickle
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TypeVar

import cloudpickle

from absdomain.runtime.progress import forwarded
from absdomain.runtime.units import Mapper, Tell, Watch, quiet

U = TypeVar("U")
R = TypeVar("R")


class Backwards(Mapper):
    """The last unit first, each by work, and of a unit, that was pickled, and the results pickled too."""

    apart = True

    def __init__(self) -> None:
        self.names: list[str] = []  # of the units that were worked on

    def map(
        self, work: Callable[[U, Tell], R], units: Sequence[U], names: Sequence[str], watch: Watch = quiet
    ) -> Generator[tuple[int, R]]:
        sent = cloudpickle.dumps(work)
        for place in reversed(range(len(units))):
            self.names.append(names[place])
            tell = partial(watch, place)
            with forwarded(partial(tell, 0.0)):
                found = pickle.loads(sent)(pickle.loads(pickle.dumps(units[place])), tell)
            yield place, pickle.loads(pickle.dumps(found))
