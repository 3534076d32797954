"""Times of a training: a number is one in epochs; `Steps` are of the optimiser, however long an epoch is."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TypeAlias

_TEXT = re.compile(r"\s*([0-9.eE+-]+)\s*(steps)?\s*")


@dataclass(frozen=True)
class Steps:
    """`count` steps and `epochs` epochs, in whatever order: what papers state in steps, and sums of both.

    As text it is "2000 steps". Sums and multiples are times again.
    """

    count: float
    epochs: float = 0.0

    @staticmethod
    def of(time: Time) -> Steps:
        """The same time; a number has epochs and no steps."""
        return time if isinstance(time, Steps) else Steps(0.0, time)

    def __add__(self, other: Time) -> Steps:
        other = Steps.of(other)
        return Steps(self.count + other.count, self.epochs + other.epochs)

    __radd__ = __add__

    def __mul__(self, factor: float) -> Steps:
        return Steps(self.count * factor, self.epochs * factor)

    __rmul__ = __mul__

    def __str__(self) -> str:
        return f"{self.count:.17g} steps" + (f" and {self.epochs:g} epochs" if self.epochs else "")


Time: TypeAlias = float | Steps


def short(time: Time) -> str:
    """ "60" or "2000 steps", with four digits at most where it is a number of epochs."""
    whole = Steps.of(time)
    return str(whole) if whole.count else f"{whole.epochs:.4g}"


def at(time: Time, per_epoch: int) -> int:
    """The step at which the time is over, where an epoch has so many steps."""
    whole = Steps.of(time)
    return round(whole.count + whole.epochs * per_epoch)


def exceeds(time: Time, other: Time) -> bool:
    """Whether one time is longer than another one however long an epoch is; but for rounding, as after a stretch."""
    ours, theirs = Steps.of(time), Steps.of(other)
    pairs = ((ours.epochs, theirs.epochs), (ours.count, theirs.count))
    return all(a >= b for a, b in pairs) and any(a > b * (1 + 1e-9) for a, b in pairs)


def is_time(time: Time) -> bool:
    """Whether both its parts are finite and >= 0."""
    whole = Steps.of(time)
    return all(math.isfinite(part) and part >= 0 for part in (whole.count, whole.epochs))


def in_proportion(time: Time, factor: float) -> Time:
    """The time in a training whose number of steps has changed by the factor: an epoch's length has, steps' has not."""
    return time * factor if isinstance(time, Steps) else time


def read(text: str) -> Time | None:
    """The time of a text, "60" epochs or "2000 steps"; None for one that is no time."""
    match = _TEXT.fullmatch(text)
    try:
        number = float(match[1]) if match else None
    except ValueError:
        return None
    return Steps(number) if match and match[2] and number is not None else number
