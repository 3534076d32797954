"""Robustra's restricted region against a solver, which is given the half-space as a constraint; and its soundness."""

from dataclasses import replace
from random import Random
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch
from torch import Tensor

from absdomain import L1, L2, Graph, Linf, ReferenceSpace, Region, Rows, Spec, parse
from absdomain.domains import LP, DeepPoly, Dual, Zonotope
from absdomain.domains.program.inputs import constrained
from absdomain.laws import drawing
from absdomain.laws.drawing import normal
from absdomain.laws.examples import REGIONS, RegionMaker
from absdomain.laws.problems import AnyDomain
from absdomain.ops import Dense
from absdomain.reference import State
from tests.references import Pair, levels, net, pairs, plane_below, reach, tensor

RELATIONAL = (Dual(), DeepPoly(), Zonotope())


def optima(space: ReferenceSpace, c: Tensor) -> Tensor:
    """min of <c_b, x_b> over each sample's part of the ball, by a solver, (B,); c (B, *shape). All must be feasible."""
    points = [cp.Variable(c[0].numel()) for _ in c]
    constraints = [one for b, x in enumerate(points) for one in constrained(x, space.constraints(), b)]
    values = [row.flatten().numpy() @ x for row, x in zip(c, points, strict=True)]
    problem = cp.Problem(cp.Minimize(cp.sum(cp.hstack(values))), constraints)  # separable: each sample at its optimum
    problem.solve(solver=cp.HIGHS if problem.is_lp() else cp.CLARABEL)
    assert problem.status == cp.OPTIMAL
    return tensor([float(value.value) for value in values])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("make", REGIONS, ids=lambda make: make.__name__)
def test_the_minimum_is_the_optimum(make: RegionMaker) -> None:
    """Over balls of every kind, degenerate ones among them, with zeros and ties among c and q."""
    counted = dict.fromkeys(State, 0)
    for seed in range(5):
        rng = Random(seed)
        shape = drawing.shape(rng)
        ball = make(rng, 10, shape)
        q, c, k = drawing.weights(rng, 10, *shape), drawing.weights(rng, 10, *shape), normal(rng, 10)
        space = ReferenceSpace(ball, q, k, levels(ball, q, k, rng))
        least = space.minimum(Rows.of(c.unsqueeze(0)))[0]
        assert bool(((least - optima(space, c)).abs() <= 1e-6 * (1 + reach(ball, c))).all()), seed
        for state in space.states(Rows.of(c.unsqueeze(0)))[0].tolist():
            counted[State(state)] += 1
    assert min(counted[State.LOOSE], counted[State.TIGHT]) > 5, counted


@pytest.mark.sampled(3)
@pytest.mark.parametrize("make", REGIONS, ids=lambda make: make.__name__)
def test_minima_in_single_precision_are_bounds(make: RegionMaker) -> None:
    """In the dtype of training: never above the optimum but by rounding, and not far below it."""
    for seed in range(20):
        rng = Random(seed)
        ball = make(rng, 10, (6,))
        q, c, k = drawing.weights(rng, 10, 6), drawing.weights(rng, 10, 6), normal(rng, 10)
        t = levels(ball, q, k, rng) - 1e-4 * (1 + reach(ball, q))  # single precision must not lose all points either
        exact = ReferenceSpace(ball, q, k, t).minimum(Rows.of(c.unsqueeze(0)))[0]
        single = ReferenceSpace(in_single(ball), q.float(), k.float(), t.float())
        found = single.minimum(Rows.of(c.float().unsqueeze(0)))[0].double()
        size = 1 + reach(ball, c)
        assert bool((found <= exact + 1e-5 * size).all()), seed
        plain = ball.minimum(Rows.of(c.unsqueeze(0)))[0]
        assert bool((found >= plain - 1e-5 * size).all()), seed


def in_single(ball: Region) -> Region:
    fields: Any = {name: v.float() for name, v in vars(ball).items() if isinstance(v, Tensor)}
    held: Any = ball  # a dataclass, as regions are
    single: Region = replace(held, **fields)
    return single


def test_all_balls_are_one_in_one_dimension() -> None:
    """Where c is a multiple of q: by breakpoints, in closed form and by bisection."""
    rng = Random(0)
    centre, q, c, k = normal(rng, 30, 1), normal(rng, 30, 1), normal(rng, 2, 30, 1), normal(rng, 30)
    for share in (-0.5, 0.0, 0.3, 0.9, 1.1):
        t = k + q[:, 0] * centre[:, 0] + (2 * share - 1) * 0.4 * q[:, 0].abs()
        least = [ReferenceSpace(ball(centre, 0.4), q, k, t).minimum(Rows.of(c)) for ball in (Linf, L2, L1)]
        torch.testing.assert_close(least[1], least[0])
        torch.testing.assert_close(least[2], least[0])
        assert bool(least[0].isinf().all()) == (share > 1)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("domain", RELATIONAL, ids=str)
def test_bounds_of_random_pairs_are_the_optimum_of_the_plane_below(domain: AnyDomain) -> None:
    """200 pairs: the bound over the space is the optimum of f's plane, by a solver, plus its constant."""
    tight = 0
    for pair in pairs(domain, 200):
        rows, constants = plane_below(domain, pair.f, pair.space.ball, pair.row)
        c = rows.data[0].expand_as(pair.space.q)
        exact = optima(pair.space, c) + constants[0]
        bound = domain.propagate(pair.f, pair.space, pair.row).lower[:, 0]
        assert bool(((bound - exact).abs() <= 1e-6 * (1 + exact.abs() + reach(pair.space.ball, c))).all())
        tight += int((pair.space.states(rows) == State.TIGHT).sum())
    assert tight > 50


def values(graph: Graph, row: Spec, x: Tensor) -> Tensor:
    """C graph(x) + d for the one row, (n, B); x (n, B, *shape)."""
    return torch.stack([row.of(graph)(points)[:, 0] for points in x])


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "text", [*map(str, RELATIONAL), "box & deeppoly", "dual.guided(by=box)", "mix(deeppoly, dual)"]
)
def test_bounds_hold_wherever_the_reference_network_reaches_t(text: str) -> None:
    """The true set, { c . g(x) >= t }, is inside, and so are the space's own points."""
    domain, checked = parse(text), 0
    for pair in pairs(Dual(), 60):
        trace = domain.propagate(pair.f, pair.space, pair.row)
        for x in (pair.space.ball.sample(100), pair.space.sample(50)):
            value = values(pair.f, pair.row, x)
            inside = (values(pair.g, pair.rival, x) >= pair.space.t) | (pair.space.reference(x) >= pair.space.t)
            room = 1e-9 * (1 + value.abs().amax())
            assert bool((value >= trace.lower[:, 0] - room)[inside].all())
            assert bool((value <= trace.upper[:, 0] + room)[inside].all())
            checked += int(inside.sum())
    assert checked > 2000


def test_a_solver_finds_infeasible_what_is_called_infeasible() -> None:
    for make in REGIONS:
        rng = Random(1)
        ball, q, k = make(rng, 6, (3,)), normal(rng, 6, 3), normal(rng, 6)
        high = -ball.minimum(Rows.of(-q.unsqueeze(0)))[0] + k
        space = ReferenceSpace(ball, q, k, high + 1e-3)
        row = Rows.of(normal(rng, 1, 6, 3))
        assert space.states(row).eq(State.INFEASIBLE).all()
        assert space.minimum(row).eq(torch.inf).all()
        for sample in range(6):
            x = cp.Variable(3)
            problem = cp.Problem(cp.Minimize(0), constrained(x, space.constraints(), sample))
            problem.solve(solver=cp.CLARABEL)
            assert problem.status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE)
        edge = ReferenceSpace(ball, q, k, high)  # one face of the ball: never called empty by rounding
        assert edge.minimum(row).isfinite().all()


def by_triangles(pair: Pair, sample: int) -> float:
    """min of the row over f's two layers relaxed by triangles, x in the space: posed apart from the library."""
    first, second = (node.op for node in pair.f.nodes if isinstance(node.op, Dense))
    name = next(node.name for node in pair.f.nodes if node.op is first)
    box = Dual().propagate(pair.f, pair.space.ball, keep=True).at(name)
    low, high = box.lower[sample].numpy(), box.upper[sample].numpy()
    x, h = cp.Variable(first.weight.shape[1]), cp.Variable(len(low))
    z = first.weight.numpy() @ x + first.bias.numpy()
    top, bottom = np.maximum(high, 0), np.minimum(low, 0)
    chord = top / (top - bottom)
    under = [h >= 0, h >= z, h <= cp.multiply(chord, z - bottom)]
    C, d = pair.row.C[sample, 0].numpy(), pair.row.d[sample, 0].item()
    value = C @ (second.weight.numpy() @ h + second.bias.numpy()) + d
    problem = cp.Problem(cp.Minimize(value), [*under, *constrained(x, pair.space.constraints(), sample)])
    problem.solve(solver=cp.HIGHS if problem.is_qp() else cp.CLARABEL)
    assert problem.status == cp.OPTIMAL
    return float(problem.value)


@pytest.mark.slow
def test_bounds_of_lp_are_the_optimum_over_triangles() -> None:
    """200 pairs: LP takes the half-space through the region alone, its constraints and its minimum."""
    raised = 0
    for pair in pairs(Dual(), 200, network=net):
        bound, dual, plain = (
            domain.propagate(pair.f, over, pair.row).lower[:, 0]
            for domain, over in (
                (LP().guided(by=Dual()), pair.space), (Dual(), pair.space), (LP().guided(by=Dual()), pair.space.ball),
            )
        )  # fmt: skip
        exact = tensor([by_triangles(pair, sample) for sample in range(len(bound))])
        assert bool(((bound - exact).abs() <= 1e-6 * (1 + exact.abs())).all()), bound - exact
        assert bool((bound >= dual - 1e-6 * (1 + dual.abs())).all()), bound - dual
        raised += int((bound > plain + 1e-3).sum())
    assert raised > 50
