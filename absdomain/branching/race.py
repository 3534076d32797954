"""Searches that take turns until one of them ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, TypeVar

from torch import Tensor

from absdomain.branching.open_parts import OpenParts, Queue
from absdomain.branching.outcome import Cause, Limits, Reason

P = TypeVar("P", bound=OpenParts)
Vain = Callable[[float], Reason | None]
_NOTHING = Reason(Cause.KIND, "nothing can be split: there is no nonlinear operation")
_TURN = 0.5  # seconds of the first turn; each round doubles it


class Search(ABC, Generic[P]):
    """Open parts of a question: each step bounds and parts the worst of them. Without a part, all is proved."""

    open: Queue[P]
    branches: int  # that were bounded
    stuck: Reason | None = None  # why it cannot go on

    @property
    def bound(self) -> float:
        """The least lower bound of what is open; inf: nothing is."""
        return self.open.least

    def __len__(self) -> int:
        return len(self.open)

    @abstractmethod
    def step(self) -> Tensor | None:
        """One batch of parts; a counterexample, if one is found."""


@dataclass(frozen=True, eq=False)
class Found:
    """How searches ended: the least bound that is open (inf: none), why it is not known, a counterexample."""

    bound: float
    reason: Reason | None
    point: Tensor | None = None
    pausing: bool = False  # the searches can go on


def raced(searches: Sequence[Search[Any]], limits: Limits, vain: Vain, pause: float = inf) -> Found:
    """The searches by turns, until one has proved all or has a counterexample, none can go on, or a limit is reached.

    `vain` says of the least open bound why to go on is in vain, or None. After `pause` seconds the searches are left as
    they are. Which of two ways of splitting is the shorter one is not known beforehand: turns of equal time cost a
    factor of two.
    """
    turn, reasons, end = _TURN, list[Reason](), limits.spent + pause
    while searches:
        for search in list(searches):
            until = limits.spent + turn
            while limits.spent < until:
                if not len(search):
                    return Found(inf, None)
                bounded = sum(each.branches for each in searches)
                limits.watch(bounded, len(search), search.bound)
                bound = max(each.bound for each in searches)
                reason = limits.expired(bounded) or vain(bound)
                if reason is not None or limits.spent > end:
                    return Found(bound, reason, pausing=reason is None)
                point = search.step()
                if point is not None:
                    return Found(-inf, None, point)
                if search.stuck is not None:
                    reasons.append(search.stuck)
                    searches = [each for each in searches if each is not search]
                    break
        turn *= 2
    return Found(-inf, reasons[0] if reasons else _NOTHING)
