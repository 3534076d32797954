"""Who is told how a question was proved: for certificates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absdomain.branching.target import Target

if TYPE_CHECKING:
    from absdomain.branching.open_parts import OpenParts


class Record:
    """Keeps nothing; whoever wants to know overrides it."""

    def closed(self, target: Target, some: OpenParts) -> None:
        """Branches of a search on this target that are proved, with the lines that prove them."""

    def proved(self, asked: Target, searches: Sequence[Any]) -> None:
        """The question is proved: by its bounds where there are no searches, or by one that has nothing open."""


UNRECORDED = Record()
