"""Wong and Kolter's dual network: against J written out by hand, and against Fast-Lin."""

import ast
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor

from absdomain import L1, L2, Bounds, Graph, Interval, Linf, Node, Region, Rows, margins, parse
from absdomain.domains import DeepPoly, Dual, dual, sketch
from absdomain.laws import Example
from absdomain.laws.broken import slack
from absdomain.laws.drawing import normal
from absdomain.laws.examples import REGIONS, RegionMaker, example
from absdomain.laws.problems import AnyDomain
from absdomain.laws.witnesses import magnitudes
from absdomain.ops import Add, Dense, ReLU
from absdomain.relations.slopes import parallel
from tests.domains.test_oracles import BALL_1, EXAMPLE_1, LABEL

D64 = torch.float64
FAST_LIN = DeepPoly(slopes=parallel)


def eye(n: int) -> Tensor:
    return torch.eye(n, dtype=D64)


def dense(rng: Random, m: int, n: int) -> Dense:
    return Dense(normal(rng, m, n) / n**0.5, 0.3 * normal(rng, m))


def near(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


# ---- two derivations of one bound


@pytest.mark.sampled(3)
@pytest.mark.parametrize("region", REGIONS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("by", ["", ".guided(by=box & deeppoly)"])
def test_the_dual_is_fast_lin_at_every_node(by: str, region: RegionMaker) -> None:
    for seed in range(10):
        problem = example(Random(seed), region=region)
        traces = [
            parse(text + by).propagate(problem.graph, problem.region, problem.spec, keep=True)
            for text in ("dual", "deeppoly(slopes=parallel)")
        ]
        allowed = slack(magnitudes(problem)[-1]).amax()
        for end in ("lower", "upper"):
            one, other = (getattr(trace, end) for trace in traces)
            assert bool(((one - other).abs() <= allowed).all()), (seed, one, other)
        for node in problem.graph.nodes[:-1]:
            one, other = (trace.at(node.name) for trace in traces)
            torch.testing.assert_close(one.lower, other.lower, rtol=1e-9, atol=allowed.item())
            torch.testing.assert_close(one.upper, other.upper, rtol=1e-9, atol=allowed.item())


def test_the_file_imports_neither_deeppoly_nor_slopes() -> None:
    for module in (dual, sketch):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert len(named) > 3
        assert not [name for name in named if "deeppoly" in str(name) or "slopes" in str(name)]


# ---- J written out: nu, and the conjugate of each ReLU as sum l_j [nu_j]+ over unstable neurons


def support(region: Region, nu: Tensor) -> Tensor:
    """max over one sample's region of <nu_k, x>, (K,); nu (K, n)."""
    match region:
        case Linf() | Interval():
            box = region.box()
            return nu.clamp(min=0) @ box.upper[0] + nu.clamp(max=0) @ box.lower[0]
        case L2(centre=centre, radius=radius):
            return nu @ centre[0] + radius * nu.square().sum(-1).sqrt()
        case L1(centre=centre, radius=radius):
            return nu @ centre[0] + radius * nu.abs().amax(-1)
    raise NotImplementedError(region)


def through_relu(nu_hat: Tensor, box: Bounds) -> tuple[Tensor, Tensor]:
    """nu = s nu_hat, and sum l_j [nu_j]+ over the unstable neurons."""
    low, high = box.lower[0], box.upper[0]
    unstable = (low < 0) & (high > 0)
    s = torch.where(unstable, high / (high - low), (high > 0).to(D64))
    nu = s * nu_hat
    return nu, (torch.where(unstable, low, 0.0) * nu.clamp(min=0)).sum(-1)


def objective_of_a_chain(layers: list[Dense], region: Region, boxes: list[Bounds], c: Tensor) -> Tensor:
    """J(-c): a lower bound of <c, z_L>; boxes of z_1, ..., z_L-1."""
    nu, value = -c, torch.zeros(len(c), dtype=D64)
    for layer, box in zip(reversed(layers), [*reversed(boxes), None], strict=True):
        value = value - nu @ layer.bias
        nu = nu @ layer.weight
        if box is not None:
            nu, conjugate = through_relu(nu, box)
            value = value + conjugate
    return value - support(region, nu)


def both_ends(objective: Callable[[Tensor], Tensor], n: int) -> Bounds:
    return Bounds(objective(eye(n)).unsqueeze(0), -objective(-eye(n)).unsqueeze(0))


REGIONS_OF_4 = (
    Linf(torch.full((1, 4), 0.3, dtype=D64), 0.4),
    Linf(torch.full((1, 4), 0.3, dtype=D64), 0.4, clip=(0.0, 1.0)),
    Interval(torch.full((1, 4), -0.2, dtype=D64), torch.tensor([[0.5, -0.2, 1.0, 0.1]], dtype=D64)),
    L2(torch.full((1, 4), 0.3, dtype=D64), 0.7),
    L1(torch.full((1, 4), 0.3, dtype=D64), 1.1),
)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("region", REGIONS_OF_4, ids=lambda region: type(region).__name__)
def test_a_chain_agrees_with_the_objective_written_out(region: Region) -> None:
    for seed in range(10):
        rng = Random(seed)
        sizes = [4, *(rng.randint(2, 6) for _ in range(3))]
        graph, layers = Graph.of([Node("x", None, (), (4,))]), []
        for place, (n, m) in enumerate(pairwise(sizes)):
            layers.append(dense(rng, m, n))
            graph = (graph if place == 0 else graph.then(ReLU())).then(layers[-1], f"z{place + 1}")
        boxes: list[Bounds] = []
        for k in range(1, len(layers) + 1):
            objective = partial(objective_of_a_chain, layers[:k], region, list(boxes))
            boxes.append(both_ends(objective, sizes[k]))
        for domain in (Dual(), FAST_LIN):
            trace = domain.propagate(graph, region, keep=True)
            for k, box in enumerate(boxes, start=1):
                near(trace.at(f"z{k}").lower, box.lower)
                near(trace.at(f"z{k}").upper, box.upper)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("region", REGIONS_OF_4, ids=lambda region: type(region).__name__)
def test_a_residual_network_agrees_with_the_objective_written_out(region: Region) -> None:
    """z_1 = W_1 x + b_1, h = relu(z_1), s = W_2 h + b_2 + h, o = W_3 relu(s) + b_3: h hears from both its readers."""
    for seed in range(10):
        rng = Random(seed)
        one, two, three = dense(rng, 5, 4), dense(rng, 5, 5), dense(rng, 3, 5)
        nodes = [("z", one, (0,), 5), ("h", ReLU(), (1,), 5), ("w", two, (2,), 5), ("s", Add(), (3, 2), 5)]
        nodes += [("r", ReLU(), (4,), 5), ("o", three, (5,), 3)]
        graph = Graph.of([Node("x", None, (), (4,)), *(Node(name, op, args, (m,)) for name, op, args, m in nodes)])

        def below(nu_s: Tensor, box: Bounds, one: Dense = one, two: Dense = two) -> Tensor:
            nu_1, conjugate = through_relu(nu_s @ two.weight + nu_s, box)
            return conjugate - nu_s @ two.bias - nu_1 @ one.bias - support(region, nu_1 @ one.weight)

        def output(c: Tensor, of_z: Bounds, of_s: Bounds, three: Dense = three) -> Tensor:
            nu_s, conjugate = through_relu(-c @ three.weight, of_s)
            return c @ three.bias + conjugate + below(nu_s, of_z)

        of_z = both_ends(lambda c, one=one: c @ one.bias - support(region, -c @ one.weight), 5)
        of_s = both_ends(lambda c, of_z=of_z: below(-c, of_z), 5)
        of_o = both_ends(lambda c, of_z=of_z, of_s=of_s: output(c, of_z, of_s), 3)
        for domain in (Dual(), FAST_LIN):
            trace = domain.propagate(graph, region, keep=True)
            for name, box in (("z", of_z), ("s", of_s), ("o", of_o)):
                near(trace.at(name).lower, box.lower)
                near(trace.at(name).upper, box.upper)


def test_the_pieces_of_example_1() -> None:
    """nu_2 = (-1, 1), nu_1 = (-.75, .75), nu_hat_0 = (0, -1.5); J = 2.4 - 0 - 1.5 - .75 = .15."""
    elements = [Dual().lift(BALL_1)]
    for step in EXAMPLE_1.schedule:
        elements.append(Dual().transfer(step.op, *(elements[a] for a in step.args)))
    nu, paid = torch.tensor([[[-1.0, 1.0]]], dtype=D64), []
    seen = []
    for e in reversed(elements[1:]):
        assert e.dual.pull is not None
        (rows,), constant = e.dual.pull(Rows.of(-nu))
        nu = -rows.data
        seen.append(nu.flatten().tolist())
        paid += [] if constant is None else [constant.item()]
    assert seen == [[-1.0, 1.0], [-0.75, 0.75], [0.0, -1.5]]
    assert paid == [pytest.approx(2.4), pytest.approx(-0.75)]
    assert BALL_1.minimum(Rows.of(-nu)).item() == pytest.approx(-1.5)
    assert Dual().propagate(EXAMPLE_1, BALL_1, margins(LABEL, 2)).lower.item() == pytest.approx(0.15, abs=1e-12)


def test_one_nu_serves_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are never doubled into [c; -c]."""
    problem = example(Random(3), size=9)
    expected = FAST_LIN.propagate(problem.graph, problem.region)
    want = FAST_LIN.bounds(expected.output)

    def refuse(rows: Rows) -> Rows:
        raise AssertionError("the rows were doubled")

    monkeypatch.setattr(Rows, "signed", refuse)
    got = Dual().bounds(Dual().propagate(problem.graph, problem.region).output)
    near(got.lower, want.lower)
    near(got.upper, want.upper)


@pytest.mark.parametrize("domain", [Dual(), DeepPoly()], ids=str)
def test_planes_above_hold_and_reach_the_upper_bound(domain: AnyDomain) -> None:
    for seed in range(20):
        problem = example(Random(seed))
        trace = domain.propagate(problem.graph, problem.region)
        rows, constants = domain.planes(trace.output)
        x = problem.region.sample(20)
        value = problem.graph(x.flatten(0, 1)).flatten(1).view(20, -1, len(constants))
        plane = (rows.data.unsqueeze(0) * x.unsqueeze(1)).flatten(3).sum(-1) + constants
        allowed = slack(magnitudes(Example(problem.graph, problem.region))[-1]).amax()  # no specification is bounded
        assert bool((value.transpose(1, 2) <= plane + allowed).all())
        highest = constants - problem.region.minimum(rows.negated())
        assert bool(((highest.t() - trace.upper.flatten(1)).abs() <= allowed).all())
