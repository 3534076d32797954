"""Domains made of domains: what all parts hold, the combination holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from absdomain.algebra import Guided, Meet, Mix
from absdomain.bounds import Bounds
from absdomain.kinds import Nonlinear
from absdomain.proofs.abstract import AnyDomain, held, unknown_op
from absdomain.proofs.exact import real
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.world import World


def pair(world: World, value: Tensor) -> tuple[AnyDomain, AnyDomain, tuple[Tensor, Tensor]]:
    """Two domains that know any bounds of the value, and its elements."""
    return AnyDomain(world, "first"), AnyDomain(world, "second"), (value, value)


def met(make: Callable[..., Meet] = Meet) -> Check:
    """The meet holds the value, in its bounds, its ends and the boxes for a relaxation."""

    def check(world: World) -> None:
        op, x = unknown_op(world, 1)
        first, second, e = pair(world, x)
        domain = make(first, second)
        held(world, x, domain.bounds(e), "bounds")
        held(world, x, Bounds(domain.lower(e), domain.upper(e)), "ends")
        held(world, x, domain.boxes(op, (e,))[0], "boxes")

    return check


def guided(make: Callable[..., Guided] = Guided) -> Check:
    """A guided domain relaxes over boxes that hold the values, and bounds by the inner domain."""

    def check(world: World) -> None:
        op, x = unknown_op(world, 1)
        inner, by, e = pair(world, x)
        domain = make(inner, by)
        held(world, x, domain.boxes(op, (e,))[0], "boxes")
        held(world, x, domain.bounds(e), "bounds")
        held(world, x, Bounds(domain.lower(e), domain.upper(e)), "ends")

    return check


def mixed(make: Callable[..., Mix] = Mix) -> Check:
    """w lower_1 + (1 - w) lower_2 is a lower bound where both are, for every w in [0, 1]."""

    def check(world: World) -> None:
        x = real(world, "x")
        first, second, e = pair(world, x)
        weight = world.real("w")
        world.assume(weight)
        world.assume(1 - weight)
        world.split(weight - 1)
        domain = make(first, second, world.parameter("w"))
        live = e[: len(domain._live)]
        held(world, x, domain.bounds(live), "bounds")
        held(world, x, Bounds(domain.lower(live), domain.upper(live)), "ends")

    return check


class _Join(Meet):
    def bounds(self, e: Any, where: Tensor | None = None) -> Bounds:
        met = super().bounds(e, where)
        return Bounds(met.lower + met.width.abs(), met.upper)


class _Halved(Guided):
    def boxes(self, op: Nonlinear, args: Any) -> tuple[Bounds, ...]:
        return tuple(Bounds(box.lower, box.centre) for box in super().boxes(op, args))


class _Extrapolated(Mix):
    def _mixed(self, ends: list[Tensor]) -> Tensor:
        return (1 + self.weight) * ends[0] - self.weight * ends[1]


LEMMAS = (
    Lemma(
        "meet",
        "a value that all parts hold lies in the meet's bounds, ends and boxes",
        (Meet.bounds, Meet.lower, Meet.upper, Meet.boxes, Bounds.meet),
        (met(),),
        (Twin("a bound that is tighter than all", met(_Join),
              {"x": 0, "y": 0, "lfirst": 0, "ufirst": 1, "lsecond": 0, "usecond": 1}),),
        SYMBOLS,
        "real arithmetic; the parts' own lemmas",
    ),
    Lemma(
        "guided",
        "the inner domain relaxes over boxes of `by` that hold the values, and its bounds hold them",
        (Guided.boxes, Guided.bounds, Guided.lower, Guided.upper),
        (guided(),),
        (Twin("boxes of half the width", guided(_Halved),
              {"x": 1, "y": 0, "lfirst": 0, "ufirst": 1, "lsecond": 0, "usecond": 1}),),
        SYMBOLS,
        "real arithmetic; the parts' own lemmas",
    ),
    Lemma(
        "mix",
        "a convex mixture of lower bounds is a lower bound, and of upper bounds an upper bound",
        (Mix.bounds, Mix.lower, Mix.upper),
        (mixed(),),
        (Twin("a weight outside [0, 1]", mixed(_Extrapolated),
              {"x": 0, "w": "1/2", "lfirst": 0, "ufirst": 0, "lsecond": -1, "usecond": 0}),),
        SYMBOLS,
        "real arithmetic; the parts' own lemmas",
    ),
)  # fmt: skip
