"""The minimum over a ball and a half-space against a search for its multiplier, for balls of every norm."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from absdomain.domains.deeppoly import DeepPoly
from absdomain.linear import Rows
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import Check
from absdomain.proofs.lemmas.substitution import DEEP
from absdomain.proofs.lemmas.windows import equal, numbers
from absdomain.reference import MatchedSpace, ReferenceSpace, State
from absdomain.region import L1, L2, Interval, Linf, Region
from absdomain.spec import Spec

_NEAR = 1e-7  # the search's own error; the multiplier's is of the order of rounding
_POINTS = 33
SIZE = 3
CENTRE = numbers(2, SIZE)
REACH = torch.tensor([[0.5, 1.0, 0.25], [1.0, 0.0, 0.5]], dtype=torch.float64)


def balls(*shape: int) -> tuple[Region, ...]:
    """The balls, of activations of this shape."""
    centre, reach = CENTRE.view(2, *shape), REACH.view(2, *shape)
    return (
        L2(centre, 0.75), L2(centre, reach), L1(centre, 1.5),
        Interval(centre - 0.5, centre + numbers(2, SIZE).abs().view(2, *shape)), Linf(centre, 0.5),
    )  # fmt: skip


BALLS = balls(SIZE)
ROWS = numbers(4, 2, SIZE, start=3)
EDGES = torch.cat([
    ROWS[:2], ROWS[:2] * torch.tensor([0.0, 1.0, 1.0]).double(), ROWS[:2] * torch.tensor([1.0, 1.0, 0.0]).double(),
    -ROWS[:1].abs(), torch.zeros(1, 2, SIZE).double(),
])  # fmt: skip
NORMAL = numbers(2, SIZE, start=8)
NORMALS = (
    NORMAL,
    NORMAL * torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64),
    NORMAL * torch.tensor([1.0, 2.0**-55, 1.0], dtype=torch.float64),
    torch.zeros(2, SIZE, dtype=torch.float64),
)


def value(ball: Region, c: Tensor, q: Tensor, eta: Tensor, need: Tensor) -> Tensor:
    """h(eta) = eta need + min over the ball of <c - eta q, x>, (K, B)."""
    return eta * need + ball.minimum(Rows.of(c - eta.unsqueeze(-1) * q))


def searched(ball: Region, c: Tensor, q: Tensor, need: Tensor) -> Tensor:
    """The greatest h(eta) for eta in [0, 1e4]: that of a concave function lies beside the best of a few points."""
    low, high = torch.zeros(len(c), len(q), dtype=torch.float64), torch.full((len(c), len(q)), 1e4, dtype=torch.float64)
    parts = torch.linspace(0, 1, _POINTS, dtype=torch.float64).view(-1, 1, 1)
    found = value(ball, c, q, low, need)
    for _ in range(22):  # 16 times shorter each time: 1e4 to 1e-22
        eta = torch.lerp(low, high, parts)
        heights = value(ball, c.repeat(_POINTS, 1, 1), q, eta.flatten(0, 1), need).view_as(eta)
        best = heights.argmax(0, keepdim=True)
        low, high = (eta.gather(0, (best + k).clamp(0, _POINTS - 1))[0] for k in (-1, 1))
        found = torch.maximum(found, heights.amax(0))
    return found


def spaces() -> Iterator[ReferenceSpace]:
    """Half-spaces that hold the ball, cut it, touch it nearly and miss it."""
    for ball in BALLS:
        for q in NORMALS:
            most, least = -ball.minimum(Rows.of(-q.unsqueeze(0)))[0], ball.minimum(Rows.of(q.unsqueeze(0)))[0]
            for share in (-0.5, 0.25, 0.75, 0.95):
                k = numbers(2, start=2)
                yield ReferenceSpace(ball, q, k, k + least + share * (most - least) - 0.001 * (most == least))
            yield ReferenceSpace(ball, q, numbers(2), numbers(2) + most + 0.5)


def best(world: World) -> None:
    """The minimum is the greatest h(eta), +inf where the space is empty; state and lowest point agree with it."""
    for space in spaces():
        need, c = space.t - space.k, EDGES
        found = space.minimum(Rows.of(c))
        empty = -space.ball.minimum(Rows.of(-space.q.unsqueeze(0)))[0] < need
        world.check(torch.equal(space.infeasible, empty), f"{space}: infeasible is {space.infeasible}")
        states, eta = space.states(Rows.of(c)), space.multipliers(Rows.of(c))
        world.check(bool((eta >= 0).all()), f"{space}: eta is {eta}")
        if bool(empty.any()):
            world.check(bool((found[:, empty] == torch.inf).all()), "the minimum over nothing")
            world.check(bool((states[:, empty] == int(State.INFEASIBLE)).all()), "the state of nothing")
            continue
        true = searched(space.ball, c, space.q, need)
        world.check(bool(((found - true).abs() <= _NEAR).all()), f"{space}: the minimum is {found}, not {true}")
        loose = space.ball.minimum(Rows.of(c))
        world.check(torch.equal(states, (eta > 0).long()), "states say whether eta > 0")
        world.check(bool(((states == 1) | ((found - loose).abs() <= _NEAR)).all()), "a loose minimum is the ball's")
        x = space.argmin(c)
        world.check(bool(((c * x).sum(-1) - found).abs().max() <= _NEAR), "<c, x> at the lowest point is the minimum")
        world.check(bool((space.reference(x) >= space.t - _NEAR).all()), "which reaches t")
        world.check(bool((space.ball.project(x) - x).abs().max() <= _NEAR), "and lies in the ball")


def cut(ball: Region, q: Tensor) -> ReferenceSpace:
    """The half-space that leaves a part of the ball."""
    most, least = -ball.minimum(Rows.of(-q.unsqueeze(0)))[0], ball.minimum(Rows.of(q.unsqueeze(0)))[0]
    k = numbers(2, start=2)
    return ReferenceSpace(ball, q, k, k + least + 0.75 * (most - least))


def of_any_shape(world: World) -> None:
    """An activation of several axes is as one of as many entries."""
    shape = (1, SIZE, 1)
    for plain, ball in zip(BALLS, balls(*shape), strict=True):
        one, q = cut(plain, NORMAL), NORMAL.view(2, *shape)
        for known, space in (
            (one, ReferenceSpace(ball, q, one.k, one.t)),
            (MatchedSpace(plain, NORMAL, one.k), MatchedSpace(ball, q, one.k)),
        ):  # fmt: skip
            rows, folded = Rows.of(ROWS), Rows.of(ROWS.view(4, 2, *shape))
            equal(world, space.multipliers(folded), known.multipliers(rows), "eta")
            equal(world, space.minimum(folded), known.minimum(rows), "minimum")
            equal(world, space.argmin(folded.data), known.argmin(ROWS).view(4, 2, *shape), "the lowest point")
            equal(world, space.states(folded), known.states(rows), "states")
            equal(world, space.reference(ball.centre), known.reference(plain.centre), "the plane")


def in_other_units(world: World) -> None:
    """Rows and half-spaces in other units have the same lowest points."""
    for ball, power in zip(BALLS, (55, 55, 40, 55, 55), strict=True):  # a bisection has 100 steps
        for q in (NORMAL, -NORMAL.abs()):
            space = cut(ball, q)
            x = space.argmin(ROWS)
            for f in (2.0**-power, 2.0**power):
                other = ReferenceSpace(ball, f * q, f * space.k, f * space.t)
                for found in (space.argmin(f * ROWS), other.argmin(ROWS)):
                    world.check(bool((found - x).abs().max() <= _NEAR), f"{space}, times {f}: {found}, not {x}")


def room_for_rounding(world: World) -> None:
    """What <q, x> is to reach is below t - k by a few units of rounding of all terms, whichever is the largest."""
    big = 1024.0
    for low, high, normal, constant, need in (
        (-1.0, big, 1.0, 0.0, 0.0), (-big, 1.0, 1.0, 0.0, 0.0), (-1.0, 1.0, -big, 0.0, 0.0),
        (-1.0, 1.0, 1.0, -big, 0.0), (-1.0, 1.0, 1.0, 1.0, -big), (-1.0, 1.0, 1.0, big, big),
    ):  # fmt: skip
        lower, upper, q, k, t = (torch.tensor([[p]]).double() for p in (low, high, normal, constant, need + constant))
        space = ReferenceSpace(Interval(lower, upper), q, k[0], t[0])
        size = abs(normal) * max(-low, high) + abs(constant) + abs(need)
        room = float(need - space._need) / (size * torch.finfo(q.dtype).eps)
        world.check(4 <= room <= 400, f"room for {room} units of rounding of {size}")


def differentiated(world: World) -> None:
    """The minimum's gradient in c is the point at which it is attained."""
    for ball in (BALLS[0], BALLS[3]):
        q, c = NORMAL, ROWS.clone().requires_grad_()
        space = cut(ball, q)
        found = space.minimum(Rows.of(c))
        equal(world, found.detach(), space.minimum(Rows.of(ROWS)), "the minimum with a gradient")
        found.sum().backward()
        assert c.grad is not None
        world.check(bool((c.grad - space.argmin(ROWS)).abs().max() <= _NEAR), "d minimum / d c = x")


def made_from_a_network(world: World) -> None:
    """`of` takes the plane above C graph(x) + d: at every x of the ball the network lies below <q, x> + k."""
    centre = numbers(2, 4)
    spec = Spec(numbers(2, 1, 3), numbers(2, 1, start=4))
    for ball in (L2(centre, 0.5), Linf(centre, 0.25)):
        rows, constant = DeepPoly().planes(DeepPoly().propagate(DEEP, ball, spec).output)
        for space in (
            ReferenceSpace.of(ball, DEEP, spec, t=-1.0, by=DeepPoly()),
            MatchedSpace.of(ball, DEEP, spec, by=DeepPoly()),
        ):
            equal(world, space.q, rows.data[0], "q")
            equal(world, space.k, constant[0].expand(2), "k")
            world.check(space.ball is ball and space.whole is ball and space.centre is centre, "the ball's own")
            steps = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)] * 4)
            for x in ball.project(centre + 0.4 * steps.unsqueeze(1)):
                below = (spec.C @ DEEP(x).unsqueeze(-1)).squeeze(-1) + spec.d
                world.check(bool((below.squeeze(1) <= space.reference(x) + 1e-9).all()), "the network above its plane")
        world.check(bool(ReferenceSpace.of(ball, DEEP, spec, t=-1.0, by=DeepPoly()).t == -1.0), "t")
        world.check(MatchedSpace.of(ball, DEEP, spec, by=DeepPoly(), rate=0.25).rate == 0.25, "the rate")


def ranked(c: Tensor, q: Tensor, rate: float) -> float:
    """The breakpoint c_i / q_i > 0 of this rank; an entry of q below 1e-7 times the largest has none."""
    steep = [i for i in range(len(q)) if abs(float(q[i])) > 1e-7 * float(q.abs().max())]
    points = sorted(p for p in (float(c[i] / q[i]) for i in steep) if p > 0)
    rank = min(int(rate * (len(points) + 1)), len(points))
    return points[rank - 1] if rank else 0.0


def breakpoints(world: World) -> None:
    """eta is the breakpoint of the rank, for one row too; an entry at its breakpoint, but for rounding, is halfway."""
    flattened = torch.tensor([1.0, 2.0**-30, 1.0]).double()
    for q in (NORMAL, NORMAL * flattened, -NORMAL.abs() * flattened, NORMAL * 2.0**-30):
        for rate in (0.0, 0.25, 0.5, 0.75, 1.0):
            space = MatchedSpace(BALLS[3], q, numbers(2), rate)
            for rows in (ROWS, ROWS[:1]):
                eta = space.multipliers(Rows.of(rows))
                want = [[ranked(c, p, rate) for c, p in zip(row, q, strict=True)] for row in rows]
                world.check(eta.shape == rows.shape[:2], f"{tuple(eta.shape)} multipliers")
                equal(world, eta, torch.tensor(want, dtype=eta.dtype), f"eta at rate {rate}")
    for sign in (1.0, -1.0):
        one, q = torch.ones(1, 1).double(), torch.full((1, 1), 49 * sign).double()  # 1 / 49 times 49 is not 1
        halfway = MatchedSpace(Interval(0 * one, one), q, one[0]).argmin(sign * one.unsqueeze(0))
        world.check(float(halfway) == 0.5, f"at its breakpoint, {sign}: {halfway}")


def by_the_rule(world: World) -> None:
    """At the t of a row the minimum is that of the space with this t."""
    for ball in (BALLS[3], BALLS[4]):
        for rate in (0.0, 0.25, 0.5, 0.75, 1.0):
            space, rows = MatchedSpace(ball, NORMAL, numbers(2), rate), Rows.of(ROWS)
            eta = space.multipliers(rows)
            t, found = space.thresholds(rows), space.minimum(rows)
            world.check(torch.equal(space.states(rows), (eta > 0).long()), "states say whether eta > 0")
            for k in range(len(ROWS)):
                here = space.at(t[k])
                equal(world, torch.as_tensor(here.t), t[k], "the t")
                own = here.minimum(Rows.of(ROWS[k : k + 1]))[0]
                tight = eta[k] > 0
                gap = (own - found[k]).abs()[tight]
                world.check(bool((gap <= _NEAR).all()), f"the minimum at rate {rate} is {found[k]}, not {own}")
                x = space.argmin(ROWS)[k]
                equal(world, (ROWS[k] * x).sum(-1), found[k], "<c, x> at the lowest point")
                equal(world, space.reference(x), t[k], "t is the reference there")


HALFSPACES: tuple[Check, ...] = (
    best, of_any_shape, in_other_units, room_for_rounding, differentiated, made_from_a_network, breakpoints,
    by_the_rule,
)  # fmt: skip
