"""Zonotopes: symbols are told apart by identity, budgets keep every value, and bounds are Fast-Lin's."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from random import Random

import pytest
import torch
from torch import Tensor

from absdomain import Bounds, Graph, Linf, Node, parse
from absdomain.domains import Box, DeepPoly, Zonotope
from absdomain.domains.zonotope import Affinity, Noise
from absdomain.laws import Example, check_domain, drawing, witnesses
from absdomain.laws.broken import at_most, equal, slack
from absdomain.laws.derivatives import jittered
from absdomain.laws.examples import REGIONS, RegionMaker, example
from absdomain.laws.growth import branching
from absdomain.ops import Add, Dense, ReLU
from absdomain.region import Region
from absdomain.relations import slopes
from tests.subjects import some

D64 = torch.float64
MAKERS = (
    drawing.dense, drawing.conv1d, drawing.conv2d, drawing.batch_norm, drawing.avg_pool, drawing.pool_windows,
    *[drawing.relu] * 4, drawing.leaky_relu, drawing.max_,
)  # fmt: skip


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=D64)


def piecewise(seed: int, region: RegionMaker | None = None) -> Example:
    """A piecewise-linear network, mostly branching, with no ties between the ends of its boxes."""
    problem = example(Random(seed), makers=MAKERS, size=8, region=region)
    return Example(jittered(problem.graph, Random(seed)), problem.region, problem.spec)


def bounds(domain: object, problem: Example) -> Bounds:
    trace = parse(str(domain)).propagate(problem.graph, problem.region, problem.spec)
    return Bounds(trace.lower, trace.upper)


def room(problem: Example) -> Tensor:
    return slack(witnesses.magnitudes(problem)[-1])


BUDGETS = (
    "zonotope(symbols=8)", "zonotope(symbols=2)", "zonotope(symbols=0)", "zonotope.guided(by=box)",
    "mix(zonotope, box, weight=0.5)",
)  # fmt: skip


@pytest.mark.sampled(5)
@pytest.mark.parametrize("text", some(BUDGETS, "zonotope(symbols=2)", "zonotope.guided(by=box)"))
def test_budgets_and_combinations_keep_the_laws(text: str) -> None:
    check_domain(parse(text), examples=6)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("region", REGIONS, ids=lambda make: make.__name__)
def test_bounds_are_those_of_deeppoly_with_parallel_slopes(region: RegionMaker) -> None:
    """One slope and its band: the symbols' rays, summed over all ways to the output, are back-substitution's rows.

    So it is on every graph, and the intermediate boxes agree by induction.
    """
    branches = 0
    for seed in range(25):
        problem = piecewise(seed, region)
        branches += branching(problem.graph)
        zonotope, fast_lin = bounds(Zonotope(), problem), bounds(DeepPoly(slopes=slopes.parallel), problem)
        equal(zonotope.lower, fast_lin.lower, room(problem), "zonotope is Fast-Lin")
        equal(zonotope.upper, fast_lin.upper, room(problem), "zonotope is Fast-Lin")
    assert branches >= 10


def picked(index: int) -> Dense:
    """x -> x[index], of two inputs."""
    return Dense(tensor([[float(i == index) for i in range(2)]]))


def two_branches() -> Graph:
    """(|x_0| - |x_1|) / 2, written relu(x_0) - relu(x_1) - (x_0 - x_1) / 2."""
    return Graph.of([
        Node("x", None, (), (2,)),
        Node("z0", picked(0), (0,), (1,)), Node("h0", ReLU(), (1,), (1,)),
        Node("z1", picked(1), (0,), (1,)), Node("h1", ReLU(), (3,), (1,)),
        Node("minus", Dense(tensor([[-1.0]])), (4,), (1,)),
        Node("rest", Dense(tensor([[-0.5, 0.5]])), (0,), (1,)),
        Node("y", Add(), (2, 5, 6), (1,)),
    ])  # fmt: skip


@pytest.mark.parametrize("symbols", [None, 2, 1, 0])
def test_symbols_of_two_relaxations_are_two(symbols: int | None) -> None:
    """Each branch has one symbol, in the same place: taken for one, they would cancel and bound y by [0, 0]."""
    trace = Zonotope(symbols=symbols).propagate(two_branches(), Linf(tensor([[0.0, 0.0]]), 1.0))
    assert (trace.lower.item(), trace.upper.item()) == pytest.approx((-0.5, 0.5))


def test_a_symbol_that_comes_by_two_ways_is_one() -> None:
    """relu(x) - relu(x) is 0."""
    graph = Graph.of([
        Node("x", None, (), (2,)), Node("h", ReLU(), (0,), (2,)),
        Node("minus", Dense(-torch.eye(2, dtype=D64)), (1,), (2,)), Node("y", Add(), (1, 2), (2,)),
    ])  # fmt: skip
    region = Linf(tensor([[0.0, 0.25]]), 1.0)
    trace = Zonotope().propagate(graph, region)
    torch.testing.assert_close(torch.stack([trace.lower, trace.upper]), torch.zeros(2, 1, 2, dtype=D64))
    assert Box().propagate(graph, region).upper.max() > 0.9


def test_branches_that_kept_different_symbols_are_matched_by_entry() -> None:
    """The first sample's branches have symbols {4, 0} and {2, 4}, the second's {1, 2} and {3, none}."""
    region, source = Linf(torch.zeros(2, 1, dtype=D64), 0.0), object()
    still = {"inputs": torch.zeros(1, 1, 1, dtype=D64), "constant": torch.zeros(1, 1, dtype=D64)}
    one = Noise(source, torch.tensor([[4, 1], [0, 2]]), tensor([[[1.0], [2.0]], [[4.0], [8.0]]]))
    other = Noise(source, torch.tensor([[2, 3], [4, 0]]), tensor([[[16.0], [32.0]], [[-3.0], [0.0]]]))
    foreign = Noise(object(), torch.tensor([[4, 1]]), tensor([[[64.0], [128.0]]]))
    arguments = [Affinity(region, **still, noise=noise) for noise in ((one,), (other, foreign))]
    upper = Zonotope().bounds(Zonotope().affine(Add(), *arguments)).upper
    assert upper.tolist() == [[abs(1.0 - 3.0) + 4.0 + 16.0 + 64.0], [2.0 + 8.0 + 32.0 + 128.0]]


def test_no_budget_and_an_ample_one_agree_and_a_small_one_holds_both() -> None:
    """Over the same boxes: a dropped symbol's values are all kept."""
    looser = 0
    for seed in range(30):
        problem, by = piecewise(seed), Box()
        ends = [bounds(Zonotope(symbols=n).guided(by=by), problem) for n in (None, 10_000, 6, 2, 0)]
        equal(ends[0].lower, ends[1].lower, room(problem), "an ample budget changes nothing")
        for wide in ends[2:]:
            at_most(wide.lower, ends[0].lower, room(problem), "a budget is never tighter")
            at_most(ends[0].upper, wide.upper, room(problem), "a budget is never tighter")
        looser += int(bool((ends[-1].width > ends[0].width + 1e-6).any()))
    assert looser >= 5


@pytest.mark.sampled(3)
@pytest.mark.parametrize("symbols", [0, 3, 8])
def test_no_more_symbols_are_kept_than_budgeted(symbols: int) -> None:
    for seed in range(30):
        problem = piecewise(seed)
        trace = Zonotope(symbols=symbols).propagate(problem.graph, problem.region, keep=True)
        for e in trace._elements:
            assert e is not None
            used = sum([(block.rays.flatten(2) != 0).any(2).sum(0) for block in e.noise], start=torch.zeros(1))
            assert int(used.max()) <= symbols


def test_what_a_tie_keeps_does_not_depend_on_the_batch() -> None:
    """Eight neurons of one band but for rounding, and room for three symbols: alone, and among sixteen samples.

    Both halves of the input are equal, and neuron i has the weights a_i w and (1 - a_i) w.
    """
    torch.manual_seed(0)
    w, share, half = torch.randn(1, 300) / 17, torch.rand(8, 1), torch.randn(16, 300) * 0.1
    first = torch.cat([share * w, (1 - share) * w], 1)
    graph = Graph.of([Node("x", None, (), (600,))])
    for op in (Dense(first), ReLU(), Dense(torch.randn(4, 8)), Dense(torch.randn(2, 4))):
        graph = graph.then(op)
    x, domain = torch.cat([half, half], 1), Zonotope(symbols=3)
    together = domain.propagate(graph, Linf(x, 0.2)).lower
    apart = torch.cat([domain.propagate(graph, Linf(row, 0.2)).lower for row in x.split(1)])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


def test_settled_neurons_have_no_symbol() -> None:
    graph = Graph.of([Node("x", None, (), (2,)), Node("h", ReLU(), (0,), (2,))])
    output = Zonotope().propagate(graph, Linf(tensor([[2.0, -2.0], [5.0, 3.0]]), 1.0)).output
    assert output.noise == ()
    assert output.slack is None
    mixed = Zonotope().propagate(graph, Linf(tensor([[2.0, 0.5], [0.0, 3.0]]), 1.0)).output
    assert mixed.noise[0].entries.tolist() == [[1, 0]]  # one symbol a sample, each for its own unstable neuron


@pytest.mark.sampled(3)
@pytest.mark.parametrize("region", REGIONS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("symbols", [None, 3])
def test_planes_lie_above_the_values_and_touch_the_bounds(region: RegionMaker, symbols: int | None) -> None:
    for seed in range(15):
        problem, domain = piecewise(seed, region), Zonotope(symbols=symbols)
        trace = domain.propagate(problem.graph, problem.region)
        rows, constants = domain.planes(trace.output)
        asked = Example(problem.graph, problem.region)
        assert rows.data.shape == (prod(problem.graph.output.shape), rows.data.shape[1], *problem.graph.input.shape)
        x = witnesses.points(asked, Random(seed))
        planes = torch.stack([rows.dot(point) + constants for point in x])  # (P, K, B)
        values = witnesses.values(asked, x).flatten(2).transpose(1, 2)
        at_most(values, planes, room(asked).flatten().max(), "a plane lies above the values")
        highest = constants - problem.region.minimum(rows.negated())
        equal(highest.t().reshape(trace.upper.shape), trace.upper, room(asked), "a plane's maximum is the bound")


@dataclass(frozen=True, eq=False)
class Half(Linf):
    """{ x in the ball : x >= centre }, whose intermediate bounds are those of the ball."""

    @property
    def whole(self) -> Region:
        return Linf(self.centre, self.radius)

    def box(self) -> Bounds:
        return Bounds(self.centre, self.centre + self.radius)


@pytest.mark.parametrize("text", ["zonotope", "dual", "deeppoly(slopes=parallel)", "zonotope & zonotope"])
def test_relaxations_are_over_the_whole_region_and_bounds_over_the_part(text: str) -> None:
    """relu(x) - x on [-1, 1] is -x / 2 + 1/4 -+ 1/4, which on [0, 1] reaches from -1/2 to 1/2."""
    graph = Graph.of([
        Node("x", None, (), (1,)), Node("h", ReLU(), (0,), (1,)), Node("minus", Dense(tensor([[-1.0]])), (0,), (1,)),
        Node("y", Add(), (1, 2), (1,)),
    ])  # fmt: skip
    part, whole = (parse(text).propagate(graph, r(tensor([[0.0]]), 1.0)) for r in (Half, Linf))
    assert (part.lower.item(), part.upper.item()) == pytest.approx((-0.5, 0.5))
    assert (whole.lower.item(), whole.upper.item()) == pytest.approx((-0.5, 1.0))


def test_a_zonotope_is_trained_through() -> None:
    """Gradient steps on the weights widen a certified margin, from below 0 to above it."""
    torch.manual_seed(1)
    sizes = (4, 16, 16, 1)
    layers = [Dense((torch.randn(m, n) / n**0.5).requires_grad_(), torch.zeros(m)) for n, m in pairwise(sizes)]
    graph = Graph.of([Node("x", None, (), (4,))])
    for layer in layers:
        graph = graph.then(layer) if layer is layers[-1] else graph.then(layer).then(ReLU())
    optimiser = torch.optim.Adam([layer.weight for layer in layers], lr=0.02)
    region, margins = Linf(torch.randn(1, 4), 0.3), []
    for _ in range(40):
        optimiser.zero_grad()
        lower = Zonotope(symbols=12).propagate(graph, region).lower.sum()
        (-lower).backward()
        optimiser.step()
        margins.append(lower.item())
    assert margins[0] < 0 < margins[-1]


@pytest.mark.parametrize("symbols", [-1, 1.5, True, "8"])
def test_a_budget_is_a_number_of_symbols(symbols: object) -> None:
    with pytest.raises(ValueError, match="noise symbols"):
        Zonotope(symbols=symbols)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["zonotope", "zonotope(symbols=8)", "zonotope(symbols=0).guided(by=box)"])
def test_texts_read_back(text: str) -> None:
    assert str(parse(text)) == text
    assert parse("deepz") == parse("DiffAI") == Zonotope()


def test_the_networks_drawn_here_are_undecided() -> None:
    """Where no neuron is, all relational domains agree."""
    outputs = [Zonotope().propagate(p.graph, p.region).output for p in map(piecewise, range(40))]
    assert sum(len(block.entries) for output in outputs for block in output.noise) > 100
