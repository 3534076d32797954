"""Domains that relax over boxes that somebody else answers for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from absdomain.domain import AnyDomain, Decision, Domain, Traits
from absdomain.kinds import Affine, Nonlinear
from absdomain.linear import Bounds, Ends, Rows
from absdomain.region import Region

Answer = Callable[[Nonlinear, tuple[Bounds, ...] | None], tuple[Bounds, ...]]


@dataclass(frozen=True, eq=False)
class Known(Domain[Any]):
    """inner, relaxing over `answer(op, boxes)`, which must hold the values; boxes are inner's own."""

    inner: AnyDomain
    answer: Answer

    @property
    def traits(self) -> Traits:
        return self.inner.traits

    def lift(self, region: Region) -> Any:
        return self.inner.lift(region)

    def affine(self, op: Affine, *args: Any) -> Any:
        return self.inner.affine(op, *args)

    def relax(self, op: Nonlinear, args: tuple[Any, ...], boxes: tuple[Bounds, ...] | None) -> Any:
        return self.inner.relax(op, args, self.boxes(op, args) if boxes is None else boxes)

    def boxes(
        self, op: Nonlinear, args: tuple[Any, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        return self.answer(op, self.inner.boxes(op, args, asked))

    def bounds(self, e: Any, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        return self.inner.bounds(e, where, ends)

    def planes(self, e: Any) -> tuple[Rows, Tensor] | None:
        return self.inner.planes(e)

    def decide(self, e: Any, groups: Tensor | None = None) -> Decision:
        return self.inner.decide(e, groups)
