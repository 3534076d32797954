"""Robustra's restricted region: the worked example, the rule that matches t to the row, and what a region promises."""

from random import Random

import pytest
import torch
from torch import Tensor, nn

from absdomain import (
    L1,
    L2,
    Graph,
    Guarantee,
    Linf,
    MatchedSpace,
    Node,
    ReferenceSpace,
    Region,
    Rows,
    certify,
    halfspaces,
    margins,
    parse,
)
from absdomain.certification import Refused
from absdomain.domains import Box, DeepPoly, Dual
from absdomain.laws import drawing
from absdomain.laws.drawing import normal
from absdomain.laws.examples import REGIONS, RegionMaker
from absdomain.ops import Dense, ReLU
from absdomain.reference import State
from tests.domains.test_oracles import BALL_1, EXAMPLE_1, LABEL
from tests.references import levels, net, pairs, plane_below, tensor

D64 = torch.float64


# ---- Example 3: f is Example 1, and the reference has x_1 + 3 x_2 for the row that would mislead f

REFERENCE = Graph.of([Node("x", None, (), (2,)), Node("o", Dense(tensor([[1.0, 3.0]])), (0,), (1,))])
ITSELF = halfspaces(tensor([[1.0]]), tensor([0.0]))
MARGIN = margins(LABEL, 2)


def test_robustras_rule_on_example_3() -> None:
    space = MatchedSpace.of(BALL_1, REFERENCE, ITSELF, by=Dual())
    rows, constant = plane_below(Dual(), EXAMPLE_1, BALL_1, MARGIN)
    assert (space.q.tolist(), space.k.tolist()) == ([[1.0, 3.0]], [0.0])
    assert (rows.data.tolist(), constant.tolist()) == ([[[0.0, 1.5]]], [[pytest.approx(1.65)]])
    assert space.multipliers(rows).tolist() == [[0.5]]  # breakpoints 0 and .5
    assert space.thresholds(rows).tolist() == [[pytest.approx(2.0)]]
    assert space.states(rows).tolist() == [[State.TIGHT]]
    for region in (space, space.at(2.0)):  # by the closed form, and as the maximum over eta
        assert Dual().propagate(EXAMPLE_1, region, MARGIN).lower.item() == pytest.approx(1.65, abs=1e-12)
    assert Dual().propagate(EXAMPLE_1, BALL_1, MARGIN).lower.item() == pytest.approx(0.15, abs=1e-12)


@pytest.mark.parametrize(("t", "state", "bound"), [
    (-2.0, State.LOOSE, 0.15), (-1.0, State.LOOSE, 0.15), (-0.9, State.TIGHT, 0.2), (2.0, State.TIGHT, 1.65),
    (4.9, State.TIGHT, 3.1), (5.0, State.TIGHT, 3.15), (5.1, State.INFEASIBLE, torch.inf),
])  # fmt: skip
def test_the_states_of_example_3(t: float, state: State, bound: float) -> None:
    space = ReferenceSpace.of(BALL_1, REFERENCE, ITSELF, t=t, by=DeepPoly())
    rows, _ = plane_below(Dual(), EXAMPLE_1, BALL_1, MARGIN)
    assert space.states(rows).tolist() == [[state]]
    assert Dual().propagate(EXAMPLE_1, space, MARGIN).lower.item() == pytest.approx(bound, abs=1e-9)


def test_example_3_bounds_the_restricted_set_and_not_the_ball() -> None:
    """The margin is at least 2.4 on the restricted set, but .4 on the ball: 1.65 is no certificate."""
    axis = torch.linspace(-1, 1, 201, dtype=D64)
    x = BALL_1.centre + torch.cartesian_prod(axis, axis)
    logits, reference = EXAMPLE_1(x), REFERENCE(x)[:, 0]
    margin = logits[:, 0] - logits[:, 1]
    assert margin[reference >= 2].min().item() == pytest.approx(2.4)
    assert margin.min().item() == pytest.approx(0.4)
    space = ReferenceSpace.of(BALL_1, REFERENCE, ITSELF, t=2.0, by=Dual())
    bound = Dual().propagate(EXAMPLE_1, space, MARGIN)
    assert 0.4 < bound.lower.item() <= 2.4
    assert bound.guarantee is Guarantee.HEURISTIC


def test_certify_refuses_a_reference_space() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    images, labels = torch.rand(2, 2), torch.tensor([0, 1])

    def restricted(x: Tensor) -> Region:
        return ReferenceSpace(Linf(x, 0.1), torch.ones_like(x), torch.zeros(len(x)), 0.0)

    with pytest.raises(Refused, match=r"ReferenceSpace.*HEURISTIC, not SOUND.*prove nothing"):
        list(certify(model, images, labels, region=restricted, domains=[Dual()]))


# ---- the rule that matches t to the row


def test_the_matched_multiplier_is_optimal_at_its_own_t() -> None:
    """The closed form is the maximum over eta at t(c), by breakpoints and on a grid, over balls of every kind."""
    for make in REGIONS:
        for seed in range(5):
            rng = Random(seed)
            ball, q, k, c = make(rng, 4, (5,)), normal(rng, 4, 5), normal(rng, 4), Rows.of(normal(rng, 2, 4, 5))
            space = MatchedSpace(ball, q, k, rate=rng.choice((0.0, 0.25, 0.5, 1.0)))
            least = space.minimum(c)
            eta = torch.linspace(0, 8, 400, dtype=D64).view(-1, 1)
            for number, t in enumerate(space.thresholds(c)):
                row = Rows.of(c.data[number : number + 1])
                torch.testing.assert_close(space.at(t).minimum(row)[0], least[number], rtol=1e-9, atol=1e-9)
                grid = ball.minimum(Rows.of(row.data - eta.unsqueeze(-1) * q)) + eta * (t - k)
                assert bool((grid <= least[number] + 1e-9).all())
            assert bool((least >= ball.minimum(c) - 1e-9).all())


def test_the_rate_chooses_among_the_breakpoints() -> None:
    ball = Linf(torch.zeros(1, 5, dtype=D64), 1.0)
    q, c = torch.ones(1, 5, dtype=D64), Rows.of(tensor([[[3.0, -1.0, 1.0, 4.0, 2.0]]]))
    found = [MatchedSpace(ball, q, torch.zeros(1, dtype=D64), rate).multipliers(c).item() for rate in (0, 0.2, 0.5, 1)]
    assert found == [0.0, 1.0, 2.0, 4.0]


def test_a_reference_that_does_not_depend_on_x_leaves_the_ball() -> None:
    for make in REGIONS:
        rng = Random(2)
        ball, c = make(rng, 3, (4,)), Rows.of(normal(rng, 2, 3, 4))
        flat = torch.zeros(3, 4, dtype=D64), torch.zeros(3, dtype=D64)
        for space in (MatchedSpace(ball, *flat), ReferenceSpace(ball, *flat, 0.0)):
            torch.testing.assert_close(space.minimum(c), ball.minimum(c))
            assert space.states(c).eq(State.LOOSE).all()
        assert ReferenceSpace(ball, *flat, 0.1).minimum(c).eq(torch.inf).all()


def test_one_set_for_each_row_has_no_points_of_its_own() -> None:
    space = MatchedSpace.of(BALL_1, REFERENCE, ITSELF, by=Dual())
    for use in (lambda: space.sample(3), lambda: space.project(BALL_1.centre), lambda: space.constraints()):
        with pytest.raises(TypeError, match=r"space\.at\(t\)"):
            use()


# ---- as a region


@pytest.mark.parametrize("make", REGIONS, ids=lambda make: make.__name__)
def test_samples_and_projections_are_inside(make: RegionMaker) -> None:
    for seed in range(5):
        rng = Random(seed)
        ball, q, k = make(rng, 6, (2, 3)), normal(rng, 6, 2, 3), normal(rng, 6)
        space = ReferenceSpace(ball, q, k, levels(ball, q, k, rng))
        far = space.ball.centre + 3 * normal(rng, 4, 6, 2, 3)
        for x in (space.sample(20, drawing.generator(rng)), space.project(far)):
            room = 1e-9 * (1 + x.abs().amax())
            assert bool((space.reference(x) >= space.t - room).all())
            assert bool(((ball.project(x) - x).abs() <= room).all())
            assert bool(((space.project(x) - x).abs() <= room).all())
            c = normal(rng, 3, 6, 2, 3)
            reached = (c.unsqueeze(0) * x.unsqueeze(1)).flatten(3).sum(-1)
            assert bool((space.minimum(Rows.of(c)) <= reached + room * 10).all())


INNER = (
    "dual", "deeppoly", "zonotope", "zonotope(symbols=2)", "lp", "box & deeppoly", "box & zonotope", "zonotope & box",
    "box & lp", "box & mix(deeppoly, box)", "mix(deeppoly, zonotope)", "deeppoly.guided(by=box)",
    "deeppoly.guided(by=box & zonotope)", "(box & zonotope).guided(by=box)", "dual(projections=2)",
)  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", INNER)
def test_samples_know_no_neighbour_that_is_infeasible(text: str) -> None:
    """An infeasible sample has an infinite bound of its output alone, and the others keep theirs."""
    pair = next(iter(pairs(Dual(), 20)))
    t = pair.space.t.clone()
    t[3] = 1e6
    hopeless = ReferenceSpace(pair.space.ball, pair.space.q, pair.space.k, t)
    others = torch.arange(len(t)) != 3
    one, other = (parse(text).propagate(pair.f, space, pair.row).lower for space in (pair.space, hopeless))
    assert other[3].item() == torch.inf
    torch.testing.assert_close(one[others], other[others])
    assert one.isfinite().all()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", INNER)
def test_inner_boxes_are_those_of_the_ball(text: str) -> None:
    """What a domain relaxes over does not change with the half-space."""
    pair = next(iter(pairs(Dual(), 20)))
    domain = parse(text)
    inner = [
        domain.boxes(ReLU(), (e,))[0]
        for region in (pair.space, pair.space.ball)
        for e in domain.propagate(pair.f, region, keep=True)._elements
    ]
    for part, whole in zip(inner[: len(inner) // 2], inner[len(inner) // 2 :], strict=True):
        assert whole.lower.isfinite().all()
        torch.testing.assert_close(part.lower, whole.lower, rtol=1e-6, atol=1e-6)  # a solver's tolerance, for lp
        torch.testing.assert_close(part.upper, whole.upper, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make", REGIONS, ids=lambda make: make.__name__)
def test_the_lowest_point_attains_the_minimum_inside(make: RegionMaker) -> None:
    """Also where entries of the row are zero, so that many points do, of which some are not in the half-space."""
    for seed in range(10):
        rng = Random(seed)
        ball, q, k = make(rng, 6, (4,)), normal(rng, 6, 4), normal(rng, 6)
        space = ReferenceSpace(ball, q, k, levels(ball, q, k, rng))
        c = normal(rng, 3, 6, 4) * tensor([rng.choice((0.0, 1.0)) for _ in range(4)])
        x = space.argmin(c)
        room = 1e-9 * (1 + x.abs().amax())
        torch.testing.assert_close((c * x).sum(-1), space.minimum(Rows.of(c)))
        assert bool(((ball.project(x) - x).abs() <= room).all())
        assert bool((space.reference(x) >= space.t - room).all())


def test_regions_need_no_gradients_of_their_own() -> None:
    """Bounds under inference mode are those outside, for closed forms and for the bisection of an L1 ball."""
    pair = next(iter(pairs(Dual(), 20, network=net)))
    f, row, space = pair.f, pair.row, pair.space
    for ball in (space.ball, L1(space.ball.centre, 0.3), L2(space.ball.centre, 0.3)):
        for region in (ReferenceSpace(ball, space.q, space.k, space.t), MatchedSpace(ball, space.q, space.k)):
            outside = Dual().propagate(f, region, row).lower
            with torch.inference_mode():
                torch.testing.assert_close(Dual().propagate(f, region, row).lower, outside)


@pytest.mark.parametrize("make", REGIONS, ids=lambda make: make.__name__)
def test_selected_samples_keep_their_own_half_space(make: RegionMaker) -> None:
    """Also where there are as many samples as entries, so that a number per sample looks like one per entry."""
    ball, row, index = make(Random(2), 3, (3,)), Rows.of(normal(Random(3), 2, 3, 3)), torch.tensor([2, 0, 2, 1])
    q, k, t = normal(Random(4), 3, 3), normal(Random(5), 3), normal(Random(6), 3) - 2
    for space in (ReferenceSpace(ball, q, k, t), ReferenceSpace(ball, q, k, -1.0), MatchedSpace(ball, q, k, 0.3)):
        chosen = space.select(index)
        assert torch.equal(chosen.minimum(Rows.of(row.data[:, index])), space.minimum(row)[:, index])
        assert torch.equal(chosen.reference(ball.centre[index]), space.reference(ball.centre)[index])


def test_the_reference_may_have_any_scale() -> None:
    """A half-space is the same whatever its normal is multiplied by."""
    rng = Random(3)
    ball, q, k, c = Linf(normal(rng, 4, 5), 0.5), normal(rng, 4, 5), normal(rng, 4), Rows.of(normal(rng, 2, 4, 5))
    plain = MatchedSpace(ball, q, k)
    for scale in (1e-8, 1e8):
        scaled = MatchedSpace(ball, scale * q, scale * k)
        torch.testing.assert_close(scaled.minimum(c), plain.minimum(c))
        assert torch.equal(scaled.states(c), plain.states(c))
    small = torch.cat([q, torch.full((4, 1), 1e-9, dtype=D64)], 1)  # the last entry has no breakpoint
    with_one = MatchedSpace(Linf(normal(rng, 4, 6), 0.5), small, k)
    torch.testing.assert_close(with_one.multipliers(Rows.of(torch.ones(1, 4, 6, dtype=D64))),
                               plain.multipliers(Rows.of(torch.ones(1, 4, 5, dtype=D64))))  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("text", "giver"), [
    ("deeppoly.guided(by=box)", "deeppoly.guided(by=box)"), ("box & deeppoly", "deeppoly.guided(by=box & deeppoly)"),
    ("mix(deeppoly, dual, weight=0.25)", "mix(deeppoly, dual, weight=0.25)"),
])  # fmt: skip
def test_combinations_give_planes(text: str, giver: str) -> None:
    """Above the reference on the ball, and no higher than the upper bound of the domain that gives them."""
    for seed in range(5):
        rng = Random(seed)
        graph, domain = net(rng, (4,)), parse(text)
        ball = Linf(normal(rng, 3, 4), 0.3)
        trace = domain.propagate(graph, ball)
        rows, constants = domain.planes(trace.output)
        x = ball.sample(200, drawing.generator(rng))
        values = torch.stack([graph(point) for point in x]).transpose(1, 2)  # (P, K, B)
        planes = torch.stack([rows.dot(point) + constants for point in x])
        assert bool((values <= planes + 1e-9).all())
        highest, upper = constants - ball.minimum(rows.negated()), parse(giver).propagate(graph, ball).upper
        assert bool((highest <= upper.t() + 1e-9).all())
        assert ReferenceSpace.of(ball, graph, halfspaces(torch.eye(3, dtype=D64)[:1], tensor([0.0])), t=0.0, by=domain)


def test_gradients_are_those_of_the_minimum() -> None:
    """In the row, the half-space and the ball at a given t; in the row alone, with eta constant, where t is matched."""
    for make in REGIONS:
        rng = Random(5)
        ball, q, k, c = make(Random(9), 2, (3,)), normal(rng, 2, 3), normal(rng, 2), normal(rng, 1, 2, 3)
        t = levels(ball, q, k, Random(6))
        # a step of a difference quotient leaves no half-space outside the ball, as it would that of a ball of radius 0
        assert not ReferenceSpace(ball, q, k, t + 1e-4).infeasible.any()

        def least(c: Tensor, q: Tensor, k: Tensor, t: Tensor, ball: Region = ball) -> Tensor:
            return ReferenceSpace(ball, q, k, t).minimum(Rows.of(c))

        torch.autograd.gradcheck(least, [v.clone().requires_grad_() for v in (c, q, k, t)])
    held = torch.tensor(1.0, dtype=D64, requires_grad=True)
    rows = Rows.of(tensor([[[0.0, 1.5]]]).requires_grad_())
    ReferenceSpace(Linf(BALL_1.centre, held), tensor([[1.0, 3.0]]), tensor([0.0]), 2.0).minimum(rows).sum().backward()
    assert held.grad is not None
    assert held.grad.item() == pytest.approx(-0.5)  # .5 (2 - <q, x>) + <c, x>, with x_1 = 1 + radius, x_2 free
    matched = MatchedSpace.of(BALL_1, REFERENCE, ITSELF, by=Dual())
    rows = Rows.of(tensor([[[0.0, 1.5]]]).requires_grad_())
    matched.minimum(rows).sum().backward()
    assert rows.data.grad is not None
    assert rows.data.grad.tolist() == [[[2.0, 0.0]]]  # the point itself: a corner, and the middle at the breakpoint


@pytest.mark.parametrize("make", REGIONS, ids=lambda make: make.__name__)
def test_the_gradient_of_a_matched_minimum_is_that_of_the_ball_with_eta_held(make: RegionMaker) -> None:
    """By finite differences, in all entries but the one at the breakpoint, at which there are many gradients."""
    checked = 0
    for seed in range(10):
        rng = Random(seed)
        ball, q, k, c = make(rng, 2, (5,)), normal(rng, 2, 5), normal(rng, 2), normal(rng, 1, 2, 5)
        space, held = MatchedSpace(ball, q, k), c.clone().requires_grad_()
        space.minimum(Rows.of(held)).sum().backward()
        rest = c - space.multipliers(Rows.of(c)).unsqueeze(-1) * q
        for place in range(5):
            step = 1e-6 * torch.nn.functional.one_hot(torch.tensor(place), 5)
            ahead, behind = (ball.minimum(Rows.of(rest + sign * step))[0] for sign in (1, -1))
            clear = rest[0, :, place].abs() > 1e-3
            assert held.grad is not None
            torch.testing.assert_close(
                held.grad[0, clear, place], (ahead - behind)[clear] / 2e-6, rtol=1e-4, atol=1e-4 * float(c.abs().max())
            )
            checked += int(clear.sum())
    assert checked > 50


def test_no_gradient_reaches_the_reference_network() -> None:
    weight = tensor([[1.0, 3.0]]).requires_grad_()
    reference = Graph.of([Node("x", None, (), (2,)), Node("o", Dense(weight), (0,), (1,))])
    space = ReferenceSpace.of(BALL_1, reference, ITSELF, t=2.0, by=Dual())
    assert not space.q.requires_grad
    assert not space.k.requires_grad


def test_what_makes_no_reference_space_is_refused() -> None:
    two = margins(torch.tensor([0]), 3)
    graph = net(Random(0), (2,))
    with pytest.raises(ValueError, match="2 rows; fold them into the batch"):
        ReferenceSpace.of(BALL_1, graph, two, t=0.0, by=Dual())
    with pytest.raises(TypeError, match="box gives no planes"):
        ReferenceSpace.of(BALL_1, REFERENCE, ITSELF, t=0.0, by=Box())
    with pytest.raises(ValueError, match=r"q is \(1, 3\)"):
        ReferenceSpace(BALL_1, torch.ones(1, 3), torch.zeros(1), 0.0)
    with pytest.raises(ValueError, match=r"the rate is 1\.5"):
        MatchedSpace(BALL_1, torch.ones(1, 2), torch.zeros(1), 1.5)
    with pytest.raises(ValueError, match=r"t is \(1, 1\), but k is \(1,\)"):
        ReferenceSpace(BALL_1, torch.ones(1, 2), torch.zeros(1), torch.zeros(1, 1))
    part = ReferenceSpace(BALL_1, torch.ones(1, 2), torch.zeros(1), 0.0)
    for make in (lambda: ReferenceSpace(part, part.q, part.k, 0.0), lambda: MatchedSpace(part, part.q, part.k)):
        with pytest.raises(ValueError, match=r"give the whole of it, ball\.whole"):
            make()
    empty = ReferenceSpace(BALL_1, tensor([[1.0, 3.0]]), tensor([0.0]), 5.1)
    for use in (lambda: empty.sample(2), lambda: empty.project(BALL_1.centre)):
        with pytest.raises(ValueError, match=r"empty for the samples \[0\]"):
            use()
