"""Zonotopes: a value that an element stands for, with its noise, is again one after every operation.

A value is M x + b + sum_k e_k ray_k + r for one x of the region, one choice of |e_k| <= 1 and one |r| <= slack, shared
by all activations. The lemma follows such a value through the shipped operations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import torch
from torch import Tensor

from absdomain.domains import zonotope
from absdomain.domains.zonotope import Affinity, Noise, Zonotope
from absdomain.linear import Bounds
from absdomain.ops import Abs, Add, Dense
from absdomain.proofs.kernel.abstract import AnyOp, apart, within
from absdomain.proofs.kernel.exact import assume, prove, prove_zero, real, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.domains import endless
from absdomain.proofs.lemmas.vertices import Below
from absdomain.proofs.lemmas.zonotope_by_hand import ZONOTOPES
from absdomain.region import Interval

Make = Callable[[int | None], Zonotope]


def choices(world: World, count: int) -> Tensor:
    """Any |e_k| <= 1, (count, 1, 1)."""
    e = reals(world, "e", count, 1, 1)
    assume(world, 1 - e, 1 + e)
    return e


def element(world: World, name: str, source: object, entries: list[int], size: int = 1) -> tuple[Affinity, Tensor]:
    """Any element over one input with these symbols of one source, and its M x + b, (1, size)."""
    x = real(world, "x")
    region = Interval(*_around(world, x))
    inputs, constant = reals(world, "M" + name, 1, 1, size), reals(world, "b" + name, 1, size)
    rays = reals(world, "n" + name, len(entries), 1, size)
    noise = Noise(source, torch.tensor(entries).unsqueeze(1), rays)
    slack = reals(world, "slack" + name, 1, size)
    assume(world, slack)
    return Affinity(region, inputs, constant, (noise,), slack), inputs[0] * x + constant


def _around(world: World, x: Tensor) -> tuple[Tensor, Tensor]:
    box = within(world, x)
    return box.lower, box.upper


def slackened(world: World, name: str, e: Affinity) -> Tensor:
    """Any |r| <= slack."""
    assert e.slack is not None
    r = reals(world, "r" + name, *e.slack.shape)
    assume(world, e.slack - r, e.slack + r)
    return r


def reads(domain: Zonotope) -> Check:
    """bounds(e) hold every value of e, at both ends and by each end alone."""

    def check(world: World) -> None:
        e, line = element(world, "", object(), [0])
        value = line + (choices(world, 1) * e.noise[0].rays).sum(0) + slackened(world, "", e)
        for box in (domain.bounds(e), apart(domain.bounds, e)):
            prove(world, value - box.lower, "lower end")
            prove(world, box.upper - value, "upper end")

    return check


def adds(world: World) -> None:
    """The sum of two elements that share symbols, each with one that the other lacks, is exact but for the slack."""
    source = object()
    first, line = element(world, "1", source, [0, 2])
    second, other = element(world, "2", source, [2, 1])
    e = choices(world, 3)
    shared = [(e[torch.tensor(list(entries))] * block.rays).sum(0)
              for entries, block in (((0, 2), first.noise[0]), ((2, 1), second.noise[0]))]  # fmt: skip
    both = Zonotope().affine(Add(), first, second)
    (block,) = both.noise
    names = block.entries[:, 0]
    found = both.inputs[0] * real(world, "x") + both.constant + (e[names] * block.rays).sum(0)
    prove_zero(world, found - (line + other + shared[0] + shared[1]), "the sum")
    assert both.slack is not None and first.slack is not None and second.slack is not None
    prove_zero(world, both.slack - first.slack - second.slack, "its slack")


def maps(world: World) -> None:
    """An affine op maps the value, its symbols and the slack."""
    e, line = element(world, "", object(), [0], 2)
    op = Dense(reals(world, "w", 1, 2), reals(world, "c", 1))
    noise, r = (choices(world, 1) * e.noise[0].rays).sum(0), slackened(world, "", e)
    image = Zonotope().affine(op, e)
    kept = image.inputs[0] * real(world, "x") + image.constant + (choices(world, 1) * image.noise[0].rays).sum(0)
    rest = op(line + noise + r) - kept
    assert image.slack is not None
    prove(world, image.slack - rest, "the slack holds what is left")
    prove(world, image.slack + rest, "on both sides")


def relaxes(symbols: int | None, share: int = 1) -> Check:
    """f of the value is the slope's line, kept exactly, and a rest within the fresh symbol and the slack."""

    def check(world: World) -> None:
        e, line = element(world, "", object(), [0])
        noise = (choices(world, 1) * e.noise[0].rays).sum(0)
        z = line + noise + slackened(world, "", e)
        op = AnyOp(world, z, real(world, "y"))
        with patch.object(zonotope, "_graded", lambda scores: torch.zeros(scores.shape)):  # the order is a preference
            image = Zonotope(symbols=symbols).relax(op, (e,), (within(world, z),))
        own = [block for block in image.noise if block.source is e.noise[0].source]
        fresh = [block for block in image.noise if block.source is not e.noise[0].source]
        kept = image.inputs[0] * real(world, "x") + image.constant
        for block in own:
            kept = kept + (choices(world, 1) * block.rays).sum(0)
        reach = sum((block.rays.abs().sum(0) for block in fresh), start=torch.zeros(1, 1, dtype=torch.float64))
        reach = reach if image.slack is None else reach + image.slack
        prove(world, share * reach - (op.y - kept), "above")
        prove(world, share * reach + (op.y - kept), "below")

    return check


def stays_free(world: World) -> None:
    """An entry of which nothing is known stays one, whichever box it is relaxed over next."""
    region = Interval(torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64))
    boxes = [
        Bounds(torch.tensor([low]).double(), torch.ones(1, 2).double()) for low in ([-torch.inf, 0], [0, -torch.inf])
    ]
    first = Zonotope().relax(Abs(), (Zonotope().lift(region),), (boxes[0],))
    second = Zonotope().relax(Abs(), (first,), (boxes[1],))
    for e, free in ((first, [[True, False]]), (second, [[True, True]])):
        world.check(e.free is not None and e.free.tolist() == free, f"free entries: {e.free}")
    under = Zonotope().relax(Below(), (Zonotope().lift(region),), (boxes[0],))
    for e in (under, Zonotope().affine(Add(), under, Zonotope().lift(region)), Zonotope().affine(Add(), under, under)):
        world.check(e.free is not None and e.free.tolist() == [[True, False]], f"free below, and in sums: {e.free}")


def ordered_ends(world: World) -> None:
    """Ends that rounding has crossed, by as much as a slack below 0 says, give way to each other."""
    point = Interval(torch.ones(1, 1).double(), torch.ones(1, 1).double())
    found = Zonotope().bounds(replace(Zonotope().lift(point), slack=torch.full((1, 1), -0.5).double()))
    world.check((float(found.lower), float(found.upper)) == (0.5, 1.5), f"ends that were crossed: {found}")


HELPERS = ("_hull", "_end", "_least", "_image", "_common", "_matched", "_union", "_first", "_renamed", "_over",
           "_with_fresh", "_reduced")  # fmt: skip

LEMMAS = (
    Lemma(
        "zonotope",
        "a value M x + b + sum_k e_k ray_k + r of an element is, after an affine op, after a sum of branches that "
        "share symbols, and after any nonlinear op whose band encloses, a value of the image for the same x and e_k "
        "and for some fresh |e| <= 1 and |r| <= slack; bounds hold it; dropped symbols go into the slack",
        (Zonotope.lift, Zonotope.affine, Zonotope.relax, Zonotope.boxes, Zonotope.bounds, Zonotope.planes,
         Affinity.spread, *(getattr(zonotope, name) for name in HELPERS)),
        (reads(Zonotope()), adds, maps, relaxes(None), relaxes(0), *ZONOTOPES, endless(Zonotope()), stays_free,
         ordered_ends),
        (Twin("no fresh symbol", relaxes(None, 0),
              {"x": 0, "lx": 0, "ux": 0, "M": 0, "b": 0, "n": 0, "slack": 0, "e": 0, "r": 0, "y": 1, "chord": 0,
               "inf0_": 0, "sup1_": 1}),),
        SYMBOLS,
        "real arithmetic; the lemmas of the op and of the region; one neuron stands for all; which symbols are dropped "
        "is free",
        leaves="which symbols are dropped between equals; the cut of `bounds` into blocks; gradients; bands "
               "narrower than rounding, which count as slack",
    ),
)  # fmt: skip
