"""Who is told how a question was proved: for certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from absdomain.branching.target import Target
from absdomain.region import Region

if TYPE_CHECKING:
    from absdomain.branching.open_parts import OpenParts


class Record:
    """Keeps nothing; whoever wants to know overrides it."""

    def closed(self, target: Target, some: OpenParts) -> None:
        """Branches of a search on this target that are proved, with the lines that prove them."""

    def proved(self, asked: Target, searches: Sequence[Any]) -> None:
        """The question is proved: by its bounds where there are no searches, or by one that has nothing open."""


UNRECORDED = Record()
_making: ContextVar[Callable[[Region], Record] | None] = ContextVar("making", default=None)


@contextmanager
def recording(make: Callable[[Region], Record]) -> Iterator[None]:
    """Inside, the domain `branching` tells make(region) of each sample's region how it is proved."""
    token = _making.set(make)
    try:
        yield
    finally:
        _making.reset(token)


def record_of(region: Region) -> Record:
    """Who is told how this is proved."""
    make = _making.get()
    return UNRECORDED if make is None else make(region)
