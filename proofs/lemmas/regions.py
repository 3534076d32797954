"""The support function of every region, which all bounds end in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor

from absdomain.linear import Bounds, Rows
from absdomain.ops import Dense, Scale
from absdomain.proofs.kernel.exact import assume, number, numbers, prove, prove_zero, real, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Lemma, Twin
from absdomain.proofs.lemmas.windows import numbers as dyadic
from absdomain.region import L1, L2, Clipped, Interval, Linf, Region, balls
from absdomain.region import clipped as clipped_balls

Make = Callable[[World], tuple[Region, Tensor]]  # a region and any point of it


def interval(world: World) -> tuple[Region, Tensor]:
    """{ x : lower <= x <= upper }."""
    x, lower, upper = (reals(world, name, 1, 2) for name in ("x", "l", "u"))
    assume(world, x - lower, upper - x)
    return Interval(lower, upper), x


def linf(world: World) -> tuple[Region, Tensor]:
    """{ x : |x - centre| <= radius }, a radius for each axis."""
    x, centre, radius = (reals(world, name, 1, 2) for name in ("x", "m", "r"))
    assume(world, radius, radius - (x - centre).abs())
    return Linf(centre, radius), x


def clipped(world: World) -> tuple[Region, Tensor]:
    """{ x : |x - centre| <= radius, low <= x <= high } around a centre that the clip keeps; one axis."""
    x, centre, radius, low, high = (real(world, name) for name in ("x", "m", "r", "low", "high"))
    assume(world, radius, radius - (x - centre).abs(), centre - low, high - centre, x - low, high - x)
    world.split(number(centre - radius - low), number(high - centre - radius))
    return Linf(centre, radius, clip=(world.encoded(number(low)), world.encoded(number(high)))), x


def l1(world: World) -> tuple[Region, Tensor]:
    """{ centre + radius d : |d|_1 <= 1 }."""
    d, centre, radius = reals(world, "d", 1, 2), reals(world, "m", 1, 2), real(world, "r")
    assume(world, radius, 1 - d.abs().sum(1))
    return L1(centre, radius), centre + radius * d


def l2(world: World) -> tuple[Region, Tensor]:
    """{ centre + radius d : |d|_2 <= 1 }."""
    d, centre, radius = reals(world, "d", 1, 2), reals(world, "m", 1, 2), real(world, "r")
    assume(world, radius, 1 - (d * d).sum(1))
    (c0, c1), (d0, d1) = numbers(radius * reals(world, "c", 1, 1, 2)[0]), numbers(d)
    for p in (c0, c1, c0 * d1 - c1 * d0):  # Lagrange's identity: <c, d>^2 = |c|^2 |d|^2 - (c0 d1 - c1 d0)^2
        world.square(p)
    for p in (d0, d1):
        world.square(p)
    for p in (d0, d1):
        world.derive(1 - p, "an entry of d is at most 1")
        world.derive(1 + p, "an entry of d is at least -1")
    return L2(centre, radius), centre + radius * d


def supported(make: Make, sign: int = 1) -> Callable[[World], None]:
    """minimum(c) <= <c, x> and box().lower <= x <= box().upper."""

    def check(world: World) -> None:
        region, x = make(world)
        c = reals(world, "c", 1, 1, x.shape[1])
        box = region.box()
        prove(world, (c[0] * x).sum(1) - sign * region.minimum(Rows.of(c)), "minimum")
        prove(world, x - box.lower, "box, lower end")
        prove(world, box.upper - x, "box, upper end")

    return check


def hulled(make: Make) -> Callable[[World], None]:
    """The hull of a dense op is the minimum of its rows, and so encloses."""

    def check(world: World) -> None:
        region, _ = make(world)
        op = Dense(reals(world, "w", 1, 2), reals(world, "b", 1))
        found = region.image(op).box()
        (rows,), constant = op.pull(Rows.units(torch.tensor([0]), (1,), region.centre), (2,))
        assert constant is not None
        lower = region.minimum(rows) + constant
        upper = -region.minimum(rows.negated()) + constant
        prove_zero(world, found.lower - lower, "hull, lower end")
        prove_zero(world, found.upper - upper, "hull, upper end")

    return check


def attained(world: World) -> None:
    """minimum(c) is <c, x> at argmin(c), a point of the region; and the box's ends are those of the axes."""
    centre = dyadic(2, 3)
    reach = torch.tensor([[0.5, 1.0, 0.25], [1.0, 0.0, 0.5]], dtype=torch.float64)
    for region in (Interval(centre - reach, centre + 2 * reach), Linf(centre, 0.5, clip=(-0.75, 0.75)),
                   L1(centre, reach), L2(centre, reach), L1(centre, 0.75), L2(centre, 0.75),
                   *(Clipped(ball(centre, reach), centre - 0.125, centre + 0.25) for ball in (L1, L2))):  # fmt: skip
        c = torch.cat([dyadic(4, 2, 3, start=3), torch.eye(3).double().unsqueeze(1).expand(-1, 2, -1)])
        found, x = region.minimum(Rows.of(c)), region.argmin(c)
        world.check(bool(((c * x).sum(-1) - found).abs().max() < 1e-12), f"{region}: minimum at {x}")
        world.check(bool((region.project(x) - x).abs().max() < 1e-12), f"{region}: the lowest point lies outside")
        box = region.box()
        world.check(bool((found[4:].t() - box.lower).abs().max() < 1e-12), f"{region}: the box's lower ends")
        most = -region.minimum(Rows.of(-c[4:]))
        world.check(bool((most.t() - box.upper).abs().max() < 1e-12), f"{region}: the box's upper ends")


def hull_of_two(world: World) -> None:
    """The hull over a ball of an op of many neurons and samples, taken in blocks, is the minimum of its rows.

    And the ball's image under a diagonal op has the minimum of the rows that are pulled back.
    """
    centre, op = dyadic(2, 3), Dense(dyadic(5, 3, start=2), dyadic(5))
    for ball in (
        L1(centre, 0.75),
        L2(centre, dyadic(2, 3).abs()),
        L2(centre, torch.tensor([[0.5, 1.0, 2.0]]).double()),
    ):
        for block in (2**21, 6):
            with patch.object(balls, "_BLOCK", block):
                found = ball.image(op).box()
            lower, upper = (s * ball.minimum(Rows.of(s * op.weight.unsqueeze(1))).t() + dyadic(5) for s in (1, -1))
            near = (found.lower - lower).abs().max() < 1e-12 and (found.upper - upper).abs().max() < 1e-12
            world.check(bool(near), f"{ball}: the hull")
        weight, bias, c = dyadic(3, start=4), dyadic(3), dyadic(4, 2, 3, start=3)
        least = ball.minimum(Rows.of(c * weight)) + (c * bias).sum(-1)
        image = ball.image(Scale(weight, bias))
        assert isinstance(image, Region)
        world.check(bool((image.minimum(Rows.of(c)) - least).abs().max() < 1e-12), f"{ball}: its image")


def any_multiplier(world: World, share: float = 1) -> None:
    """The dual of -<a, s> over 0 <= s <= m, s_0 + s_1 <= 1, bounds it at every t >= 0 (`region.clipped`, p = 1)."""
    a, m, s, t = reals(world, "a", 1, 2), reals(world, "m", 1, 2), reals(world, "s", 1, 2), real(world, "t")
    assume(world, a, s, m - s, t, 1 - s.sum(1))
    for i in range(2):
        world.split(number(a[:, i] - t))
    prove(world, -(a * s).sum(1) - share * clipped_balls._value_sum(a, m, t), "a bound")


def any_square_multiplier(world: World, share: float = 1) -> None:
    """The same for p = 2, at every t > 0; one axis, a = t q."""
    q, m, s, t = (real(world, name) for name in ("q", "m", "s", "t"))
    assume(world, q, s, m - s, t, 1 - s * s)
    world.split(number(m - q))  # whether the axis stops at q = a / t or at its end
    for p in (q - s, m - s):
        world.square(number(p))
    a = (t * q).unsqueeze(-1)
    prove(world, -(a[:, 0] * s) - share * clipped_balls._value_square(a, m.unsqueeze(-1), t), "a bound")


class _HalfRadius(L1):
    @staticmethod
    def dual_norm(c: Tensor) -> Tensor:
        return L1.dual_norm(c) / 2


def half_l1(world: World) -> tuple[Region, Tensor]:
    """A ball that takes half of its dual norm."""
    region, x = l1(world)
    return _HalfRadius(region.centre, real(world, "r")), x


class _Swapped(Interval):
    def minimum(self, c: Rows) -> Tensor:
        return c.minimum(Bounds(self.upper, self.lower))


def swapped(world: World) -> tuple[Region, Tensor]:
    """A box whose ends are taken by the wrong signs."""
    region, x = interval(world)
    box = region.box()
    return _Swapped(box.lower, box.upper), x


LEMMAS = (
    Lemma(
        "regions",
        "minimum(c) <= <c, x> and x lies in box(), for every x of the region and every c; the hull of image(op) is the "
        "minimum of op's rows",
        (Interval.minimum, Interval.box, Linf.box, L1.minimum, L1.dual_norm, L2.minimum, L2.dual_norm, L1.image,
         L1._hull, clipped_balls._value_sum, clipped_balls._value_square),
        (*map(supported, (interval, linf, clipped, l1, l2)), hulled(l1), hulled(linf), attained, hull_of_two,
         any_multiplier, any_square_multiplier),
        (
            Twin("both ends of a box by the wrong signs", supported(swapped),
                 {"x00": 0, "l00": 0, "u00": 1, "x01": 0, "l01": 0, "u01": 0, "c000": 1, "c001": 0}),
            Twin("half of the dual norm", supported(half_l1),
                 {"d00": -1, "d01": 0, "m00": 0, "m01": 0, "r": 1, "c000": 1, "c001": 0}),
            Twin("half of a clipped ball's dual", partial(any_multiplier, share=0.5),
                 {"a00": 1, "a01": 0, "m00": 1, "m01": 0, "s00": 1, "s01": 0, "t": 0}),
            Twin("the sign of the bound", supported(linf, -1),
                 {"x00": 0, "x01": 0, "m00": 0, "m01": 0, "r00": 1, "r01": 0, "c000": 1, "c001": 0}),
        ),
        SYMBOLS,
        "real arithmetic; two axes stand for all",
        leaves="`sample`, `project` and `constraints`, which attacks and solvers use; more than two "
               "axes symbolically; rounding",
    ),
)  # fmt: skip
