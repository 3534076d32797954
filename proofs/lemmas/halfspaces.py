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
SIZE = 3
CENTRE = numbers(2, SIZE)
BALLS: tuple[Region, ...] = (
    L2(CENTRE, 0.75), L2(CENTRE, torch.tensor([[0.5, 1.0, 0.25], [1.0, 0.0, 0.5]], dtype=torch.float64)),
    L1(CENTRE, 1.5),
    Interval(CENTRE - 0.5, CENTRE + numbers(2, SIZE).abs()), Linf(CENTRE, 0.5),
)  # fmt: skip
ROWS = numbers(4, 2, SIZE, start=3)
NORMAL = numbers(2, SIZE, start=8)
NORMALS = (
    NORMAL,
    NORMAL * torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64),
    torch.zeros(2, SIZE, dtype=torch.float64),
)


def value(ball: Region, c: Tensor, q: Tensor, eta: Tensor, need: Tensor) -> Tensor:
    """h(eta) = eta need + min over the ball of <c - eta q, x>, (K, B)."""
    return eta * need + ball.minimum(Rows.of(c - eta.unsqueeze(-1) * q))


def searched(ball: Region, c: Tensor, q: Tensor, need: Tensor) -> Tensor:
    """The greatest h(eta) for eta in [0, 1e4]: thirds of an interval in which a concave function is greatest."""
    low, high = torch.zeros(len(c), len(q), dtype=torch.float64), torch.full((len(c), len(q)), 1e4, dtype=torch.float64)
    for _ in range(150):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        rises = value(ball, c, q, a, need) < value(ball, c, q, b, need)
        low, high = torch.where(rises, a, low), torch.where(rises, high, b)
    return torch.maximum(value(ball, c, q, low, need), value(ball, c, q, torch.zeros_like(low), need))


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
        need, c = space.t - space.k, ROWS
        found = space.minimum(Rows.of(c))
        empty = -space.ball.minimum(Rows.of(-space.q.unsqueeze(0)))[0] < need
        world.check(torch.equal(space.infeasible, empty), f"{space}: infeasible is {space.infeasible}")
        states = space.states(Rows.of(c))
        if bool(empty.any()):
            world.check(bool((found[:, empty] == torch.inf).all()), "the minimum over nothing")
            world.check(bool((states[:, empty] == int(State.INFEASIBLE)).all()), "the state of nothing")
            continue
        true = searched(space.ball, c, space.q, need)
        world.check(bool(((found - true).abs() <= _NEAR).all()), f"{space}: the minimum is {found}, not {true}")
        loose = space.ball.minimum(Rows.of(c))
        eta = space.multipliers(Rows.of(c))
        world.check(bool((eta >= 0).all()) and torch.equal(states, (eta > 0).long()), "states say whether eta > 0")
        world.check(bool(((states == 1) | ((found - loose).abs() <= _NEAR)).all()), "a loose minimum is the ball's")
        x = space.argmin(c)
        world.check(bool(((c * x).sum(-1) - found).abs().max() <= _NEAR), "<c, x> at the lowest point is the minimum")
        world.check(bool((space.reference(x) >= space.t - _NEAR).all()), "which reaches t")
        world.check(bool((space.ball.project(x) - x).abs().max() <= _NEAR), "and lies in the ball")


def differentiated(world: World) -> None:
    """The minimum's gradient in c is the point at which it is attained."""
    for ball in (BALLS[0], BALLS[3]):
        q, c = NORMAL, ROWS.clone().requires_grad_()
        most, least = -ball.minimum(Rows.of(-q.unsqueeze(0)))[0], ball.minimum(Rows.of(q.unsqueeze(0)))[0]
        space = ReferenceSpace(ball, q, torch.zeros(2, dtype=torch.float64), least + 0.75 * (most - least))
        space.minimum(Rows.of(c)).sum().backward()
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


def by_the_rule(world: World) -> None:
    """eta is the breakpoint c_i / q_i > 0 of rank floor(rate (m + 1)); at its t the minimum is the space's."""
    for ball in (BALLS[3], BALLS[4]):
        for rate in (0.0, 0.25, 0.5, 0.75, 1.0):
            space, rows = MatchedSpace(ball, NORMAL, numbers(2), rate), Rows.of(ROWS)
            eta = space.multipliers(rows)
            for k in range(len(ROWS)):
                for b in range(2):
                    q = NORMAL[b].tolist()
                    points = sorted(c / q[i] for i, c in enumerate(ROWS[k, b].tolist()) if q[i] != 0 and c / q[i] > 0)
                    rank = min(int(rate * (len(points) + 1)), len(points))
                    want = points[rank - 1] if rank else 0.0
                    world.check(
                        abs(float(eta[k, b]) - want) <= 1e-12, f"eta at rate {rate}: {float(eta[k, b])}, not {want}"
                    )
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


HALFSPACES: tuple[Check, ...] = (best, differentiated, made_from_a_network, by_the_rule)
