"""How a law is stated and how its breach is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

# A bound and a value reach the same number by two roads of some dozens of float64 operations each. Each of them errs by
# eps = 2.2e-16 of the largest number on the way; the laws measure that number (`magnitude`) and allow 1e-11 of it.
ROUNDING = 1e-11


@dataclass
class Closest:
    """How near a law came to being broken: the largest part of the rounding allowed that any comparison needed."""

    share: float = -math.inf  # below 0 where no bound was reached, above 1 for a law that is broken
    law: str = "none"

    def take(self, law: str, share: float) -> None:
        """Another comparison."""
        if share > self.share:
            self.share, self.law = share, law


_watching: ContextVar[Closest | None] = ContextVar("watching", default=None)


@contextmanager
def watched(closest: Closest) -> Iterator[None]:
    """Comparisons inside are noted in `closest`."""
    token = _watching.set(closest)
    try:
        yield
    finally:
        _watching.reset(token)


def _note(law: str, excess: Tensor, room: Tensor) -> None:
    closest = _watching.get()
    if closest is not None and bool((room > 0).all()):
        shares = (excess / room).detach().nan_to_num(nan=-math.inf)  # NaN is a breach, or infinities that agree
        closest.take(law, float(shares.max()) if shares.numel() else -math.inf)


class LawBroken(AssertionError):
    """A law of an op, a region or a domain does not hold; the message has the values.

    For a domain, `script` is Python that poses the problem again, and `reproduction` what `check_domain(reproduce=)`
    takes to do so, with the version of hypothesis that found it.
    """

    def __init__(self, law: str, message: str, *, script: str = "", reproduction: str = "") -> None:
        again = f"\nAgain: check_domain(..., reproduce={reproduction!r})" if reproduction else ""
        super().__init__(f"{law}: {message}{again}" + (f"\n\n{script}" if script else ""))
        self.law, self.message, self.script, self.reproduction = law, message, script, reproduction

    def __reduce__(self) -> tuple[Callable[..., LawBroken], tuple[str, str]]:
        return partial(LawBroken, script=self.script, reproduction=self.reproduction), (self.law, self.message)


def slack(magnitude: Tensor | float) -> Tensor:
    """The rounding allowed where numbers of this magnitude are added up."""
    return ROUNDING * (1 + torch.as_tensor(magnitude, dtype=torch.float64))


def at_most(small: Tensor, large: Tensor, allowed: Tensor | float, law: str, detail: str = "") -> None:
    """small <= large + allowed, elementwise after broadcasting; a NaN breaks it."""
    room = torch.as_tensor(allowed, dtype=small.dtype)
    excess = small - large
    _note(law, excess, room)
    if bool((excess <= room).all()):
        return
    small, large, excess, room = torch.broadcast_tensors(small, large, excess, room)
    wrong = ~(excess <= room) & (small != large)  # equal infinities agree, though their difference is NaN
    if bool(wrong.any()):
        worst = torch.where(wrong, (excess - room).nan_to_num(nan=torch.inf), -torch.inf).argmax()
        place = [int(i) for i in torch.unravel_index(worst, wrong.shape)]
        one, other = small.flatten()[worst].item(), large.flatten()[worst].item()
        raise LawBroken(law, f"{one!r} <= {other!r} fails at {place} ({int(wrong.sum())} entries){_and(detail)}")


def equal(one: Tensor, other: Tensor, allowed: Tensor | float, law: str, detail: str = "") -> None:
    """|one - other| <= allowed, elementwise after broadcasting; a NaN breaks it."""
    at_most(one, other, allowed, law, detail)
    at_most(other, one, allowed, law, detail)


def finite(value: Tensor, law: str, detail: str = "") -> None:
    """No infinity and no NaN."""
    wrong = ~value.isfinite()
    if bool(wrong.any()):
        place = wrong.nonzero()[0].tolist()
        raise LawBroken(law, f"{value[tuple(place)].item()} at {place} ({int(wrong.sum())} entries){_and(detail)}")


def holds(condition: bool, law: str, detail: str) -> None:
    """The condition, with what to say where it fails."""
    if not condition:
        raise LawBroken(law, detail)


def _and(detail: str) -> str:
    return f"; {detail}" if detail else ""
