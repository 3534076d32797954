"""Domains, and what their operators make of them: a guided domain, and the meet of several."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import reduce
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from absdomain.domain.abstraction import Abstraction, Decision, E
from absdomain.domain.traits import Traits
from absdomain.kinds import Affine, Nonlinear
from absdomain.linear import Bounds, Ends, Rows
from absdomain.region import Region


class Domain(Abstraction[E]):
    """An abstraction that combines with others. Derive yours from it.

    A domain is a small frozen value (a frozen dataclass); its options are the constructor's keyword arguments.
    """

    _name: ClassVar[str] = ""  # in the text form, where it is not the class's name in small letters

    def __init_subclass__(cls, **given: Any) -> None:
        """The text form is a domain's repr, too: a dataclass would write one of its own, were there none here."""
        super().__init_subclass__(**given)
        cls.__repr__ = Domain.__repr__  # type: ignore[method-assign, misc]

    @final
    def __and__(self, other: AnyDomain) -> Meet:
        """The reduced product: both, each relaxing over the boxes on which they agree."""
        return Meet(self, other)

    @final
    def guided(self, *, by: AnyDomain) -> Guided:
        """This domain, relaxing over the boxes of `by` instead of its own."""
        return Guided(self, by)

    @final
    def __str__(self) -> str:
        """The text form, which `absdomain.parse` reads back."""
        return self._text()

    @final
    def __repr__(self) -> str:
        """The text form, as a notebook shows it."""
        return self._text()

    def _carried(self, e: E, domain: AnyDomain) -> Any | None:
        """The element that e carries and that `domain` alone would have made as well; None: it carries none."""
        return e if self == domain else None

    def _text(self) -> str:
        """The name, and the options that differ from the defaults."""
        declared = fields(self) if hasattr(type(self), "__dataclass_fields__") else ()  # type: ignore[arg-type]
        given = [f for f in declared if f.default is MISSING or getattr(self, f.name) != f.default]
        options = ", ".join(f"{f.name}={_literal(getattr(self, f.name))}" for f in given)
        return (self._name or type(self).__name__.lower()) + (f"({options})" if options else "")


AnyDomain = Domain[Any]
Elements = tuple[Any, ...]  # one element per part


class Combinator(Domain[Elements]):
    """A domain made of domains: its element has one element of each part, and all parts relax over the same boxes."""

    @property
    @abstractmethod
    def parts(self) -> tuple[AnyDomain, ...]:
        """The domains of which this one is made."""

    @abstractmethod
    def with_parts(self, *parts: AnyDomain) -> AnyDomain:
        """The same combination of other domains, as many as there are parts."""

    def lift(self, region: Region) -> Elements:
        return self._each(lambda part, _: part.lift(region))

    def affine(self, op: Affine, *args: Elements) -> Elements:
        return self._each(lambda part, place: part.affine(op, *(e[place] for e in args)))

    def relax(self, op: Nonlinear, args: tuple[Elements, ...], boxes: tuple[Bounds, ...] | None) -> Elements:
        boxes = self.boxes(op, args) if boxes is None else boxes
        return self._each(lambda part, place: part.relax(op, tuple(e[place] for e in args), boxes))

    def _each(self, make: Callable[[AnyDomain, int], Any]) -> Elements:
        """An element of every part, made by `make` of the part and its place."""
        return tuple([make(part, place) for place, part in enumerate(self.parts)])


def changed(domain: AnyDomain, change: Callable[[AnyDomain], AnyDomain]) -> AnyDomain:
    """The same expression, with every domain in it that is no combination changed."""
    if isinstance(domain, Combinator):
        return domain.with_parts(*(changed(part, change) for part in domain.parts))
    return change(domain)


@dataclass(frozen=True)
class Guided(Combinator):
    """inner, relaxing over the boxes of `by`: CROWN-IBP is DeepPoly().guided(by=Box()) (Zhang et al. 2020).

    The boxes of `by` need hold the values only if `by` is sound, so the guarantee is the weaker of the two.
    """

    lemma = "guided"
    inner: AnyDomain
    by: AnyDomain

    @property
    def parts(self) -> tuple[AnyDomain, ...]:
        return self.inner, self.by

    def with_parts(self, *parts: AnyDomain) -> Guided:
        return Guided(*parts)

    @property
    def traits(self) -> Traits:
        return Traits.combine(self.inner.traits, self.by.traits, relational=self.inner.traits.relational)

    def boxes(
        self, op: Nonlinear, args: tuple[Elements, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        return self.by.boxes(op, tuple([e[1] for e in args]), asked)

    def bounds(self, e: Elements, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        return self.inner.bounds(e[0], where, ends)

    def planes(self, e: Elements) -> tuple[Rows, Tensor] | None:
        return self.inner.planes(e[0])

    def decide(self, e: Elements, groups: Tensor | None = None) -> Decision:
        return self.inner.decide(e[0], groups)

    def _carried(self, e: Elements, domain: AnyDomain) -> Any | None:
        return e if self == domain else self.by._carried(e[1], domain)

    def _text(self) -> str:
        several = isinstance(self.inner, Meet) and len(self.inner.parts) > 1
        return f"({self.inner}).guided(by={self.by})" if several else f"{self.inner}.guided(by={self.by})"


@dataclass(frozen=True, init=False)
class Meet(Combinator):
    """The intersection of what its parts know, cheapest first: gamma(e_1) and gamma(e_2) and ...; `a & b` makes one.

    Every part relaxes over the boxes on which all agree. A later part is asked only for the entries that the boxes
    known so far leave unsettled (`Nonlinear.settled`). Relational if any part is: the bounds are within that part's.
    """

    lemma = "meet"
    domains: tuple[AnyDomain, ...]

    def __init__(self, *domains: AnyDomain) -> None:
        if not domains:
            raise ValueError("Meet needs at least one domain")
        flat = [part for each in domains for part in (each.parts if isinstance(each, Meet) else (each,))]
        object.__setattr__(self, "domains", tuple(flat))

    @property
    def parts(self) -> tuple[AnyDomain, ...]:
        return self.domains

    def with_parts(self, *parts: AnyDomain) -> Meet:
        return Meet(*parts)

    @property
    def traits(self) -> Traits:
        own = [part.traits for part in self.parts]
        return Traits.combine(*own, relational=any(traits.relational for traits in own))

    def boxes(
        self, op: Nonlinear, args: tuple[Elements, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        owns = list(zip(*args, strict=True))
        known = self.parts[0].boxes(op, owns[0], asked)
        for part, own in zip(self.parts[1:], owns[1:], strict=True):
            left = _unsettled(op, known, asked)
            found = part.boxes(op, own, left)
            wheres = (None,) * len(known) if left is None else left
            known = tuple([_refined(k, f, where) for k, f, where in zip(known, found, wheres, strict=True)])
        return known

    def bounds(self, e: Elements, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        found = [part.bounds(own, where, ends) for part, own in zip(self.parts, e, strict=True)]
        if ends is Ends.BOTH:
            return reduce(Bounds.meet, found)
        lower, upper = [f.lower for f in found], [f.upper for f in found]
        return Bounds.of(ends, lambda: torch.stack(lower).amax(0), lambda: torch.stack(upper).amin(0))

    def planes(self, e: Elements) -> tuple[Rows, Tensor] | None:
        """Those of the first part that has any."""
        found = (part.planes(own) for part, own in zip(self.parts, e, strict=True))
        return next((planes for planes in found if planes is not None), None)

    def decide(self, e: Elements, groups: Tensor | None = None) -> Decision:
        found = [part.decide(own, groups) for part, own in zip(self.parts, e, strict=True)]
        points = next((f.points for f in found if f.points is not None), None)
        limited = [f.expired for f in found if f.expired is not None]
        expired = torch.stack(limited).any(0) if limited else None
        return Decision(torch.stack([f.lower for f in found]).amax(0), points, expired)

    def _text(self) -> str:
        return " & ".join(map(str, self.parts))


def _unsettled(op: Nonlinear, known: tuple[Bounds, ...], asked: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | None:
    """Of the entries that are asked, those over whose known boxes op may be other than affine; None: all entries."""
    settled = op.settled(known)
    if settled is None:
        return asked
    left = tuple([~s for s in settled])
    return left if asked is None else tuple([one & other for one, other in zip(left, asked, strict=True)])


def _refined(known: Bounds, found: Bounds, asked: Tensor | None) -> Bounds:
    """known met with what was found, where it was asked; None: everywhere.

    A part may answer more, for the sake of other samples of the batch; that is not taken, so that no sample's bounds
    depend on its neighbours.
    """
    met = known.meet(found)
    if asked is None:
        return met
    return Bounds(torch.where(asked, met.lower, known.lower), torch.where(asked, met.upper, known.upper))


def _literal(value: object) -> str:
    """Strings as Python writes them, functions by their names; domains and searches have a text form of their own."""
    if isinstance(value, str):
        return repr(value)
    name: str = getattr(value, "__name__", "") or str(value)
    return name
