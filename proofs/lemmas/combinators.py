"""Domains made of domains: what all parts hold, the combination holds, and each part is given what is its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from absdomain.domain import Combinator, Decision, Domain, Guided, Meet, Mix, Traits
from absdomain.domain import domain as combinators
from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine, Nonlinear
from absdomain.linear import Bounds, Ends, Rows
from absdomain.ops import Add
from absdomain.proofs.kernel.abstract import AnyDomain, AnyOp, apart, held, unknown_op
from absdomain.proofs.kernel.exact import prove, prove_zero, real, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, TERMS, Check, Lemma, Twin
from absdomain.proofs.lemmas.domains import point
from absdomain.region import Region

GROUPS = torch.tensor([0, 0])


@dataclass(frozen=True, eq=False)
class Part(AnyDomain):
    """A domain whose elements are terms: its name, and what made them. All of them hold one value."""

    value: Tensor
    found: Decision | None = None

    def lift(self, region: Region) -> Any:
        return (self.name, region)

    def affine(self, op: Affine, *args: Any) -> Any:
        return (self.name, op, *args)

    def relax(self, op: Nonlinear, args: tuple[Any, ...], boxes: tuple[Bounds, ...] | None) -> Any:
        return (self.name, op, args, boxes)

    def bounds(self, e: Any, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        assert e[0] == self.name
        return super().bounds(self.value, where)

    def decide(self, e: Any, groups: Tensor | None = None) -> Decision:
        assert e[0] == self.name and self.found is not None and groups is GROUPS
        return self.found


def _only(x: Tensor) -> list[Any]:
    return list(x.entries.reshape(-1))  # type: ignore[attr-defined]


@dataclass(frozen=True, eq=False)
class Planar(Part):
    """One that gives planes, and keeps relations."""

    traits = Traits(relational=True)

    def planes(self, e: Any) -> tuple[Rows, Tensor]:
        """Any plane above the value at the input z."""
        assert e[0] == self.name
        c, d = reals(self.world, "c" + self.name, 1, 1, 1), reals(self.world, "d" + self.name, 1, 1)
        self.world.assume(*_only(c[0] * real(self.world, "z") + d - self.value))
        return Rows.of(c), d


class HalfSettled(AnyOp):
    """An op that is affine over the box of its first entry."""

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        return (Bounds(torch.tensor([[0.5, 0.0]]), torch.tensor([[0.5, 1.0]])),)


def pair(world: World, value: Tensor, make: type[Part] = Part) -> tuple[Part, Part, tuple[Any, Any]]:
    """Two domains that know any bounds of the value, and its elements."""
    first, second = make(world, "first", value), make(world, "second", value)
    return first, second, (("first",), ("second",))


def same(world: World, found: Bounds, lower: Tensor, upper: Tensor, what: str) -> None:
    """The bounds are these."""
    prove_zero(world, found.lower - lower, f"{what}: lower end")
    prove_zero(world, found.upper - upper, f"{what}: upper end")


def each_its_own(world: World, domain: Domain[Any], names: tuple[str, ...], e: tuple[Any, ...], op: AnyOp) -> Any:
    """Every part makes its element of its own elements, in their order, by the same op; gives the relaxed one."""
    region = point(world)
    world.check(domain.lift(region) == tuple((name, region) for name in names), "lift")
    add, other = Add(), tuple((name, "other") for name in names)
    image = domain.affine(add, e, other)
    world.check(image == tuple((name, add, a, b) for name, a, b in zip(names, e, other, strict=True)), "affine")
    given = (Bounds(op.x, op.x),)
    relaxed = domain.relax(op, (e,), given)
    world.check(len(relaxed) == len(names), "an element for each part")
    for part, name, own in zip(relaxed, names, e, strict=True):
        world.check(part[:3] == (name, op, (own,)) and part[3] is given, f"relax: {name} over the given boxes")
    return domain.relax(op, (e,), None)


def met(make: Callable[..., Meet] = Meet) -> Check:
    """The meet holds the value, in its bounds, its ends and the boxes for a relaxation, and is the tightest of all."""

    def check(world: World) -> None:
        op, x = unknown_op(world, 1)
        first, second, e = pair(world, x)
        domain = make(first, second)
        a, b = (part.bounds(own) for part, own in zip((first, second), e, strict=True))
        ends = torch.maximum(a.lower, b.lower), torch.minimum(a.upper, b.upper)
        for what, found in (
            ("bounds", domain.bounds(e)), ("ends", apart(domain.bounds, e)),
            ("boxes", domain.boxes(op, (e,))[0]), ("boxes that are asked", domain.boxes(op, (e,), all_of(x))[0]),
        ):  # fmt: skip
            held(world, x, found, what)
            same(world, found, *ends, what)
        relaxed = each_its_own(world, domain, ("first", "second"), e, op)
        for part in relaxed:
            same(world, part[3][0], *ends, "relax: over its own boxes")

    return check


def asked_where_unsettled(world: World) -> None:
    """A settled entry keeps the first part's box; the others have all that is known, and nothing that is not asked."""
    op, x = unknown_op(world, 2, HalfSettled)
    first, second, e = pair(world, x)
    box, (a, b) = (
        Meet(first, second).boxes(op, (e,))[0],
        (p.bounds(own) for p, own in zip((first, second), e, strict=True)),
    )
    held(world, x, box, "boxes")
    settled = torch.tensor([[True, False]])
    lower, upper = torch.maximum(a.lower, b.lower), torch.minimum(a.upper, b.upper)
    same(world, box, torch.where(settled, a.lower, lower), torch.where(settled, a.upper, upper), "boxes")
    known = Bounds(a.lower, a.upper)  # an answer to more than was asked is not taken
    ready = combinators._refined(known, b, ~settled)
    same(world, ready, torch.where(settled, a.lower, lower), torch.where(settled, a.upper, upper), "refined")
    for asked, left in (
        (None, [[False, True]]),
        ([[True, True]], [[False, True]]),
        ([[True, False]], [[False, False]]),
    ):
        given = None if asked is None else (torch.tensor(asked),)
        (found,) = combinators._unsettled(op, (known,), given) or ()
        world.check(found.tolist() == left, f"of {asked} {left} are left")
    plain = AnyOp(world, x, x)  # it does not say where it is settled
    world.check(combinators._unsettled(plain, (known,), None) is None, "all are left")
    world.check(combinators._unsettled(plain, (known,), (settled,)) == (settled,), "what is asked is left")


def all_of(x: Tensor) -> tuple[Tensor, ...]:
    """Every entry is asked."""
    return (torch.ones(tuple(x.shape), dtype=torch.bool),)


@dataclass(frozen=True, eq=False)
class Between(Part):
    """One that knows these ends."""

    low: float = 0.0
    high: float = 0.0

    def bounds(self, e: Any, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        return Bounds(torch.full((1, 1), self.low), torch.full((1, 1), self.high))


def crossed(world: World) -> None:
    """Ends that rounding has crossed give way to each other; asked alone, an end is the tightest of all."""
    x = torch.zeros(1, 1)
    domain = Meet(Between(world, "first", x, None, 0.0, 1.0), Between(world, "second", x, None, 1.5, 2.0))
    e = ("first",), ("second",)
    for found, ends in ((domain.bounds(e), (1.0, 1.5)), (apart(domain.bounds, e), (1.5, 1.0))):
        world.check((float(found.lower), float(found.upper)) == ends, f"[0, 1] and [1.5, 2]: {found}")


def decided(world: World) -> None:
    """A decision has the largest lower bounds, the first points that were found, and whether any part ran out."""
    low, high = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 3.0]])
    points, late = (torch.tensor([[5.0]]), torch.tensor([[6.0]])), (torch.tensor([True]), torch.tensor([False]))
    x = torch.zeros(1, 1)
    for one, other, wanted in (
        (Decision(low, None, None), Decision(high, None, None), (None, None)),
        (Decision(low, None, late[1]), Decision(high, points[1], None), (points[1], False)),
        (Decision(low, points[0], late[1]), Decision(high, points[1], late[0]), (points[0], True)),
    ):
        parts = Part(world, "first", x, one), Part(world, "second", x, other)
        found = Meet(*parts).decide((("first",), ("second",)), GROUPS)
        world.check(torch.equal(found.lower, torch.maximum(low, high)), f"decide: {found.lower}")
        world.check(found.points is wanted[0], f"decide: the points {found.points}")
        expired = None if found.expired is None else bool(found.expired)
        world.check(expired is wanted[1], f"decide: expired is {found.expired}")
        for own, part in ((one, 0), (other, 1)):
            guided = Guided(parts[part], parts[1 - part]).decide(((parts[part].name,), (parts[1 - part].name,)), GROUPS)
            world.check(guided is own, "a guided domain decides as the inner one")


def planes(make: Callable[[World, Part, Part], Domain[Any]]) -> Check:
    """The planes lie above the value."""

    def check(world: World) -> None:
        x, z = real(world, "x"), real(world, "z")
        first, second, e = pair(world, x, Planar)
        domain = make(world, first, second)
        found = domain.planes(e)
        assert found is not None
        rows, constant = found
        prove(world, rows.data[0] * z + constant - x, "above")

    return check


def of_the_relational(world: World) -> None:
    """The planes of a meet are those of its first part that has any; of a guided domain, the inner one's."""
    x = real(world, "x")
    blunt, sharp, e = Part(world, "first", x), Planar(world, "second", x), (("first",), ("second",))
    own = sharp.planes(e[1])
    for domain, given in ((Meet(blunt, sharp), e), (Guided(sharp, blunt), e[::-1]), (Meet(sharp, blunt), e[::-1])):
        found = domain.planes(given)
        assert found is not None
        rows, constant = found
        prove_zero(world, rows.data - own[0].data, f"{type(domain).__name__}: rows")
        prove_zero(world, constant - own[1], f"{type(domain).__name__}: constants")


def guided(make: Callable[..., Guided] = Guided) -> Check:
    """A guided domain relaxes over the boxes of `by`, which hold the values, and bounds by the inner domain."""

    def check(world: World) -> None:
        op, x = unknown_op(world, 1)
        inner, by, e = pair(world, x)
        domain, guide, own = make(inner, by), by.bounds(e[1]), inner.bounds(e[0])
        held(world, x, domain.boxes(op, (e,))[0], "boxes")
        same(world, domain.boxes(op, (e,))[0], guide.lower, guide.upper, "boxes")
        same(world, domain.boxes(op, (e,), all_of(x))[0], guide.lower, guide.upper, "boxes that are asked")
        for found in (domain.bounds(e), apart(domain.bounds, e)):
            held(world, x, found, "bounds")
            same(world, found, own.lower, own.upper, "bounds")
        for part in each_its_own(world, domain, ("first", "second"), e, op):
            same(world, part[3][0], guide.lower, guide.upper, "relax: over the boxes of `by`")

    return check


def mixed(make: Callable[..., Mix] = Mix, weight: float | None = None) -> Check:
    """w lower_1 + (1 - w) lower_2 is a lower bound where both are, for w in (0, 1); a part of weight 0 is left."""

    def check(world: World) -> None:
        op, x = unknown_op(world, 1)
        first, second, e = pair(world, x)
        share = inner_weight(world) if weight is None else weight
        domain = make(first, second, share)
        kept: tuple[Any, ...] = domain._live
        live = tuple((part.name,) for part in kept)
        counted = (first, second) if weight is None else (first,) if weight else (second,)
        world.check(kept == counted, "which parts count")
        a, b = (part.bounds(own) for part, own in zip((first, second), e, strict=True))
        ends = share * a.lower + (1 - share) * b.lower, share * a.upper + (1 - share) * b.upper
        for what, found in (
            ("bounds", domain.bounds(live)), ("ends", apart(domain.bounds, live)),
            ("boxes", domain.boxes(op, (live,))[0]), ("asked", domain.boxes(op, (live,), all_of(x))[0]),
        ):  # fmt: skip
            held(world, x, found, what)
            same(world, found, *ends, what)
        each_its_own(world, domain, tuple(part.name for part in kept), live, op)

    return check


def shared(world: World) -> None:
    """Where the first part carries the second, one element serves both."""
    op, x = unknown_op(world, 1)
    first, second, _ = pair(world, x)
    domain = Mix(Guided(first, second), second)
    region = point(world)
    for made in (domain.lift(region), domain.affine(Add(), ((("first",), ("second",)), ("other",)))):
        world.check(len(made) == 2 and made[1] is made[0][1], "the second element is the first one's own")
    box = (Bounds(x, x),)
    made = domain.relax(op, (((("first",), ("second",)), ("other",)),), box)
    world.check(made[1] is made[0][1] and made[1][3] is box, "relax: one element for both")


class _Join(Meet):
    def bounds(self, e: Any, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        met = super().bounds(e, where)
        return Bounds(met.lower + met.width.abs(), met.upper)


class _Halved(Guided):
    def boxes(self, op: Nonlinear, args: Any, asked: tuple[Tensor, ...] | None = None) -> tuple[Bounds, ...]:
        return tuple(Bounds(box.lower, box.centre) for box in super().boxes(op, args, asked))


class _Extrapolated(Mix):
    def _mixed(self, ends: list[Tensor]) -> Tensor:
        return (1 + self.weight) * ends[0] - self.weight * ends[1]


def inner_weight(world: World) -> float:
    """Any w with 0 < w < 1."""
    w = world.real("w")
    world.assume(w, strict=True)
    world.assume(1 - w, strict=True)
    return world.parameter("w")


def tensor_weight(world: World) -> None:
    """A weight that is a tensor may be moved, so that both parts are kept; beyond an end that end counts."""
    first, second, _ = pair(world, real(world, "x"))
    for weight in (0.0, 0.5, 1.0):
        world.check(Mix(first, second, torch.tensor(weight))._live == (first, second), f"both parts at {weight}")
    low, high = torch.tensor([1.0]), torch.tensor([3.0])
    domain = Mix(first, second, torch.tensor(0.5))
    for weight, mean in ((0.0, 3.0), (0.25, 2.5), (1.0, 1.0), (1.5, 1.0), (-0.5, 3.0)):
        domain.weight.fill_(weight)  # type: ignore[union-attr]
        with patch.object(torch.compiler, "is_compiling", lambda: True):  # where no value is looked at
            world.check(domain._mixed([low, high]).tolist() == [mean], f"the mean at {weight}")


def no_planes(world: World) -> None:
    """A meet of which no part has planes has none, and a mixture of which one has none."""
    x = real(world, "x")
    first, second, e = pair(world, x)
    world.check(Meet(first, second).planes(e) is None, "planes of domains that have none")
    world.check(Guided(first, second).planes(e) is None, "planes of an inner domain that has none")
    world.check(Mix(Planar(world, "first", x), second).planes(e) is None, "planes of one part alone")


def traits(world: World) -> None:
    """What a combination promises is what all parts do; a meet is relational if a part is, a mixture if all are."""
    weak, strong = Traits(Guarantee.STATISTICAL, solved=True), Traits(relational=True, monotone=True)
    blind = Traits(differentiable=False)
    for one, other, guarantee, differentiable, solved in (
        (weak, strong, Guarantee.STATISTICAL, True, True), (strong, blind, Guarantee.SOUND, False, False),
        (blind, weak, Guarantee.STATISTICAL, False, True), (strong, strong, Guarantee.SOUND, True, False),
    ):  # fmt: skip
        first, second = Promising(world, "first", one), Promising(world, "second", other)
        for domain, relational in (
            (Meet(first, second), one.relational or other.relational), (Guided(first, second), one.relational),
            (Mix(first, second), one.relational and other.relational), (Mix(first, second, 1.0), None),
        ):  # fmt: skip
            want = Traits(guarantee, bool(relational), False, differentiable, solved)
            world.check(domain.traits == (replace(one, monotone=False) if relational is None else want), f"{domain!r}")


@dataclass(frozen=True, eq=False)
class Promising(AnyDomain):
    """One of these traits."""

    own: Traits

    @property
    def traits(self) -> Traits:
        return self.own


HOOKS = ("traits", "lift", "affine", "relax", "boxes", "bounds", "planes", "decide")
LEMMAS = (
    Lemma(
        "meet",
        "a value that all parts hold lies in the meet's bounds, ends and boxes, which are the tightest of the parts'; "
        "each part relaxes its own element over the boxes on which all agree; a decision has the best lower bounds",
        (*(getattr(Meet, name) for name in HOOKS), Combinator._each, Traits.combine, combinators._unsettled,
         combinators._refined, Bounds.meet),
        (met(), asked_where_unsettled, crossed, decided, of_the_relational, no_planes, traits,
         planes(lambda world, a, b: Meet(a, b))),
        (Twin("a bound that is tighter than all", met(_Join),
              {"x": 0, "y": 0, "lfirst": 0, "ufirst": 1, "lsecond": 0, "usecond": 1}),),
        f"{SYMBOLS}; {TERMS}",
        "real arithmetic; the parts' own lemmas",
        leaves="gradients; that parts are ordered by cost",
    ),
    Lemma(
        "guided",
        "the inner domain relaxes over boxes of `by` that hold the values, and its bounds hold them",
        tuple(getattr(Guided, name) for name in HOOKS),
        (guided(), decided, of_the_relational, no_planes, traits),
        (Twin("boxes of half the width", guided(_Halved),
              {"x": 1, "y": 0, "lfirst": 0, "ufirst": 1, "lsecond": 0, "usecond": 1}),),
        f"{SYMBOLS}; {TERMS}",
        "real arithmetic; the parts' own lemmas",
        leaves="gradients",
    ),
    Lemma(
        "mix",
        "a convex mixture of lower bounds is a lower bound, of upper bounds an upper bound, and of planes above one "
        "above; each part makes its own element, or shares that which the first carries",
        (*(getattr(Mix, name) for name in HOOKS if name != "decide"), Mix._mixed, Mix._mixture, Mix._live, Mix._each,
         Guided._carried, Domain._carried),
        (mixed(), mixed(weight=1.0), mixed(weight=0.0), shared, tensor_weight, no_planes, traits,
         planes(lambda world, a, b: Mix(a, b, inner_weight(world)))),
        (Twin("a weight outside [0, 1]", mixed(_Extrapolated),
              {"x": 0, "y": 0, "w": "1/2", "lfirst": 0, "ufirst": 0, "lsecond": -1, "usecond": 0}),),
        f"{SYMBOLS}; {TERMS}",
        "real arithmetic; the parts' own lemmas",
        leaves="weights that are moved outside [0, 1] afterwards; gradients",
    ),
)  # fmt: skip
