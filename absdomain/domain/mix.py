"""Mixtures: weighted means of the bounds of two domains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from absdomain.domain.domain import AnyDomain, Combinator, Elements
from absdomain.domain.traits import Traits
from absdomain.kinds import Nonlinear
from absdomain.linear import Bounds, Ends, Rows


@dataclass(frozen=True)
class Mix(Combinator):
    """weight * first + (1 - weight) * second, of the bounds; a convex mixture of bounds is a bound (Zhang et al. 2020).

    The weight is a number or a 0-dim tensor in [0, 1], which a schedule may change in place: what counts is its value
    when bounds are read, and outside of [0, 1] it is a ValueError (in a compiled graph, the nearer end counts). A part
    of weight 0 is not traced, and where the first part already carries the second (as `deeppoly.guided(by=box)` carries
    `box`), it is traced once. Each part relaxes over its own boxes, or both over those that are given.
    """

    lemma = "mix"
    first: AnyDomain
    second: AnyDomain
    weight: float | Tensor = 0.5

    def __post_init__(self) -> None:
        self._check()

    def _check(self) -> None:
        """In a compiled graph, where a check of values would break it, the weight is only kept in [0, 1]."""
        if not torch.compiler.is_compiling() and not 0 <= float(self.weight) <= 1:
            raise ValueError(f"Mix: the weight is {float(self.weight)}; a mixture is sound for weights in [0, 1] only")

    @property
    def parts(self) -> tuple[AnyDomain, ...]:
        return self.first, self.second

    def with_parts(self, *parts: AnyDomain) -> Mix:
        first, second = parts
        return replace(self, first=first, second=second)

    @property
    def traits(self) -> Traits:
        self._check()
        own = [part.traits for part in self._live]
        return Traits.combine(*own, relational=all(traits.relational for traits in own))

    @property
    def _live(self) -> tuple[AnyDomain, ...]:
        """The parts that count: only they have elements."""
        if isinstance(self.weight, Tensor) or 0 < self.weight < 1:
            return self.first, self.second
        return (self.first,) if self.weight == 1 else (self.second,)

    def _each(self, make: Callable[[AnyDomain, int], Any]) -> Elements:
        """The parts' elements, the second taken out of the first where it is there."""
        made: list[Any] = []
        for place, part in enumerate(self._live):
            shared = self._live[0]._carried(made[0], part) if place else None
            made.append(make(part, place) if shared is None else shared)
        return tuple(made)

    def relax(self, op: Nonlinear, args: tuple[Elements, ...], boxes: tuple[Bounds, ...] | None) -> Elements:
        return self._each(lambda part, place: part.relax(op, tuple(e[place] for e in args), boxes))

    def boxes(
        self, op: Nonlinear, args: tuple[Elements, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        owns = zip(self._live, zip(*args, strict=True), strict=True)
        found = [part.boxes(op, own, asked) for part, own in owns]
        return tuple([self._mixture(list(each), Ends.BOTH) for each in zip(*found, strict=True)])

    def bounds(self, e: Elements, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        found = [part.bounds(own, where, ends) for part, own in zip(self._live, e, strict=True)]
        return self._mixture(found, ends)

    def _mixture(self, found: list[Bounds], ends: Ends) -> Bounds:
        lower, upper = [f.lower for f in found], [f.upper for f in found]
        return Bounds.of(ends, lambda: self._mixed(lower), lambda: self._mixed(upper))

    def _mixed(self, values: list[Tensor]) -> Tensor:
        if len(values) == 1:
            return values[0]
        self._check()
        share = self.weight.clamp(0, 1) if isinstance(self.weight, Tensor) else self.weight
        return share * values[0] + (1 - share) * values[1]

    def planes(self, e: Elements) -> tuple[Rows, Tensor] | None:
        found = [part.planes(own) for part, own in zip(self._live, e, strict=True)]
        known = [planes for planes in found if planes is not None]
        if len(known) < len(found):
            return None
        data = self._mixed(list(torch.broadcast_tensors(*(rows.data for rows, _ in known))))
        return Rows.of(data), self._mixed([constants for _, constants in known])

    def _text(self) -> str:
        return f"mix({self.first}, {self.second}, weight={float(self.weight)!r})"
