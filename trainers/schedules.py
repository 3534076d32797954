"""Values that change with the optimiser's step: schedules are frozen functions from a step to a float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from absdomain.trainers import times
from absdomain.trainers.times import Time


class Schedule(Protocol):
    """v(step): a float for every step >= 0."""

    def __call__(self, step: int) -> float: ...


@dataclass(frozen=True)
class Constant:
    """v(s) = value."""

    value: float

    def __call__(self, step: int) -> float:
        return self.value


@dataclass(frozen=True)
class LinearRamp:
    """v(s) = start + (end - start) * clip((s - first) / (last - first), 0, 1); a jump to end if last <= first."""

    start: float
    end: float
    first: int
    last: int

    def __call__(self, step: int) -> float:
        if step >= self.last:  # the ends are exact, and a ramp of no length divides nothing
            return self.end
        if step <= self.first:
            return self.start
        return self.start + (self.end - self.start) * (step - self.first) / (self.last - self.first)


@dataclass(frozen=True)
class SmoothRamp:
    """v(s) = start + a (s - first)^4 in the first quarter of first..last, then a line to end, once differentiable.

    With T = int(0.25 (last - first)) and a = (end - start) / ((last - first - T) 4 T^3 + T^4): the smooth schedule of
    CROWN-IBP's DM-large and of AdvIBP (public code).
    """

    start: float
    end: float
    first: int
    last: int

    def __call__(self, step: int) -> float:
        elapsed, quarter = step - self.first, int(0.25 * (self.last - self.first))
        if quarter == 0 or not self.first < step < self.last:
            return LinearRamp(self.start, self.end, self.first, self.last)(step)
        alpha = (self.end - self.start) / ((self.last - self.first - quarter) * 4 * quarter**3 + quarter**4)
        if elapsed < quarter:
            return self.start + alpha * elapsed**4
        corner = self.start + alpha * quarter**4
        return corner + (self.end - corner) * (elapsed - quarter) / (self.last - self.first - quarter)


@dataclass(frozen=True)
class Moment:
    """A step of a training, counted from 0, which knows how many steps an epoch has."""

    step: int = 0
    per_epoch: int = 1

    @property
    def epoch(self) -> float:
        """step / per_epoch: epochs done before this step."""
        return self.step / self.per_epoch

    def at(self, time: Time) -> int:
        """The step at which so many epochs, or `Steps`, are done."""
        return times.at(time, self.per_epoch)

    def held(self, epochs: int, since: Time) -> Moment:
        """The moment at which the present stair began, of stairs of `epochs` epochs from the time `since` on."""
        return Moment(self.step - (self.step - self.at(since)) % (epochs * self.per_epoch), self.per_epoch)

    def ramp(self, start: float, end: float, first: Time, last: Time, *, smooth: bool = False) -> float:
        """The present value of a ramp from start to end between the times `first` and `last`, linear or smooth."""
        return (SmoothRamp if smooth else LinearRamp)(start, end, self.at(first), self.at(last))(self.step)


START = Moment()


@dataclass(frozen=True)
class StepDecay:
    """v(s) = start * factor^(number of milestones <= s)."""

    start: float
    milestones: tuple[int, ...] = ()
    factor: float = 0.1

    def __call__(self, step: int) -> float:
        return float(self.start * self.factor ** sum(milestone <= step for milestone in self.milestones))
