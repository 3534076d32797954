"""One mistake in one shipped function, and the public check that must notice it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from absdomain import parse
from absdomain.kinds import Op
from absdomain.laws import check_domain, check_op
from absdomain.laws.domains import named

Patch = Callable[[Any], Any]  # the shipped function -> the mutant


@dataclass(frozen=True)
class Mutant:
    """A shipped function with one mistake, and the public check that must notice."""

    name: str
    owner: Any
    attribute: str
    patch: Patch
    check: Callable[[], object]
    slow: bool = False  # noticed late

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the mutant in the place of the function."""
        shipped = inspect.getattr_static(self.owner, self.attribute)
        static = isinstance(shipped, staticmethod)
        mutant = self.patch(shipped.__func__ if static else shipped)
        monkeypatch.setattr(self.owner, self.attribute, staticmethod(mutant) if static else mutant)


def op(
    drawn: Op,
    *shapes: tuple[int, ...],
    reference: Callable[..., Tensor] | None = None,
    seed: int = 0,
    exact: bool = True,
) -> Callable[[], object]:
    """Check an op."""
    return lambda: check_op(drawn, *shapes, reference=reference, seed=seed, exact=exact)


def domain(text: str, *names: str, examples: int = 60) -> Callable[[], object]:
    """Check a domain, by the laws of these names."""
    laws = named(*names)
    return lambda: check_domain(parse(text), laws=laws, examples=examples, shrink=False)


def negated_first_gradient(shipped: Any) -> Any:
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        first, *rest = shipped(ctx, *grads)
        return None if first is None else -first, *rest

    return backward


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
