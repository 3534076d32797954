"""`decide` agrees with exact optima, with the enumeration of all sign patterns, and with planted counterexamples."""

from __future__ import annotations

from itertools import pairwise, product
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import settings
from scipy.optimize import linprog
from torch import Tensor

from absdomain import L1, L2, Graph, Interval, Linf, Node, margins, parse
from absdomain.branching import Limits, Verdict, decide
from absdomain.branching.decide import EVERYDAY, suited
from absdomain.laws import Example, optima
from absdomain.laws.drawing import normal
from absdomain.ops import Dense, ReLU, Sigmoid, Tanh
from absdomain.spec import Spec, halfspaces

MANY = settings().max_examples > 50


def network(rng: Random, widths: list[int]) -> tuple[list[tuple[Tensor, Tensor]], Graph]:
    """Random layers, and the graph of them with ReLU between."""
    layers = [(normal(rng, n, m), normal(rng, n)) for m, n in pairwise(widths)]
    graph = Graph.of([Node("x", None, (), (widths[0],))])
    for place, (weight, bias) in enumerate(layers):
        graph = graph.then(Dense(weight, bias))
        graph = graph.then(ReLU()) if place + 1 < len(layers) else graph
    return layers, graph


def least_by_patterns(layers: list[tuple[Tensor, Tensor]], lower: np.ndarray, upper: np.ndarray) -> float:
    """min of a ReLU network of one output over a box: a linear program for each pattern of active neurons."""
    sizes = [len(bias) for _, bias in layers[:-1]]
    best = np.inf
    for pattern in product((0.0, 1.0), repeat=sum(sizes)):
        A, b = np.eye(len(lower)), np.zeros(len(lower))
        rows, limits, start = [], [], 0
        for (weight, bias), size in zip(layers, [*sizes, 0], strict=True):
            A, b = weight.numpy() @ A, weight.numpy() @ b + bias.numpy()
            if size:
                on = np.array(pattern[start : start + size])
                start += size
                rows.append((1 - 2 * on)[:, None] * A)  # -z <= 0 where active, z <= 0 where not
                limits.append(-(1 - 2 * on) * b)
                A, b = on[:, None] * A, on * b
        bounds = list(zip(lower, upper, strict=True))
        found = linprog(A[0], np.concatenate(rows), np.concatenate(limits), bounds=bounds, method="highs")
        best = min(best, found.fun + b[0]) if found.status == 0 else best
    return float(best)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("number", range(200 if MANY else 12))
def test_the_answer_is_that_of_all_sign_patterns(number: int) -> None:
    """A little above the least value no point is unsafe, and a little below it one is: which is then given."""
    rng = Random(number)
    layers, graph = network(rng, [rng.choice((2, 3, 30)), rng.choice((2, 4)), rng.choice((2, 4)), 1])
    size = graph.input.shape[0]
    region = Linf(normal(rng, 1, size), rng.choice((0.1, 1.0)) / size**0.5)
    box = region.box()
    least = least_by_patterns(layers, box.lower[0].numpy(), box.upper[0].numpy())
    small = 1e-5 * (1 + abs(least))
    for moved, verdict in ((small, Verdict.UNSAT), (-small, Verdict.SAT)):
        spec = halfspaces(torch.ones(1, 1, dtype=torch.float64), torch.tensor([moved - least], dtype=torch.float64))
        (outcome,) = decide(graph, region, spec, limits=Limits(seconds=120))
        assert outcome.verdict is verdict, (least, outcome.reason, outcome.bound)
        if outcome.point is not None:
            value = graph(outcome.point.unsqueeze(0)) + spec.d
            assert float(value) <= 0 and bool((region.project(outcome.point) == outcome.point).all())


def exact_problem(number: int) -> tuple[Example, float]:
    """A branching network that the mixed-integer oracle solves, and the least value of its first functional."""
    problem = optima.numbered(number)
    assert problem.spec is not None
    one = Spec(problem.spec.C[:, :1], problem.spec.d[:, :1])
    posed = Example(problem.graph, problem.region, one)
    return posed, float(optima.ends(posed)[0])


@pytest.mark.sampled(5)
@pytest.mark.parametrize("number", range(500 if MANY else 10))
def test_the_answer_is_that_of_the_mixed_integer_program(number: int) -> None:
    """Of branching graphs of all piecewise-linear ops, over boxes and cross-polytopes."""
    problem, least = exact_problem(number)
    assert problem.spec is not None
    small = 1e-4 * (1 + abs(least))  # the solver's tolerances are absolute
    for moved, verdict in ((small, Verdict.UNSAT), (-small, Verdict.SAT)):
        spec = Spec(problem.spec.C, problem.spec.d + moved - least)
        (outcome,) = decide(problem.graph, problem.region, spec, limits=Limits(seconds=120))
        assert outcome.verdict is verdict, (least, outcome.reason, outcome.bound)


@pytest.mark.slow
def test_what_rounding_alone_leaves_open_is_not_decided() -> None:
    """ReLUs after ReLUs, whose lower bounds are roundoff: one side is empty, and nothing was gained on the other."""
    problem, least = exact_problem(387)
    assert problem.spec is not None
    spec = Spec(problem.spec.C, problem.spec.d + 1e-3 - least)
    (outcome,) = decide(problem.graph, problem.region, spec, limits=Limits(seconds=120))
    assert outcome.verdict is Verdict.UNSAT and outcome.branches < 1000


@pytest.mark.parametrize("number", range(100 if MANY else 6))
def test_a_planted_counterexample_is_never_proved_away(number: int) -> None:
    """The unsafe set is a neighbourhood of one point, which attacks do not find: it is never `unsat`."""
    rng = Random(f"planted {number}")
    _, graph = network(rng, [8, 10, 10, 3])
    region = Linf(normal(rng, 1, 8), 0.5)
    point = region.sample(1, torch.Generator().manual_seed(number))[0]
    C = normal(rng, 2, 3)
    spec = halfspaces(C, -(C @ graph(point)[0]))  # both rows are 0 there
    spec = Spec(spec.C, spec.d, torch.tensor([0, 0]))
    (outcome,) = decide(graph, region, spec, limits=Limits(seconds=1.5))
    assert outcome.verdict is not Verdict.UNSAT
    if outcome.point is not None:
        rows = C @ graph(outcome.point.unsqueeze(0))[0] + spec.d[0]
        assert bool((rows <= 0).all())


def test_a_conjunction_is_safe_where_no_single_row_is_positive() -> None:
    """x + y <= -1/2 and x - y <= -1/2 with x >= -2/5: the mean of the rows is positive, and neither row is."""
    graph = Graph.of([Node("x", None, (), (2,))]).then(Dense(torch.eye(2, dtype=torch.float64)))
    lower, upper = torch.tensor([[-0.4, -1.0]]).double(), torch.tensor([[1.0, 1.0]]).double()
    rows = torch.tensor([[1.0, 1.0], [1.0, -1.0]]).double()
    spec = Spec(rows.unsqueeze(0), torch.full((1, 2), 0.5, dtype=torch.float64), torch.tensor([0, 0]))
    (outcome,) = decide(graph, Interval(lower, upper), spec)
    assert outcome.verdict is Verdict.UNSAT and outcome.branches == 1


@pytest.mark.parametrize("ball", [L1, L2])
def test_balls_are_split_between_activations(ball: type[L1] | type[L2]) -> None:
    rng = Random(3)
    _, graph = network(rng, [4, 8, 8, 3])
    x = normal(rng, 1, 4)
    y = graph(x).argmax(1)
    verdicts = []
    for radius in (0.02, 0.2, 5.0):
        (outcome,) = decide(graph, ball(x, radius), margins(y, 3), limits=Limits(seconds=120))
        verdicts.append(outcome.verdict)
        if outcome.point is not None:
            assert float((outcome.point - x).flatten().norm(p=1 if ball is L1 else 2)) <= radius * (1 + 1e-9)
            assert int(graph(outcome.point.unsqueeze(0)).argmax()) != int(y)
    assert verdicts[0] is Verdict.UNSAT and verdicts[-1] is Verdict.SAT
    assert Verdict.UNKNOWN not in verdicts and Verdict.TIMEOUT not in verdicts


@pytest.mark.parametrize("op", [Sigmoid(), Tanh()], ids=["sigmoid", "tanh"])
def test_smooth_networks_are_split_at_thresholds(op: Sigmoid | Tanh) -> None:
    """30 inputs vary, so that activations alone are split; the bounds of the whole do not decide."""
    rng = Random(5)
    graph = Graph.of([Node("x", None, (), (30,))])
    for m, n in ((30, 6), (6, 6)):
        graph = graph.then(Dense(normal(rng, n, m), normal(rng, n))).then(op)
    graph = graph.then(Dense(normal(rng, 1, 6), normal(rng, 1)))
    region = Linf(normal(rng, 1, 30), 0.12)
    least = float(torch.stack([graph(x) for x in region.sample(20000)]).min())
    bound = float(parse("box & deeppoly").propagate(graph, region).lower)
    spec = halfspaces(torch.ones(1, 1).double(), -torch.tensor([bound + 0.15 * (least - bound)]).double())
    (outcome,) = decide(graph, region, spec, limits=Limits(seconds=120))
    assert outcome.verdict is Verdict.UNSAT and outcome.branches > 1


def test_a_network_that_is_too_wide_for_rows_of_all_activations_is_bounded_by_zonotopes() -> None:
    """|x_1 - x_2| beside 23,000 neurons that never move; where many entries of the input vary, zonotopes are dear."""
    weight = torch.zeros(23_000, 30, dtype=torch.float64)
    weight[:2, :2] = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    ends, still = torch.ones(1, 23_000, dtype=torch.float64), torch.ones(23_000, dtype=torch.float64)
    still[:2] = 0.0
    graph = Graph.of([Node("x", None, (), (30,))]).then(Dense(weight, still)).then(ReLU()).then(Dense(ends, still[:1]))
    radius = torch.zeros(1, 30, dtype=torch.float64)
    radius[:, :2] = 1.0
    region = Linf(torch.zeros(1, 30, dtype=torch.float64), radius)
    domain, most = suited(graph, region)
    assert "zonotope" in str(domain) and most == 2
    for offset, verdict in ((-22_997.9, Verdict.UNSAT), (-22_998.0, Verdict.SAT)):
        spec = halfspaces(torch.ones(1, 1, dtype=torch.float64), torch.tensor([offset], dtype=torch.float64))
        assert [outcome.verdict for outcome in decide(graph, region, spec)] == [verdict]
    assert suited(graph, Linf(region.centre, 1.0), 700) == (parse(EVERYDAY), 700)


def test_limits_hold_and_say_what_was_reached() -> None:
    rng = Random(11)
    _, graph = network(rng, [40, 60, 60, 60, 2])
    region = Linf(normal(rng, 1, 40), 0.3)
    values = torch.stack([graph(x) for x in region.sample(2000)])[..., 0]
    beyond = float(values.mean() - values.min())  # below all samples by as much as these are below their mean
    spec = halfspaces(torch.tensor([[1.0, 0.0]]).double(), torch.tensor([beyond - float(values.min())]).double())
    (outcome,) = decide(graph, region, spec, limits=Limits(seconds=1.0))
    assert outcome.verdict is Verdict.TIMEOUT and outcome.reason.startswith("time: 1 s")
    assert outcome.seconds < 8 and outcome.bound < 0
    (outcome,) = decide(graph, region, spec, limits=Limits(branches=3))
    assert outcome.verdict is Verdict.UNKNOWN and outcome.reason.startswith("branches: ")


def test_every_sample_has_its_own_outcome() -> None:
    rng = Random(2)
    _, graph = network(rng, [3, 6, 2])
    x = normal(rng, 4, 3)
    radii = torch.tensor([0.0, 0.01, 0.3, 3.0], dtype=torch.float64).view(4, 1)
    outcomes = decide(graph, Linf(x, radii), margins(graph(x).argmax(1), 2))
    assert [o.verdict for o in outcomes[:2]] == [Verdict.UNSAT] * 2 and len(outcomes) == 4


def test_a_region_of_points_without_a_batch_is_refused() -> None:
    _, graph = network(Random(0), [4, 2])
    with pytest.raises(ValueError, match=r"shape \(4,\), but the graph takes a batch \(B, 4\)"):
        decide(graph, L2(torch.zeros(4, dtype=torch.float64), 1.0), margins(torch.tensor([0]), 2))


def test_a_heuristic_domain_is_refused() -> None:
    _, graph = network(Random(2), [3, 6, 2])
    with pytest.raises(ValueError, match="HEURISTIC"):
        decide(graph, Linf(torch.zeros(1, 3).double(), 0.1), margins(torch.tensor([0]), 2), domain="symbolic_gap")


def test_limits_are_numbers_that_can_be_kept() -> None:
    for given in ({"seconds": -1.0}, {"seconds": float("nan")}, {"branches": -1}):
        with pytest.raises(ValueError, match="give a number >= 0"):
            Limits(**given)


def tied() -> Graph:
    """(x, y) -> (relu(x - 1/3) + relu(1/3 - x) + relu(y), relu(x + y - 1.9)): the first has the least value 0."""
    first = Dense(
        torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([-1.0, 1.0, 0.0, -5.7]) / 3
    )
    last = Dense(torch.tensor([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]), torch.zeros(2))
    return Graph.of([Node("x", None, (), (2,))]).then(first).then(ReLU()).then(last)


def test_a_tie_ends_the_search_and_says_so() -> None:
    """f >= 0 with f = 0 at a point: no bound is above 0, however small the parts."""
    region = Interval(-torch.ones(1, 2), torch.ones(1, 2))
    (found,) = decide(tied(), region, Spec(torch.tensor([[[1.0, 0.0]]]), torch.zeros(1, 1)), limits=Limits(seconds=60))
    assert found.verdict is Verdict.UNKNOWN
    assert "tie" in found.reason and found.branches < 500


@pytest.mark.parametrize("seed", [1, 11])
def test_a_row_that_is_large_makes_no_tie_of_another(seed: int) -> None:
    """The least value is 1e-6, far above what rounding may add to its row, and far below that of 1e9 times the row.

    The second network needs a linear program, whose rows pass layers with decisions.
    """
    layers, graph = network(Random(seed), [2, 4, 4, 1])
    least = least_by_patterns(layers, -np.ones(2), np.ones(2))
    spec = Spec(torch.tensor([[[1.0], [1e9]]]).double(), torch.tensor([[1e-6 - least, 1e9 * (10 - least)]]).double())
    (found,) = decide(graph, Interval(-torch.ones(1, 2), torch.ones(1, 2)), spec, limits=Limits(seconds=60))
    assert found.verdict is Verdict.UNSAT and found.branches > 1, found


def test_a_counterexample_elsewhere_is_found_beside_a_tie() -> None:
    """Of two rows one has a tie, the other is negative in a corner: 0.05 - relu(x + y - 1.9)."""
    region = Interval(-torch.ones(1, 2), torch.ones(1, 2))
    spec = Spec(torch.tensor([[[1.0, 0.0], [0.0, -1.0]]]), torch.tensor([[0.0, 0.05]]))
    (found,) = decide(tied(), region, spec, limits=Limits(seconds=60))
    assert found.verdict is Verdict.SAT and found.point is not None
    assert float(found.point.sum()) > 1.95
