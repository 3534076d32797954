"""Orderings between domains that are theorems; what is false in general is not asserted anywhere.

False, and so absent: adaptive CROWN-IBP >= IBP; Fast-Lin >= IBP; full CROWN >= CROWN-IBP; adaptive >= parallel;
intermediate CROWN bounds tighter than IBP. Each was refuted on random networks.
"""

from itertools import pairwise
from math import prod
from random import Random

import pytest
import torch
from torch import Tensor

from absdomain import Graph, Linf, Node, parse
from absdomain.laws import Example, drawing, witnesses
from absdomain.laws.broken import slack
from absdomain.laws.derivatives import jittered
from absdomain.laws.drawing import normal
from absdomain.laws.examples import REGIONS, RegionMaker, example, linf
from absdomain.linear import Bounds
from absdomain.ops import Dense, ReLU, Reshape
from absdomain.spec import Spec

MAKERS = (drawing.dense, drawing.dense, drawing.conv2d, drawing.scale, drawing.batch_norm, *[drawing.relu] * 4)
SEEDS = range(20)


def relu_problem(seed: int, *, region: RegionMaker = linf) -> Example:
    """A branching ReLU network over a region, with no specification.

    Jittered: where rounding decides whether a neuron is barely alive, so it does which slope it gets.
    """
    problem = example(Random(seed), makers=MAKERS, size=8, region=region)
    return Example(jittered(problem.graph, Random(seed)), problem.region)


def bounds(text: str, problem: Example) -> Bounds:
    trace = parse(text).propagate(problem.graph, problem.region, problem.spec)
    return Bounds(trace.lower, trace.upper)


def room(problem: Example) -> Tensor:
    return slack(witnesses.magnitudes(problem)[-1])


def assert_inside(inner: Bounds, outer: Bounds, allowed: Tensor) -> None:
    """inner is contained in outer, up to rounding."""
    assert bool((inner.lower >= outer.lower - allowed).all()), (inner.lower - outer.lower).min()
    assert bool((inner.upper <= outer.upper + allowed).all()), (inner.upper - outer.upper).max()


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("tighter", "looser"), [
    ("deeppoly(slopes=zero).guided(by=box)", "box"),  # CROWN-IBP with zero slopes >= IBP with elision
    ("deeppoly(slopes=zero)", "box"),
    # alone, rounding may put the lower bound of what is 0 just below 0, where the slope of the line below jumps
    ("box & deeppoly(slopes=zero)", "deeppoly(slopes=zero).guided(by=box)"),
    ("box & deeppoly", "box"),
    ("box & deeppoly(slopes=parallel)", "box"),
])  # fmt: skip
@pytest.mark.parametrize("region", REGIONS, ids=lambda make: make.__name__)
def test_the_first_is_never_looser(tighter: str, looser: str, region: RegionMaker) -> None:
    """Over any region: its minimum is superadditive in the row, which is all that the proof asks of it."""
    for seed in SEEDS:
        problem = relu_problem(seed, region=region)
        assert_inside(bounds(tighter, problem), bounds(looser, problem), room(problem))


def test_full_crown_with_zero_slopes_is_inside_ibp_at_every_node() -> None:
    for seed in SEEDS:
        problem = relu_problem(seed)
        traces = [
            parse(t).propagate(problem.graph, problem.region, keep=True) for t in ("deeppoly(slopes=zero)", "box")
        ]
        for place, node in enumerate(problem.graph.nodes):
            allowed = slack(witnesses.magnitudes(problem)[place])
            assert_inside(traces[0].at(node.name), traces[1].at(node.name), allowed)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", ["deeppoly", "deeppoly(slopes=zero)", "deeppoly(slopes=parallel)"])
def test_a_reduced_product_is_inside_a_pure_domain_over_the_same_boxes(text: str) -> None:
    """Both relax over the same boxes: those of box, here."""
    for seed in SEEDS:
        problem = relu_problem(seed)
        product = f"(box & {text}).guided(by=box)"
        assert_inside(bounds(product, problem), bounds(f"{text}.guided(by=box)", problem), room(problem))


def test_elision_is_never_looser_and_its_cross_entropy_never_larger() -> None:
    for seed in SEEDS:
        problem = relu_problem(seed)
        rng, n = Random(seed), prod(problem.graph.output.shape)
        weight, bias = drawing.weights(rng, 4, n, fan=n), drawing.biases(rng, 4)
        graph = problem.graph.then(Reshape((n,))).then(Dense(weight, bias))
        C = torch.eye(4, dtype=torch.float64)[:1] - torch.eye(4, dtype=torch.float64)[1:]
        spec = Spec(C.unsqueeze(0), torch.zeros(1, 3, dtype=torch.float64))
        elided = parse("box").propagate(graph, problem.region, spec).lower
        logits = parse("box").propagate(graph, problem.region)
        apart = logits.lower[:, :1] - logits.upper[:, 1:]
        allowed = room(Example(graph, problem.region, spec))
        assert bool((elided >= apart - allowed).all())
        losses = [torch.log1p((-m).exp().sum(1)) for m in (elided.clamp(-30, 30), apart.clamp(-30, 30))]
        assert bool((losses[0] <= losses[1] + allowed).all())


def test_the_cross_entropy_of_lower_margins_bounds_that_of_every_point() -> None:
    for seed in SEEDS:
        problem = relu_problem(seed)
        n = prod(problem.graph.output.shape)
        if n < 2:
            continue
        C = torch.eye(n, dtype=torch.float64)[:1] - torch.eye(n, dtype=torch.float64)[1:]
        asked = Example(problem.graph, problem.region, Spec(C.unsqueeze(0), torch.zeros(1, n - 1).to(C)))
        lower = bounds("deeppoly", asked).lower
        points = witnesses.values(asked, witnesses.points(asked, Random(seed)))
        bound, found = (torch.logsumexp(torch.nn.functional.pad(-m, (1, 0)), -1) for m in (lower, points))
        assert bool((found <= bound + room(asked) * n).all())


def test_wider_balls_have_wider_interval_bounds() -> None:
    for seed in SEEDS:
        problem = relu_problem(seed)
        nested = [Example(problem.graph, Linf(problem.region.centre, eps)) for eps in (0.0, 0.01, 0.1, 0.5, 2.0)]
        for inner, outer in pairwise(nested):
            assert_inside(bounds("box", inner), bounds("box", outer), room(outer))


def dense_net(rng: Random, *sizes: int) -> tuple[Graph, list[Dense]]:
    """Dense layers of these sizes with ReLUs between them, and the layers."""
    graph = Graph.of([Node("x", None, (), sizes[:1])])
    layers = [Dense(normal(rng, m, n) / n**0.5, 0.3 * normal(rng, m)) for n, m in pairwise(sizes)]
    for place, layer in enumerate(layers):
        graph = graph.then(layer, f"z{place + 1}")
        graph = graph if layer is layers[-1] else graph.then(ReLU())
    return graph, layers


@pytest.mark.sampled(3)
@pytest.mark.parametrize("region", REGIONS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("policy", ["zero", "one", "parallel", "adaptive"])
def test_one_hidden_layer_needs_no_guide(policy: str, region: RegionMaker) -> None:
    """CROWN-IBP is CROWN where the only intermediate bounds are exact."""
    for seed in range(10):
        rng = Random(seed)
        problem = Example(dense_net(rng, 4, 5, 3)[0], region(rng, 2, (4,)))
        one, other = (bounds(f"deeppoly(slopes={policy}){by}", problem) for by in ("", ".guided(by=box)"))
        assert_inside(one, other, room(problem))
        assert_inside(other, one, room(problem))


def test_a_mixture_of_weight_0_is_ibp_bit_for_bit() -> None:
    for seed in range(20):
        problem = relu_problem(seed)
        mixed, box = bounds("mix(deeppoly.guided(by=box), box, weight=0.0)", problem), bounds("box", problem)
        assert torch.equal(mixed.lower, box.lower)
        assert torch.equal(mixed.upper, box.upper)


def wong_kolter(layers: list[Dense], ball: Linf, boxes: list[Bounds], c: Tensor) -> Tensor:
    """J of the dual network, written out: a lower bound of <c, z> with s = u / (u - l) on both sides."""
    nu = -c
    value = torch.zeros(len(c), dtype=torch.float64)
    for layer, box in zip(reversed(layers), [None, *reversed(boxes)], strict=True):
        if box is not None:
            low, high = box.lower.clamp(max=0), box.upper.clamp(min=0)
            nu = torch.where(high > low, high / (high - low), 0.0) * nu
            value = value + (torch.where(high > 0, low, 0.0) * nu.clamp(min=0)).sum(-1)
        value = value - nu @ layer.bias
        nu = nu @ layer.weight
    return value - (nu * ball.centre).sum(-1) - ball.radius * nu.abs().sum(-1)


def test_parallel_slopes_are_wong_and_kolters_dual() -> None:
    for seed in range(20):
        rng = Random(seed)
        graph, layers = dense_net(rng, *(rng.randint(2, 5) for _ in range(rng.randint(3, 5))))
        ball = Linf(normal(rng, 1, *graph.input.shape), 0.3)
        trace = parse("deeppoly(slopes=parallel)").propagate(graph, ball, keep=True)
        boxes = [trace.at(f"z{place + 1}") for place in range(len(layers) - 1)]
        dual = wong_kolter(layers, ball, boxes, torch.eye(graph.output.shape[0], dtype=torch.float64))
        torch.testing.assert_close(trace.lower[0], dual, rtol=1e-9, atol=1e-9)
