"""Domains made of domains, and the text form of domain expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from absdomain.domain.domain import Decision, Domain
from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine, Nonlinear, Slot
from absdomain.linear import Bounds, Rows
from absdomain.region import Region

Elements = tuple[Any, ...]  # one element per part
AnyDomain = Domain[Any]


@dataclass(frozen=True)
class Guided(Domain[Elements]):
    """inner, relaxing over the boxes of `by`: CROWN-IBP is DeepPoly().guided(by=Box()) (Zhang et al. 2020).

    The boxes of `by` need hold the values only if `by` is sound, so the guarantee is the weaker of the two.
    """

    lemma = "guided"
    inner: AnyDomain
    by: AnyDomain

    @property
    def relational(self) -> bool:  # type: ignore[override]
        """As the inner domain."""
        return self.inner.relational

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        """Whether both are."""
        return self.inner.differentiable and self.by.differentiable

    @property
    def solved(self) -> bool:  # type: ignore[override]
        """Whether either is."""
        return self.inner.solved or self.by.solved

    @property
    def guarantee(self) -> Guarantee:
        return min(self.inner.guarantee, self.by.guarantee)

    def lift(self, region: Region) -> Elements:
        return self.inner.lift(region), self.by.lift(region)

    def affine(self, op: Affine, *args: Elements) -> Elements:
        return self.inner.affine(op, *(e[0] for e in args)), self.by.affine(op, *(e[1] for e in args))

    def relax(self, op: Nonlinear, args: tuple[Elements, ...], within: tuple[Bounds, ...] | None) -> Elements:
        boxes = within if within is not None else self.boxes(op, args)
        return (
            self.inner.relax(op, tuple(e[0] for e in args), boxes),
            self.by.relax(op, tuple(e[1] for e in args), boxes),
        )

    def boxes(self, op: Nonlinear, args: tuple[Elements, ...]) -> tuple[Bounds, ...]:
        return self.by.boxes(op, tuple(e[1] for e in args))

    def within(self, e: Elements, reader: Slot, where: Tensor | None = None) -> Bounds:
        return self.inner.within(e[0], reader, where)

    def bounds(self, e: Elements, where: Tensor | None = None) -> Bounds:
        return self.inner.bounds(e[0], where)

    def lower(self, e: Elements) -> Tensor:
        return self.inner.lower(e[0])

    def upper(self, e: Elements) -> Tensor:
        return self.inner.upper(e[0])

    def above(self, e: Elements) -> tuple[Rows, Tensor]:
        return self.inner.above(e[0])

    def decide(self, e: Elements) -> Decision:
        return self.inner.decide(e[0])

    def part(self, e: Elements, domain: AnyDomain) -> Any:
        return e if self == domain else self.by.part(e[1], domain)

    def __str__(self) -> str:
        return f"{_atom(self.inner)}.guided(by={self.by})"


@dataclass(frozen=True, init=False)
class Meet(Domain[Elements]):
    """The intersection of what its parts know, cheapest first: gamma(e_1) and gamma(e_2) and ...; `a & b` makes one.

    Every part relaxes over the boxes on which all agree. A later part is asked only for the entries that the boxes
    known so far leave unsettled (`Nonlinear.settled`).
    """

    lemma = "meet"
    parts: tuple[AnyDomain, ...]

    def __init__(self, *parts: AnyDomain) -> None:
        if not parts:
            raise ValueError("Meet needs at least one domain")
        flat = [p for part in parts for p in (part.parts if isinstance(part, Meet) else (part,))]
        object.__setattr__(self, "parts", tuple(flat))

    @property
    def relational(self) -> bool:  # type: ignore[override]
        """Whether any part is."""
        return any(part.relational for part in self.parts)

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        """Whether all parts are."""
        return all(part.differentiable for part in self.parts)

    @property
    def solved(self) -> bool:  # type: ignore[override]
        """Whether any part is."""
        return any(part.solved for part in self.parts)

    @property
    def guarantee(self) -> Guarantee:
        return _weakest(self.parts)

    def lift(self, region: Region) -> Elements:
        return tuple(part.lift(region) for part in self.parts)

    def affine(self, op: Affine, *args: Elements) -> Elements:
        return tuple(part.affine(op, *own) for part, own in zip(self.parts, zip(*args, strict=True), strict=True))

    def relax(self, op: Nonlinear, args: tuple[Elements, ...], within: tuple[Bounds, ...] | None) -> Elements:
        boxes = within if within is not None else self.boxes(op, args)
        return tuple(part.relax(op, own, boxes) for part, own in zip(self.parts, zip(*args, strict=True), strict=True))

    def boxes(self, op: Nonlinear, args: tuple[Elements, ...]) -> tuple[Bounds, ...]:
        owns = list(zip(*args, strict=True))
        known = self.parts[0].boxes(op, owns[0])
        for part, own in zip(self.parts[1:], owns[1:], strict=True):
            settled = op.settled(known)
            if settled is None:
                known = tuple(k.meet(part.within(e, (op, i))) for i, (k, e) in enumerate(zip(known, own, strict=True)))
            else:
                asked = zip(known, own, settled, strict=True)
                known = tuple(_refined(k, part, e, (op, i), ~s) for i, (k, e, s) in enumerate(asked))
        return known

    def within(self, e: Elements, reader: Slot, where: Tensor | None = None) -> Bounds:
        return reduce(Bounds.meet, [p.within(own, reader, where) for p, own in zip(self.parts, e, strict=True)])

    def bounds(self, e: Elements, where: Tensor | None = None) -> Bounds:
        return reduce(Bounds.meet, [part.bounds(own, where) for part, own in zip(self.parts, e, strict=True)])

    def lower(self, e: Elements) -> Tensor:
        return torch.stack([part.lower(own) for part, own in zip(self.parts, e, strict=True)]).amax(0)

    def upper(self, e: Elements) -> Tensor:
        return torch.stack([part.upper(own) for part, own in zip(self.parts, e, strict=True)]).amin(0)

    def above(self, e: Elements) -> tuple[Rows, Tensor]:
        """Those of the first part that is relational."""
        found = next(((part, own) for part, own in zip(self.parts, e, strict=True) if part.relational), None)
        return super().above(e) if found is None else found[0].above(found[1])

    def decide(self, e: Elements) -> Decision:
        found = [part.decide(own) for part, own in zip(self.parts, e, strict=True)]
        points = next((f.points for f in found if f.points is not None), None)
        limited = [f.expired for f in found if f.expired is not None]
        expired = torch.stack(limited).any(0) if limited else None
        return Decision(torch.stack([f.lower for f in found]).amax(0), points, expired)

    def __str__(self) -> str:
        return " & ".join(map(str, self.parts))


@dataclass(frozen=True)
class Mix(Domain[Elements]):
    """weight * first + (1 - weight) * second, of the bounds; a convex mixture of bounds is a bound (Zhang et al. 2020).

    The weight is a number or a 0-dim tensor in [0, 1], which a schedule may change in place: what counts is its value
    when bounds are read, and outside of [0, 1] it is a ValueError (in a compiled graph, the nearer end counts). A part
    of weight 0 is not traced, and where the first part already carries the second (as `deeppoly.guided(by=box)` carries
    `box`), it is traced once.
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
    def relational(self) -> bool:  # type: ignore[override]
        """Whether all parts that count are."""
        return all(part.relational for part in self._live)

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        """Whether all parts that count are."""
        return all(part.differentiable for part in self._live)

    @property
    def solved(self) -> bool:  # type: ignore[override]
        """Whether any part that counts is."""
        return any(part.solved for part in self._live)

    @property
    def guarantee(self) -> Guarantee:
        self._check()
        return _weakest(self._live)

    @property
    def _live(self) -> tuple[AnyDomain, ...]:
        if isinstance(self.weight, Tensor) or 0 < self.weight < 1:
            return self.first, self.second
        return (self.first,) if self.weight == 1 else (self.second,)

    def _with_shared(self, made: list[Any], make: Callable[[AnyDomain, int], Any]) -> Elements:
        """The parts' elements, the second taken out of the first where it is there."""
        for place, part in enumerate(self._live):
            shared = self._live[0].part(made[0], part) if place else None
            made.append(make(part, place) if shared is None else shared)
        return tuple(made)

    def lift(self, region: Region) -> Elements:
        return self._with_shared([], lambda part, _: part.lift(region))

    def affine(self, op: Affine, *args: Elements) -> Elements:
        return self._with_shared([], lambda part, place: part.affine(op, *(e[place] for e in args)))

    def relax(self, op: Nonlinear, args: tuple[Elements, ...], within: tuple[Bounds, ...] | None) -> Elements:
        return self._with_shared([], lambda part, place: part.relax(op, tuple(e[place] for e in args), within))

    def _mixed(self, ends: list[Tensor]) -> Tensor:
        if len(ends) == 1:
            return ends[0]
        self._check()
        share = self.weight.clamp(0, 1) if isinstance(self.weight, Tensor) else self.weight
        return share * ends[0] + (1 - share) * ends[1]

    def bounds(self, e: Elements, where: Tensor | None = None) -> Bounds:
        return self._mixed_bounds([part.bounds(own, where) for part, own in zip(self._live, e, strict=True)])

    def within(self, e: Elements, reader: Slot, where: Tensor | None = None) -> Bounds:
        return self._mixed_bounds([part.within(own, reader, where) for part, own in zip(self._live, e, strict=True)])

    def _mixed_bounds(self, both: list[Bounds]) -> Bounds:
        return Bounds(self._mixed([b.lower for b in both]), self._mixed([b.upper for b in both]))

    def lower(self, e: Elements) -> Tensor:
        return self._mixed([part.lower(own) for part, own in zip(self._live, e, strict=True)])

    def upper(self, e: Elements) -> Tensor:
        return self._mixed([part.upper(own) for part, own in zip(self._live, e, strict=True)])

    def above(self, e: Elements) -> tuple[Rows, Tensor]:
        planes = [part.above(own) for part, own in zip(self._live, e, strict=True)]
        data = self._mixed(list(torch.broadcast_tensors(*(rows.data for rows, _ in planes))))
        return Rows.of(data), self._mixed([constants for _, constants in planes])

    def __str__(self) -> str:
        return f"mix({self.first}, {self.second}, weight={float(self.weight)!r})"


def _weakest(parts: Sequence[AnyDomain]) -> Guarantee:
    weakest = Guarantee.SOUND
    for part in parts:  # a loop: torch.compile does not trace min over a generator
        weakest = min(weakest, part.guarantee)
    return weakest


def _refined(known: Bounds, part: AnyDomain, e: Any, reader: Slot, asked: Tensor) -> Bounds:
    """known met with what `part` knows of e, where asked.

    A part may answer more, for the sake of other samples of the batch; that is not taken, so that no sample's bounds
    depend on its neighbours.
    """
    met = known.meet(part.within(e, reader, asked))
    return Bounds(torch.where(asked, met.lower, known.lower), torch.where(asked, met.upper, known.upper))


def _atom(domain: AnyDomain) -> str:
    """The text of a domain to which `.guided` may be appended."""
    return f"({domain})" if isinstance(domain, Meet) and len(domain.parts) > 1 else str(domain)
