"""What a property declares: networks, and their inputs, hidden nodes and outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from absdomain.errors import PropertyError
from absdomain.kinds import Shape
from absdomain.properties.polynomial import Variable

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")  # of networks and tensors


@dataclass(frozen=True, slots=True)
class Declared:
    """A tensor of a network: kind (INPUT, HIDDEN or OUTPUT), name, shape, element type; of a hidden one its node."""

    network: str
    kind: str
    name: str
    shape: Shape
    element: str = "real"
    node: str | None = None

    @property
    def size(self) -> int:
        """How many entries it has."""
        return prod(self.shape)

    def variable(self, flat: int) -> Variable:
        """The entry at this flat position."""
        return Variable(self.network, self.kind, self.name, flat)

    def flat(self, index: Sequence[int]) -> int:
        """The flat position of an index with a number for each axis. Errors: PropertyError where it is none."""
        if len(index) != len(self.shape):
            raise PropertyError(
                f"{self.name} has shape {list(self.shape)}, {list(index)} has {len(index)} of the {len(self.shape)} "
                "indices that name an entry"
            )
        position = 0
        for i, size in zip(index, self.shape, strict=True):
            if not 0 <= i < size:
                raise PropertyError(f"{self.name}{list(index)} is outside of its shape {list(self.shape)}")
            position = position * size + i
        return position

    def index(self, flat: int) -> tuple[int, ...]:
        """The index, a number for each axis, of a flat position."""
        found: list[int] = []
        for size in reversed(self.shape):
            flat, i = divmod(flat, size)
            found.append(i)
        return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class Network:
    """A network's name and what of it can be spoken about; it may be the same as another, or of the same structure."""

    name: str
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    hidden: tuple[Declared, ...] = ()
    equal_to: str | None = None
    isomorphic_to: str | None = None

    def __iter__(self) -> Iterator[Declared]:
        yield from (*self.inputs, *self.hidden, *self.outputs)
