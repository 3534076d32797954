"""A mapper that works as far from this process as one can without another one."""

import pickle
from collections.abc import Callable, Generator, Sequence
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import TypeVar

import cloudpickle

from absdomain.runtime.progress import forwarded
from absdomain.runtime.units import Mapper, Tell, Watch, quiet

U = TypeVar("U")
R = TypeVar("R")


class Backwards(Mapper):
    """The last unit first, of work, units and results that were pickled, and in another working folder."""

    apart = True

    def __init__(self, folder: Path = Path("/")) -> None:
        self.folder = folder
        self.names: list[str] = []  # of the units that were worked on

    def map(
        self, work: Callable[[U, Tell], R], units: Sequence[U], names: Sequence[str], watch: Watch = quiet
    ) -> Generator[tuple[int, R]]:
        sent = cloudpickle.dumps(work)
        for place in reversed(range(len(units))):
            self.names.append(names[place])
            tell = partial(watch, place)
            with forwarded(partial(tell, 0.0)), chdir(self.folder):
                found = pickle.loads(sent)(pickle.loads(pickle.dumps(units[place])), tell)
            yield place, pickle.loads(pickle.dumps(found))
