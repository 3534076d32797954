"""Exact is the optimum: of patterns enumerated, of another program; what it proves in a limited time is a bound."""

from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from absdomain import Graph, Interval, Linf, Node, margins, parse, to_graph
from absdomain.domains import LP, Box, Exact
from absdomain.domains.program.search import Search
from absdomain.domains.program.solver import Posed
from absdomain.kinds import Elementwise, PiecewiseLinear
from absdomain.laws import LAWS, DomainLaw, Example, check_domain, drawing, optima, witnesses
from absdomain.laws.examples import example
from absdomain.linear import Bounds
from absdomain.lowering import UnsupportedOp
from absdomain.ops import Add, Dense, LeakyReLU, Max, ReLU, Scale
from absdomain.region import L2
from absdomain.spec import halfspaces
from tests.domains.test_lp import BALL, MARGIN, problem, tensor, two_neurons
from tests.domains.written_programs import dense_net, enumerated_minimum

CLOSE = 1e-5  # HiGHS's tolerances, times the ranges of the variables


@dataclass(frozen=True, eq=False)
class Clip(PiecewiseLinear):
    """min(max(x, -1), 2): three pieces."""

    kinks = (-1.0, 2.0)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].clamp(-1, 2)


@dataclass(frozen=True, eq=False)
class Zigzag(PiecewiseLinear):
    """|x| - 2 |x - 1| + 2 |x - 2|: neither convex nor concave, so that the domains of its pieces count."""

    kinks = (0.0, 1.0, 2.0)

    def __call__(self, *xs: Tensor) -> Tensor:
        (x,) = xs
        return x.abs() - 2 * (x - 1).abs() + 2 * (x - 2).abs()


@dataclass(frozen=True, eq=False)
class Square(Elementwise):
    """x^2, which has no pieces."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0] ** 2

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return (slope / 2,)


def ends(domain: Any, asked: Example) -> Tensor:
    trace = domain.propagate(asked.graph, asked.region, asked.spec)
    return torch.stack([trace.lower, trace.upper])


@pytest.mark.parametrize(
    "text", ["exact", "mip", "exact.guided(by=box)", "exact(timeout=60.0).guided(by=box & deeppoly)"]
)
def test_two_neurons_have_their_exact_margin(text: str) -> None:
    found = ends(parse(text), Example(two_neurons(), BALL, MARGIN))
    torch.testing.assert_close(found, tensor([[[0.4]], [[4.4]]]), rtol=0, atol=CLOSE)


def test_every_objective_is_solved_afresh() -> None:
    """HiGHS, given the last solution to start from, has returned it as the optimum of the next objective."""
    shift = Dense(torch.eye(3, dtype=torch.float64), tensor([-0.1, -0.3, -0.6]))
    graph = Graph.of([Node("x", None, (), (3,))]).then(shift).then(ReLU())
    region = Linf(tensor([[0.92, 0.81, 0.87]]), 0.3, clip=(0.0, 1.0))
    torch.testing.assert_close(
        ends(Exact(), Example(graph, region)), tensor([[[0.52, 0.21, 0.0]], [[0.9, 0.7, 0.4]]]), rtol=0, atol=CLOSE
    )


def test_exact_is_the_least_over_all_patterns_of_active_neurons() -> None:
    for seed in range(5):
        rng = Random(seed)
        graph, layers = dense_net(rng, rng.randint(2, 4), rng.randint(2, 3), rng.randint(2, 3), 2)
        region = Interval(tensor([[-1.0] * graph.input.shape[0]]), tensor([[1.0] * graph.input.shape[0]]))
        lower = Exact().propagate(graph, region).lower[0]
        for i, c in enumerate(np.eye(2).tolist()):
            least = enumerated_minimum(layers, region, c)
            assert least - CLOSE <= lower[i].item() <= least + 1e-9


def piecewise_linear(domain: Any, rng: Random, first: drawing.Maker | None = None) -> Example:
    """A problem that Exact does not refuse, of one sample and few enough open neurons for the other program."""
    while True:
        over = rng.choice(optima.REGIONS)
        found = example(rng, makers=optima.MAKERS, batch=1, size=rng.randint(3, 6), region=over, first=first)
        if optima.encode(found.graph, found.region)[0].binaries <= optima.BINARIES:
            return Example(found.graph, found.region)


def assert_optimal(asked: Example) -> None:
    found = ends(Exact().guided(by=parse("box & deeppoly")), asked)
    room = CLOSE * (1 + witnesses.magnitudes(asked)[-1].amax())
    torch.testing.assert_close(found, torch.stack(optima.ends(asked)), rtol=0, atol=float(room))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("first", [None, drawing.max_, drawing.leaky_relu], ids=["any", "max", "leaky_relu"])
def test_exact_is_the_optimum_of_a_program_written_apart_from_it(first: drawing.Maker | None) -> None:
    """Branching graphs with convolutions and sums over boxes and cross-polytopes, with max and leaky ReLU."""
    for seed in range(3):
        assert_optimal(piecewise_linear(None, Random(seed), first))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("op", [Clip(), Zigzag(), ReLU()], ids=lambda op: type(op).__name__)
def test_ops_of_any_number_of_pieces_are_exact(op: PiecewiseLinear) -> None:
    """Two entries that are no function of each other, over boxes that hold some of the kinks, or all."""
    mix = Dense(tensor([[1.0, -2.0], [0.5, 1.0]]), tensor([0.0, 0.0]))
    grid = torch.linspace(0, 1, 401, dtype=torch.float64)
    for low, high in ((-3.0, 4.0), (-0.5, 0.5), (1.5, 4.0), (-4.0, -0.5)):
        graph = Graph.of([Node("x", None, (), (2,))]).then(op).then(mix)
        region = Interval(tensor([[low, low]]), tensor([[high, high]]))
        x = low + (high - low) * grid
        values = graph(torch.cartesian_prod(x, x))
        found = ends(Exact(), Example(graph, region))[:, 0]
        step = 6 * (high - low) / 400  # of values between two points of the grid
        assert bool((found[0] <= values.amin(0) + 1e-9).all())
        assert bool((found[0] >= values.amin(0) - step).all())
        assert bool((found[1] >= values.amax(0) - 1e-9).all())
        assert bool((found[1] <= values.amax(0) + step).all())


def test_a_max_over_a_window_is_exact() -> None:
    mix = Dense(tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]), tensor([0.0, 0.1, 0.2]))
    graph = Graph.of([Node("x", None, (), (2,))]).then(mix).then(Max(-1))
    grid = torch.linspace(-1, 1, 401, dtype=torch.float64)
    values = graph(torch.cartesian_prod(grid, grid))
    found = ends(Exact(), Example(graph, Interval(tensor([[-1.0, -1]]), tensor([[1.0, 1]]))))[:, 0]
    assert found[0].item() == pytest.approx(values.min().item(), abs=0.02)
    assert found[0].item() <= values.min().item()
    assert found[1].item() == pytest.approx(values.max().item(), abs=CLOSE)


def test_exact_is_never_looser_than_lp_nor_beyond_a_point() -> None:
    for seed in range(4):
        found = problem(seed, optima.REGIONS[seed % len(optima.REGIONS)])
        room = CLOSE * (1 + witnesses.magnitudes(found)[-1])
        relaxed, exact = (ends(domain.guided(by=Box()), found) for domain in (LP(), Exact()))
        assert bool((exact[0] >= relaxed[0] - room).all())
        assert bool((exact[1] <= relaxed[1] + room).all())
        values = witnesses.values(found, witnesses.points(found, Random(seed)))
        assert bool((exact[0] <= values + room * 1e-3).all())
        assert bool((exact[1] >= values - room * 1e-3).all())


def test_barely_unstable_neurons_get_no_binaries() -> None:
    """Found by `absdomain fuzz`: by binaries beside 1e-9, an entry that reaches -3e-10 was above 0.004."""
    first = Dense(
        tensor([[0.6727049737768569], [-0.3988160979257535], [-0.6653671880728343]]),
        tensor([0.031175886947779653, -0.5977547500085543, -1.0560076405289782]),
    )
    weight = [
        [-0.8025506398518465, 0.3616595021650799, -0.11128048504665168],
        [-0.34727293752162336, 0.7883039769642176, -0.8349266604118566],
        [-0.6260486926995072, -0.33777167689803317, -1.9239906823194397],
    ]
    second = Dense(tensor(weight), tensor([0.3163958694138099, -0.2942521858567891, 1.3902125506362029]))
    nodes = [
        Node("x", None, (), (1,)),
        Node("z", first, (0,), (3,)),
        Node("moved", Scale(bias=tensor([-0.031175893750640605, 0.9965708450690636, 0.2907488343512426])), (1,), (3,)),
        Node("y", LeakyReLU(0.1), (2,), (3,)),
        Node("w", second, (3,), (3,)),
        Node("shifted", Scale(bias=tensor([-0.469147337468547, -0.835715464839476, -1.4027388511244676])), (4,), (3,)),
        Node("r", ReLU(), (5,), (3,)),
        Node("s", Add(), (3, 6), (3,)),
    ]
    graph, region = Graph.of(nodes), Linf(tensor([[1.0]]), 3.0, clip=(0.0, 1.0))
    least = graph(torch.linspace(0, 1, 10001, dtype=torch.float64).unsqueeze(1)).amin(0)
    lower = Exact().propagate(graph, region).lower[0]
    assert (lower <= least).all()
    torch.testing.assert_close(lower, least, rtol=0, atol=1e-5)


def test_without_time_the_bound_is_that_of_the_relaxation() -> None:
    asked = Example(two_neurons(), BALL, MARGIN)
    found = ends(Exact(timeout=1e-9), asked)
    torch.testing.assert_close(found, ends(LP(), asked), rtol=0, atol=1e-9)
    domain = Exact(timeout=1e-9)
    shifted = halfspaces(tensor([[1.0, -1]]), tensor([-0.3]))  # exact 0.1, relaxed -0.15
    trace = domain.propagate(asked.graph, asked.region, shifted)
    decision = domain.decide(trace.output)
    assert decision.expired is not None
    assert decision.expired.tolist() == [True]
    assert decision.lower.item() == pytest.approx(-0.15)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Exact(timeout=seconds)


def test_a_decision_has_the_sign_of_the_optimum_and_a_point_where_it_is_negative() -> None:
    signs = set()
    for number in range(14):
        asked = optima.numbered(number)
        assert asked.spec is not None
        least, greatest = optima.ends(asked)
        if float((greatest - least).min()) < 0.01:  # within the solver's tolerances of the threshold
            continue
        moved = asked.spec.d - (0.75 * least + 0.25 * greatest if number % 2 else 1.25 * least - 0.25 * greatest)
        spec = halfspaces(asked.spec.C[0], moved[0])
        domain = Exact().guided(by=Box())
        trace = domain.propagate(asked.graph, asked.region, spec)
        decision, optimum = domain.decide(trace.output), least - asked.spec.d + moved
        assert decision.points is not None
        assert bool((decision.lower <= optimum + CLOSE).all())
        assert bool((decision.lower > 0).all()) == bool((optimum > 0).all())
        inside = asked.region.project(decision.points)
        torch.testing.assert_close(inside, decision.points, rtol=0, atol=1e-9)
        at_point = spec.of(asked.graph)(decision.points)
        assert bool((at_point < 0).any()) == bool((optimum < 0).any())
        signs.add(bool((optimum > 0).all()))
    assert signs == {True, False}


def test_a_decision_stops_at_the_first_row_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    solved = []
    shipped = Posed.solve
    monkeypatch.setattr(Posed, "solve", lambda self, c, k, **o: (solved.append(len(o)), shipped(self, c, k, **o))[1])
    rows = halfspaces(tensor([[1.0, -1], [-1, 1], [1, 0]]), tensor([-0.3, 1.0, 5.0]))  # -0.15 or 0.1, -3.4, positive
    trace = Exact().propagate(two_neurons(), BALL, rows)
    decision = Exact().decide(trace.output)
    assert bool(decision.lower[0, 2] > 0)
    assert sum(options > 0 for options in solved) == 1, "the second row fails, and no other needs a search"


def test_an_op_without_pieces_is_refused_but_where_its_box_is_a_point() -> None:
    graph = Graph.of([Node("x", None, (), (1,))]).then(Square())
    wide, point = Linf(tensor([[1.0]]), 0.5), Linf(tensor([[1.0]]), 0.0)
    with pytest.raises(UnsupportedOp, match="Square is not piecewise linear"):
        _ = Exact().propagate(graph, wide).lower
    assert Exact().propagate(graph, point).lower.item() == pytest.approx(1.0)
    assert 0 <= LP().propagate(graph, wide).lower.item() <= 0.25  # relaxed


def test_a_ball_that_is_no_polyhedron_is_refused_where_neurons_are_open() -> None:
    with pytest.raises(UnsupportedOp, match="L2"):
        _ = Exact().propagate(two_neurons(), L2(tensor([[1.0, 0]]), 1.0)).lower
    settled = Exact().propagate(two_neurons(), L2(tensor([[3.0, 0]]), 1.0)).lower
    torch.testing.assert_close(settled, tensor([[5.4 - 2**0.5, 3 - 2**0.5]]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("claim", ["infeasible", "beaten"])
def test_a_proof_that_cannot_be_is_not_used(monkeypatch: pytest.MonkeyPatch, claim: str) -> None:
    """A solver that says that there is no point at all, or whose bound lies above the value of its own point."""
    asked = Example(two_neurons(), BALL, MARGIN)
    if claim == "infeasible":
        shipped = Posed.solve
        monkeypatch.setattr(Posed, "solve", lambda self, c, k, **o: not o and shipped(self, c, k, **o))
    else:
        monkeypatch.setattr(Posed, "ends", lambda self: (99.0, 99.0))
    with pytest.warns(UserWarning, match="its proof is not used") if claim == "beaten" else _nothing():
        assert Exact().propagate(asked.graph, asked.region, asked.spec).lower.item() == pytest.approx(0.15)


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_the_slack_covers_what_the_solver_may_leave() -> None:
    """The bound stays below the optimum, by no more than the stated slack of tolerance times ranges."""
    trace = Exact().propagate(two_neurons(), BALL, MARGIN)
    search = Search(trace.output, 0, None)
    bound = search.minima(np.array([0]), 1.0)[0]
    assert 0.4 - 1e-6 < bound < 0.4


def law(name: str) -> DomainLaw:
    return next(law for law in LAWS if str(law) == name)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ["contains", "contains_when_frozen", "reads_one_element", "samples_are_independent"])
def test_exact_keeps_the_laws_on_graphs_of_ops_with_pieces(name: str) -> None:
    check_domain(Exact(), examples=2, laws=[replace(law(name), draw=piecewise_linear)])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ["exact_at_a_point", "exact_where_affine", "nan_proves_nothing"])
def test_exact_keeps_the_laws_on_graphs_of_all_ops(name: str) -> None:
    check_domain(Exact(), examples=3, laws=[law(name)])


@pytest.mark.slow
def test_exact_keeps_the_laws_of_a_domain_on_many_problems() -> None:
    tally = check_domain(Exact(), examples=25, seed=1)
    assert tally.problems > 100


@pytest.mark.slow
def test_exact_is_the_optimum_of_many_programs() -> None:
    for number in range(200):
        assert_optimal(optima.numbered(number, seed=1))


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("first", "second"), [(1e-6, 1e-6), (1e-4, 1e-6), (1e-8, 1.0), (1e-10, 1.0), (1e-5, 1e-5)])
def test_a_network_whose_hidden_layers_are_rescaled_is_not_proved(first: float, second: float) -> None:
    """f stays the same, but a solver's absolute tolerances are then large: the bounds must count them."""
    grid = torch.linspace(0, 1, 101, dtype=torch.float64)
    for seed in range(3):
        draw = partial(drawing.normal, Random(seed))
        w, v, u = 3 * draw(3, 2), draw(2, 3), draw(1, 2)
        graph = Graph.of([Node("x", None, (), (2,))]).then(Dense(w * first, -first * w.sum(1) / 2)).then(ReLU())
        graph = graph.then(Dense(v * second)).then(ReLU()).then(Dense(u / (first * second)))
        value = graph(torch.cartesian_prod(grid, grid))
        trace = parse("exact").propagate(graph, Linf(torch.full((1, 2), 0.5, dtype=torch.float64), 0.5))
        assert trace.lower.item() <= value.min().item() + 1e-9
        assert trace.upper.item() >= value.max().item() - 1e-9


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", [9, 30, 68])
def test_a_program_too_large_for_the_solvers_arithmetic_is_not_searched(seed: int) -> None:
    """Rows of size 1e8 are rounded by more than the tolerance: of these HiGHS claims minima above points' values."""
    torch.manual_seed(seed)
    hidden = [nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU()]
    network = nn.Sequential(*hidden, nn.Linear(6, 3)).double().requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_(1e4 * torch.randn_like(parameter))
    centre, steps = torch.rand(1, 2).double(), torch.linspace(-0.25, 0.25, 81, dtype=torch.float64)
    logits = network(centre + torch.cartesian_prod(steps, steps))
    least = (logits[:, [0]] - logits[:, 1:]).amin(0)
    graph, labels = to_graph(network, centre), torch.tensor([0])
    lower = parse("exact.guided(by=box)").propagate(graph, Linf(centre, 0.25), margins(labels, 3)).lower[0]
    assert bool((lower <= least).all())
