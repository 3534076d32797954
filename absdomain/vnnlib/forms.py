"""Top-level forms of a file: their tokens one after another, and where in the text a property's parts stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from absdomain.errors import PropertyError
from absdomain.properties.polynomial import Variable
from absdomain.vnnlib.source import Source


class Cursor:
    """A place in the tokens that moves forward."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = [*source.tokens, "", ""]
        self.place = 0

    @property
    def token(self) -> str:
        """The one at the place; "" beyond the end."""
        return self.tokens[self.place]

    @property
    def over(self) -> bool:
        """Whether all tokens are read."""
        return self.place >= len(self.tokens) - 2

    def take(self, *wanted: str, what: str = "") -> str:
        """The token at the place, which must be one of these where any are given; moves beyond it."""
        token = self.token
        if self.over or (wanted and token not in wanted):
            expected = what or " or ".join(map(repr, wanted)) or "more"
            raise self.error(f"{token!r} where {expected} is expected" if token else
                             f"the text ends where {expected} is expected; is the file whole?")  # fmt: skip
        self.place += 1
        return token

    def skip(self) -> None:
        """Beyond the end of the form in whose middle the place is."""
        depth = 1
        while depth:
            depth += {"(": 1, ")": -1}.get(self.take(what="')'"), 0)

    def error(self, message: str, place: int | None = None) -> PropertyError:
        """The error at a place, by default at the present one."""
        return self.source.error(self.place if place is None else place, message)


@dataclass(frozen=True)
class Placed:
    """Where declarations and assertions stand in a source."""

    source: Source
    declarations: Mapping[Variable | str, int]  # the place of each entry, or of its tensor
    assertions: list[int] = field(default_factory=list)

    def at_declaration(self, variable: Variable, message: str) -> PropertyError:
        """The error, at the place where this entry, or its tensor, is declared."""
        place = self.declarations.get(variable)
        return self.source.error(self.declarations[variable.name] if place is None else place, message)

    def at_assertion(self, number: int, message: str) -> PropertyError:
        """The error, at the place of this assertion."""
        return self.source.error(self.assertions[number], message)
