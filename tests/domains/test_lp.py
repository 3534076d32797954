"""LP is the optimum of the polyhedral relaxation, proved by its multipliers and not by the solver's word."""

from math import prod
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from absdomain import Graph, Interval, Linf, Node, parse
from absdomain.domains import LP
from absdomain.domains.program.inputs import constrained
from absdomain.domains.program.matrices import Matrices
from absdomain.domains.program.solver import Objectives, Posed
from absdomain.kinds import Affine
from absdomain.laws import LAWS, Example, check_domain, drawing, matrices, witnesses
from absdomain.laws.examples import REGIONS, RegionMaker, example
from absdomain.linear import Bounds, Rows
from absdomain.ops import Dense, ReLU
from absdomain.spec import halfspaces
from tests.domains.written_programs import dense_net, triangle_minimum

MAKERS = (drawing.dense, drawing.dense, drawing.conv2d, drawing.batch_norm, drawing.max_, *[drawing.relu] * 4)
LAYERS = [[[1.0, 1], [1, -1]], [[1.0, 0], [0, 1]]]


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def two_neurons() -> Graph:
    """relu(x_1 + x_2) + 2.4 and relu(x_1 - x_2)."""
    first, last = Dense(tensor(LAYERS[0]), tensor([0.0, 0])), Dense(tensor(LAYERS[1]), tensor([2.4, 0]))
    return Graph.of([Node("x", None, (), (2,))]).then(first).then(ReLU()).then(last)


MARGIN = halfspaces(tensor([[1.0, -1]]), tensor([0.0]))
BALL = Linf(tensor([[1.0, 0]]), 1.0)


def problem(seed: int, region: RegionMaker | None = None) -> Example:
    """A branching piecewise-linear graph of a few ops; two samples."""
    found = example(Random(seed), makers=MAKERS, size=6, region=region)
    return Example(found.graph, found.region)


def lower(text: str, asked: Example) -> Tensor:
    return parse(text).propagate(asked.graph, asked.region, asked.spec).lower


def room(asked: Example) -> Tensor:
    """For two solutions of one program, each optimal to HiGHS's tolerances."""
    return 1e-6 * (1 + witnesses.magnitudes(asked)[-1])


@pytest.mark.parametrize("text", ["lp", "triangle", "planet", "lp.guided(by=box)", "lp.guided(by=box & deeppoly)"])
def test_two_neurons_have_the_margin_of_the_triangle(text: str) -> None:
    asked = Example(two_neurons(), BALL, MARGIN)
    torch.testing.assert_close(lower(text, asked), tensor([[0.15]]), rtol=1e-9, atol=1e-9)


def test_one_neuron_has_its_hull() -> None:
    trace = LP().propagate(Graph.of([Node("x", None, (), (1,))]).then(ReLU()), Linf(tensor([[1.0]]), 2.0))
    torch.testing.assert_close(torch.stack([trace.lower, trace.upper]), tensor([[[0.0]], [[3.0]]]), rtol=0, atol=1e-9)


def test_lp_is_the_triangle_program_written_out() -> None:
    for seed in range(12):
        rng = Random(seed)
        graph, layers = dense_net(rng, *(rng.randint(2, 5) for _ in range(rng.randint(3, 4))))
        region = Interval(tensor([[-0.4] * graph.input.shape[0]]), tensor([[0.7] * graph.input.shape[0]]))
        trace = parse("box").propagate(graph, region, keep=True)
        boxes = [trace.at(f"z{place + 1}") for place in range(len(layers) - 1)]
        bounds = LP().guided(by=parse("box")).propagate(graph, region)
        for i in range(prod(graph.output.shape)):
            c = np.eye(prod(graph.output.shape))[i].tolist()
            assert bounds.lower[0, i].item() == pytest.approx(triangle_minimum(layers, region, boxes, c), abs=1e-7)
            upper = -triangle_minimum(layers, region, boxes, [-v for v in c])
            assert bounds.upper[0, i].item() == pytest.approx(upper, abs=1e-7)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("region", REGIONS, ids=lambda make: make.__name__)
def test_lp_is_never_looser_over_the_same_boxes(region: RegionMaker) -> None:
    """Than back-substitution with any slopes, than interval bounds; and tighter boxes make it no looser."""
    for seed in range(3):
        asked = problem(seed, region)
        over_boxes, own = lower("lp.guided(by=box)", asked), lower("lp", asked)
        for text in ("box", *(f"deeppoly(slopes={p}).guided(by=box)" for p in ("zero", "one", "parallel", "adaptive"))):
            assert bool((over_boxes >= lower(text, asked) - room(asked)).all()), text
        assert bool((own >= over_boxes - room(asked)).all())


def test_any_multipliers_give_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weak duality: the solver's answer decides how tight a bound is, not whether it holds."""
    generator = np.random.default_rng(0)

    def invented(self: Posed, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return generator.normal(size=self.none[0].shape), generator.exponential(size=self.none[1].shape)

    asked, looser = [problem(seed) for seed in range(4)], 0
    exact = [lower("lp.guided(by=box)", one) for one in asked]
    monkeypatch.setattr(Posed, "multipliers", invented)
    for one, best in zip(asked, exact, strict=True):
        found = lower("lp.guided(by=box)", one)
        assert bool((found <= best + room(one)).all())
        looser += int((found < best - 0.1).sum())
    assert looser > 0, "no multiplier was used"


def test_a_solver_that_fails_costs_tightness_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Example(two_neurons(), BALL, MARGIN)
    monkeypatch.setattr(Posed, "solve", lambda self, c, k, **options: False)
    assert lower("lp", asked).tolist() == [[pytest.approx(2.4 - 3.0)]]  # that of the neurons' boxes


def test_numbers_that_are_unknown_or_beyond_the_solver_prove_nothing() -> None:
    for number in (torch.nan, torch.inf, 1e200):
        graph = Graph.of([Node("x", None, (), (2,))]).then(Dense(tensor([[number, 1.0]]), tensor([0.0]))).then(ReLU())
        trace = LP().propagate(graph, Linf(tensor([[0.0, 0.0]]), 1.0))
        assert not bool((trace.lower > 0).any())
        assert not bool((trace.upper < 1).any())


@pytest.mark.parametrize("region", REGIONS, ids=lambda make: make.__name__)
def test_a_regions_constraints_are_its_support_function(region: RegionMaker) -> None:
    import cvxpy as cp

    for seed in range(3):
        rng = Random(seed)
        over = region(rng, 2, (2, 3))
        c = drawing.normal(rng, 4, 2, 2, 3)
        least = over.minimum(Rows.of(c))
        for sample in range(2):
            x = cp.Variable(6)
            constraints = constrained(x, over.constraints(), sample)
            for row in range(4):
                program = cp.Problem(cp.Minimize(c[row, sample].flatten().numpy() @ x), constraints)
                assert program.solve() == pytest.approx(least[row, sample].item(), abs=1e-5)


def test_sparse_matrices_are_those_of_the_ops() -> None:
    kinds = set()
    for seed in range(25):
        graph = example(Random(seed), makers=drawing.AFFINE, size=6).graph
        for node in graph.nodes[1:]:
            if not isinstance(node.op, Affine):  # branches of several shapes may meet in a maximum
                continue
            shapes = tuple(graph.nodes[a].shape for a in node.args)
            A, b = Matrices().of(node.op, shapes, 0, torch.zeros(1, 1, dtype=torch.float64))
            whole, offset = matrices.of(node.op, shapes)
            np.testing.assert_allclose(A.toarray(), whole[0].numpy(), atol=1e-12)
            np.testing.assert_allclose(b, offset[0].flatten().numpy(), atol=1e-12)
            kinds.add(type(node.op))
    assert len(kinds) >= 8, kinds


def test_entries_that_their_boxes_settle_cost_no_variable() -> None:
    graph, region = two_neurons(), Linf(tensor([[2.0, 0.0]]), 0.9)  # both neurons are active
    element = LP().propagate(graph, region).output
    objectives = Objectives.of(element, 0, pieces=True)
    assert len(objectives.lower) == 2  # the inputs
    assert len(objectives.integer) == 0


def test_only_what_is_asked_is_bounded() -> None:
    trace = LP().propagate(two_neurons(), BALL)
    bounds: Bounds = LP().bounds(trace.output, torch.tensor([[True, False]]))
    assert bounds.lower.isfinite().tolist() == [[True, False]]
    assert bounds.upper.isfinite().tolist() == [[True, False]]


@pytest.mark.slow
def test_lp_keeps_the_laws_of_a_domain() -> None:
    check_domain(LP(), examples=1)


@pytest.mark.slow
def test_lp_keeps_the_laws_of_a_domain_on_many_problems() -> None:
    check_domain(LP(), examples=50, seed=1)


def test_ends_that_overflow_are_open() -> None:
    """A program with +inf for a lower end, or -inf for an upper one, could not be posed."""
    law = next(law for law in LAWS if str(law) == "nan_proves_nothing")
    check_domain(parse("lp.guided(by=box)"), laws=(law,), examples=6, seed=1)
