"""How a law is stated and how its breach is told."""

from __future__ import annotations

import torch
from torch import Tensor

# A bound and a value reach the same number by two roads of some dozens of float64 operations each. Each of them errs by
# eps = 2.2e-16 of the largest number on the way; the laws measure that number (`magnitude`) and allow 1e-11 of it.
ROUNDING = 1e-11


class LawBroken(AssertionError):
    """A law of an op, a region or a domain does not hold; the message has the values and, for a domain, a script."""

    def __init__(self, law: str, message: str) -> None:
        super().__init__(f"{law}: {message}")
        self.law, self.message = law, message


def slack(magnitude: Tensor | float) -> Tensor:
    """The rounding allowed where numbers of this magnitude are added up."""
    return ROUNDING * (1 + torch.as_tensor(magnitude, dtype=torch.float64))


def at_most(small: Tensor, large: Tensor, allowed: Tensor | float, law: str, detail: str = "") -> None:
    """small <= large + allowed, elementwise after broadcasting; a NaN breaks it."""
    small, large, room = torch.broadcast_tensors(small, large, torch.as_tensor(allowed, dtype=small.dtype))
    # equal infinities agree, and their difference would be NaN
    excess = torch.where(small == large, torch.zeros_like(small), small - large - room)
    wrong = ~(excess <= 0)
    if bool(wrong.any()):
        worst = torch.where(wrong, excess.nan_to_num(nan=torch.inf), -torch.inf).argmax()
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
