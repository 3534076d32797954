"""SingleProp's half-width: its equations for ReLU, and what holds of it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from absdomain.domains import symbolic_gap
from absdomain.domains.symbolic_gap import Gap, SymbolicGap
from absdomain.kinds import Line
from absdomain.linear import Bounds
from absdomain.ops import Dense, ReLU
from absdomain.proofs.kernel.abstract import AnyOp
from absdomain.proofs.kernel.exact import assume, number, numbers, prove, prove_zero, real, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.domains import Free, given, unknown
from absdomain.region import Linf
from absdomain.relations.slopes import Rule, parallel, zero


def half_width(rule: Rule, z: Tensor, v: Tensor) -> Tensor:
    """The shipped v' for ReLU."""
    return SymbolicGap(slopes=rule).relax(ReLU(), (Gap(z, v),), None).v


def gap(world: World, v: str = "v") -> tuple[Tensor, Tensor]:
    """Any z and v >= 0, in every case of the signs of z - v and z + v."""
    z, width = real(world, "z"), real(world, v)
    assume(world, width)
    world.split(*numbers(z - width), *numbers(z + width))
    return z, width


def equation_6(world: World) -> None:
    """v' is half the way from the lower line's least to the upper line's greatest value over [z - v, z + v]."""
    z, v = reals(world, "z", 1, 1), reals(world, "v", 1, 1)
    assume(world, v)
    op = AnyOp(world, z, reals(world, "y", 1, 1))
    found = SymbolicGap(slopes=unknown).relax(op, (Gap(z, v),), None)
    (a,), (s,) = unknown(op, SymbolicGap().boxes(op, (Gap(z, v),)))
    low = a * z - a.abs() * v + op.inf((a,), ())
    high = s * z + s.abs() * v + op.sup((s,), ())
    prove_zero(world, 2 * found.v - (high - low), "eq. (6)")
    prove_zero(world, found.z - op.y, "the nominal value goes its own way")


def equation_6_of_two(world: World) -> None:
    """The same for an op of two arguments, with boxes that are given, and for lines through the origin."""
    x, y = Bounds(torch.tensor([[-1.0]]), torch.tensor([[3.0]])), Bounds(torch.tensor([[0.5]]), torch.tensor([[1.5]]))
    below, above = (torch.tensor([[0.75]]), torch.tensor([[-0.5]])), (torch.tensor([[1.25]]), torch.tensor([[2.0]]))
    gaps = (Gap(torch.tensor([[5.0]]), torch.tensor([[7.0]])), Gap(torch.tensor([[-4.0]]), torch.tensor([[9.0]])))
    for slopes in ((below, above), (below, below), (below, (below[0], above[1]))):
        lines = Free().lines(*slopes, (x, y))
        found = SymbolicGap(slopes=partial(given, *slopes)).relax(Free(), gaps, (x, y))
        ends = []
        for line, sign in zip(lines, (-1, 1), strict=True):
            assert line.intercept is not None
            reach = sum(
                float(s * b.centre + sign * s.abs() * b.radius) for s, b in zip(line.slopes, (x, y), strict=True)
            )
            ends.append(reach + float(line.intercept))
        world.check(abs(2 * float(found.v) - (ends[1] - ends[0])) < 1e-6, f"eq. (6) of two: {found.v}, {ends}")
        world.check(float(found.z) == -20.0, "the nominal value goes its own way")
        inside = SymbolicGap(slopes=partial(given, *slopes)).relax(Free(), gaps, None)
        world.check(float(inside.v) > float(found.v), "without boxes, over the gaps' own")
    mid = (torch.tensor([[0.5]]),)
    plain = symbolic_gap._half_range(ReLU(), Line(mid, None), Line(mid, None), [(mid[0], 4 * mid[0])])
    world.check(float(plain) == 1.0, "lines through the origin")


def bounds_are_the_gap(world: World) -> None:
    """Bounds are z - v and z + v."""
    z, v = gap(world)
    found = SymbolicGap().bounds(Gap(z, v))
    prove_zero(world, found.lower - z + v, "lower end")
    prove_zero(world, found.upper - z - v, "upper end")


def clipped_centre(world: World) -> None:
    """Around a centre that is not the middle v reaches to the further end; a plain op of a level line is its image."""
    found = SymbolicGap().lift(Linf(torch.tensor([[0.25, 0.75]]), 0.5, clip=(0.0, 1.0)))
    world.check(found.v.tolist() == [[0.5, 0.5]] and found.z.tolist() == [[0.25, 0.75]], f"{found}")


def equation_7(world: World) -> None:
    """FastLin: v - (v - z)^2 / (4 v) between the stable cases."""
    z, v = gap(world)
    assume(world, z + v, v - z, v, strict=True)
    world.assume(number(2 * v) - world.constant(1e-8))
    found = half_width(parallel, z, v)
    prove_zero(world, 4 * v * (found - v) + (v - z) * (v - z), "eq. (7)")


def equation_8(size: Tensor | None = None) -> Check:
    """Zero: (relu(z + v) - relu(z - v)) / 2, which is the radius of ReLU's image: IBP's."""

    def check(world: World) -> None:
        z, v = gap(world)
        found = half_width(zero, z, v)
        prove_zero(world, 2 * found - ((z + v).relu() - (z - v).relu()), "eq. (8)")
        image = ReLU().image(SymbolicGap().boxes(ReLU(), (Gap(z, v),)))
        prove_zero(world, found - image.radius, "the radius of the image")

    return check


def ordered(sign: int = 1) -> Check:
    """Zero <= FastLin <= the sound rule (v if z >= 0, relu(z + v) otherwise)."""

    def check(world: World) -> None:
        z, v = gap(world)
        world.split(*numbers(z))
        sound = v if bool((z >= 0).all()) else (z + v).relu()
        fast = half_width(parallel, z, v)
        prove(world, sign * (fast - half_width(zero, z, v)), "Zero <= FastLin")
        prove(world, sign * (sound - fast), "FastLin <= the sound rule")

    return check


def stable_cases_agree(world: World) -> None:
    """Where no neuron is unstable, Zero and FastLin are equal, and v or 0."""
    z, v = gap(world)
    if bool(((z - v >= 0) | (z + v <= 0)).all()):
        prove_zero(world, half_width(zero, z, v) - half_width(parallel, z, v), "stable")


def grows(world: World) -> None:
    """v' grows with v, by at most as much, and is 0 at v = 0, for Zero."""
    z, v = gap(world)
    wider = real(world, "wider")
    assume(world, wider - v)
    world.split(*numbers(z - wider), *numbers(z + wider))
    growth = half_width(zero, z, wider) - half_width(zero, z, v)
    prove(world, growth, "nondecreasing in v")
    prove(world, wider - v - growth, "by at most as much")
    prove_zero(world, half_width(zero, z, v * 0), "0 at v = 0")


def first_layer(world: World) -> None:
    """Through the first affine op z and v are the centre and the radius of the exact interval."""
    centre, radius = reals(world, "m", 1, 2), reals(world, "r", 1, 2)
    assume(world, radius)
    op, domain, region = Dense(reals(world, "w", 1, 2), reals(world, "b", 1)), SymbolicGap(), Linf(centre, radius)
    found, box = domain.affine(op, domain.lift(region)), op.image(region.box())
    prove_zero(world, found.z - box.centre, "centre")
    prove_zero(world, found.v - box.radius, "radius")


def contains(rule: Rule) -> Check:
    """The twin: the gap holds every value of ReLU over [z - v, z + v]."""

    def check(world: World) -> None:
        z, v = gap(world)
        found = SymbolicGap(slopes=rule).relax(ReLU(), (Gap(z, v),), None)
        prove(world, found.z + found.v - (z + v).relu(), "holds the upper end")

    return check


LEMMAS = (
    Lemma(
        "symbolic_gap",
        "v' is half the distance of eq. (6) for every op and rule; for ReLU that is eq. (7) with parallel and "
        "eq. (8) with zero slopes, the latter the radius of the image; the first layer's v is the exact radius; "
        "Zero = FastLin where no neuron is unstable; Zero <= FastLin <= the sound rule; v' grows with v, by at most as "
        "much, from 0. It does not enclose: that is its twin",
        (
            SymbolicGap.lift,
            SymbolicGap.affine,
            SymbolicGap.relax,
            SymbolicGap.bounds,
            symbolic_gap._half_range,
            parallel,
        ),
        (
            equation_6,
            equation_6_of_two,
            bounds_are_the_gap,
            equation_7,
            equation_8(),
            ordered(),
            stable_cases_agree,
            grows,
            first_layer,
            clipped_centre,
        ),
        (
            Twin("Zero encloses", contains(zero), {"z": 1, "v": 2}),
            Twin("FastLin encloses", contains(parallel), {"z": 1, "v": 2}),
            Twin("FastLin <= Zero", ordered(-1), {"z": 1, "v": 2}),
        ),
        SYMBOLS,
        "real arithmetic; unclipped box; eq. (7) for 2 v >= 1e-8, below which the chord is damped",
        leaves="soundness, which it has not; policies other than zero and parallel for ReLU",
    ),
)
