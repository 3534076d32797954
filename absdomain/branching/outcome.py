"""What a search says, and the limits that it keeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from torch import Tensor

Watch = Callable[[int, int, float], None]  # (parts bounded, parts open, the least bound of those)


class Verdict(StrEnum):
    """The competition's words: `sat` is a point of the unsafe set, `unsat` a proof that there is none."""

    SAT = "sat"
    UNSAT = "unsat"
    UNKNOWN = "unknown"
    TIMEOUT = "timeout"


class Cause(StrEnum):
    """What ends a search that has not decided."""

    TIME = "time"
    BRANCHES = "branches"
    MEMORY = "memory"
    PRECISION = "precision"
    KIND = "kind"  # of the question: it has nothing that could be split


@dataclass(frozen=True)
class Reason:
    """Why a question stays open."""

    cause: Cause
    detail: str  # with the remedy

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}"


@dataclass(frozen=True, eq=False)
class Outcome:
    """The answer to one sample's question, and what it took."""

    verdict: Verdict
    seconds: float
    branches: int  # parts that were bounded, the whole among them
    bound: float  # the least lower bound of what is still open; inf where nothing is
    reason: str = ""  # why it is unknown
    point: Tensor | None = None  # (*input shape), of the region, for `sat`

    def __repr__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"Outcome({self.verdict}{why}, {self.seconds:.2f} s, {self.branches} parts bounded)"


def unwatched(bounded: int, open_: int, bound: float) -> None:
    """Nobody looks on."""


@dataclass(frozen=True)
class Limits:
    """How long a search may take, and how much it may bound; checked between batches, each of which `watch` is told."""

    seconds: float = inf
    branches: float = inf
    watch: Watch = unwatched
    start: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        for name, most in (("seconds", self.seconds), ("branches", self.branches)):
            if not most >= 0:
                raise ValueError(f"Limits: {name} is {most}; give a number >= 0, or inf for none")

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    def expired(self, branches: int) -> Reason | None:
        """Which limit was reached, with the remedy; or None."""
        if self.spent > self.seconds:
            return Reason(Cause.TIME, f"{self.seconds:g} s are over; give more, or a tighter domain")
        if branches > self.branches:
            return Reason(Cause.BRANCHES, f"{branches} were bounded; allow more, or give a tighter domain")
        return None
