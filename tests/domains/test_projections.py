"""The dual network with random projections: what the estimates are on average, and what is exact all the same."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
import torch
from torch import Tensor, nn

from absdomain import L1, L2, Graph, Guarantee, Linf, Node, Region, certify, parse
from absdomain.certification import Refused
from absdomain.domains import Dual, sketch
from absdomain.domains.sketch import Sketch
from absdomain.laws import check_domain
from absdomain.laws.broken import slack
from absdomain.laws.drawing import normal
from absdomain.laws.examples import example
from absdomain.laws.witnesses import magnitudes
from absdomain.ops import Add, Dense, LeakyReLU, ReLU, Scale
from tests.domains.test_dual import dense, eye, near, objective_of_a_chain

D64 = torch.float64


def wide(rng: Random, *sizes: int) -> Graph:
    """Dense layers of these sizes with ReLUs between them."""
    graph = Graph.of([Node("x", None, (), sizes[:1])])
    for place, (n, m) in enumerate(pairwise(sizes)):
        graph = (graph if place == 0 else graph.then(ReLU())).then(dense(rng, m, n))
    return graph


def ball(n: int, batch: int = 2, radius: float = 0.1) -> Linf:
    return Linf(normal(Random(n), batch, n), radius)


def estimates(region: Region, op: Dense, projections: int, seeds: int) -> Tensor:
    """Radii of op over the region as they are estimated, (seeds, B, m)."""
    found = [sketch.affine(op, (sketch.lift(region, projections, seed),)).box().radius for seed in range(seeds)]
    return torch.stack(found)


def test_cauchy_estimates_have_the_mean_and_spread_of_a_median() -> None:
    """The median of |r Cauchy variables|: at r = 50 its mean is 1.03, its deviation .23, and 49 % are too small."""
    op = Dense(normal(Random(0), 40, 200))
    region = ball(200, batch=1)
    ratio = estimates(region, op, 50, 200) / region.image(op).box().radius
    assert ratio.mean().item() == pytest.approx(1.03, abs=0.02)
    assert ratio.std().item() == pytest.approx(0.23, abs=0.02)
    assert (ratio < 1).double().mean().item() == pytest.approx(0.49, abs=0.03)


def test_normal_estimates_of_a_euclidean_ball() -> None:
    """The root of the mean of r squares: mean 1 - 1/(4 r), deviation 1/sqrt(2 r)."""
    op = Dense(normal(Random(0), 40, 200))
    region = L2(torch.zeros(1, 200, dtype=D64), 0.3)
    ratio = estimates(region, op, 50, 100) / region.image(op).box().radius
    assert ratio.mean().item() == pytest.approx(0.995, abs=0.01)
    assert ratio.std().item() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("region", [L1, L2, Linf])
def test_the_input_is_exact_where_its_rows_are_few_or_no_projection_fits(
    region: type[L1] | type[L2] | type[Linf],
) -> None:
    op = Dense(normal(Random(0), 7, 20))
    over = region(normal(Random(1), 2, 20), normal(Random(2), 2, 20).abs())
    for projections in (5, 20) if region is L1 else (20,):
        near(estimates(over, op, projections, 1)[0], over.image(op).box().radius)


def test_estimated_relaxations_average_to_the_exact_radius() -> None:
    """The input is exact, and so is the first layer's box; sixty bands, of which most are unstable, are projected."""
    graph, region = wide(Random(1), 4, 60, 10, 3), ball(4, radius=1.0)
    exact = Dual().propagate(graph, region, keep=True).at(graph.nodes[3].name).radius
    ratios = []
    for seed in range(200):
        domain = Dual(projections=10, seed=seed)
        e = domain.lift(region)
        for step in graph.schedule[:3]:
            e = domain.transfer(step.op, e)
        ratios.append(domain.boxes(ReLU(), (e,))[0].radius / exact)
    ratio = torch.stack(ratios)
    assert float(ratio.std()) > 0.05
    assert 1.0 < ratio.mean().item() < 1.2  # the median of ten is high by a sixth of the projected part


def test_enough_projections_are_the_exact_dual() -> None:
    for seed in range(20):
        problem = example(Random(seed))
        one, other = (
            domain.propagate(problem.graph, problem.region, problem.spec) for domain in (Dual(), Dual(projections=64))
        )
        allowed = slack(magnitudes(problem)[-1]).amax()
        assert bool(((one.lower - other.lower).abs() <= allowed).all())
        assert bool(((one.upper - other.upper).abs() <= allowed).all())


def test_the_objective_is_exact_over_the_estimated_boxes() -> None:
    rng, region = Random(5), ball(30, batch=1)
    layers = [dense(rng, m, n) for n, m in ((30, 25), (25, 20), (20, 3))]
    domain, boxes = Dual(projections=4), []
    e = domain.lift(region)
    for place, layer in enumerate(layers):
        e = domain.affine(layer, e)
        if place < 2:
            boxes.append(domain.boxes(ReLU(), (e,))[0])
            e = domain.relax(ReLU(), (e,), None)
    near(domain.bounds(e).lower[0], objective_of_a_chain(layers, region, boxes, eye(3)))
    graph = Graph.of([Node("x", None, (), (30,))]).then(layers[0]).then(ReLU()).then(layers[1])
    exact = Dual().propagate(graph, region)
    assert not torch.allclose(boxes[1].lower, exact.lower)


def test_branches_meet_row_by_row_and_relaxations_draw_alone() -> None:
    """relu - relu is 0; but relu - leaky relu has the errors of two relaxations, which add up."""
    z, rows = Dense(normal(Random(0), 60, 4)), Dense(normal(Random(2), 5, 60))
    minus, total = Scale(torch.tensor(-1.0, dtype=D64)), Node("d", Add(), (2, 4), (60,))
    first = [Node("x", None, (), (4,)), Node("z", z, (0,), (60,)), Node("h", ReLU(), (1,), (60,))]
    ratios = []
    for seed in range(60):
        same, other = (
            Graph.of([*first, Node("g", op, (1,), (60,)), Node("m", minus, (place,), (60,)), total]).then(rows)
            for op, place in ((ReLU(), 2), (LeakyReLU(0.1), 3))
        )
        assert float(sketched(same, seed).box().radius.abs().max()) < 1e-12
        ratios.append(sketched(other, seed).box().radius / summed_bands(other))
    mean = torch.stack(ratios).mean().item()
    assert 1.0 < mean < 1.3, mean  # the median of ten lies above by a tenth or two, as the weights have it


def sketched(graph: Graph, seed: int) -> Sketch:
    """What projections know of the output."""
    domain = Dual(projections=10, seed=seed)
    elements = [domain.lift(ball(4, radius=1.0))]
    for step in graph.schedule:
        elements.append(domain.transfer(step.op, *(elements[a] for a in step.args)))
    found = elements[-1].sketch
    assert found is not None
    return found


def summed_bands(graph: Graph) -> Tensor:
    """The radius of the output, exactly."""
    e = Dual().propagate(graph, ball(4, radius=1.0)).output
    return Dual().bounds(e).radius


def test_the_same_seed_gives_the_same_bounds() -> None:
    graph, region = wide(Random(0), 30, 40, 20, 3), ball(30, radius=0.5)
    first, again, another = (
        domain.propagate(graph, region).lower
        for domain in (Dual(projections=5), Dual(projections=5), replace(Dual(projections=5), seed=1))
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, another)


def test_gradients_pass_through_the_estimates() -> None:
    """The width of the second layer's estimated box, as a function of the ball's radius."""
    graph, domain = wide(Random(0), 30, 40, 20, 3), Dual(projections=5)

    def width(radius: Tensor) -> Tensor:
        e = domain.lift(replace(ball(30), radius=radius))
        for step in graph.schedule[:3]:
            e = domain.transfer(step.op, e)
        return domain.boxes(ReLU(), (e,))[0].width.sum()

    torch.autograd.gradcheck(width, torch.tensor(0.1, dtype=D64, requires_grad=True))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("projections", [1, 3])
def test_projections_keep_every_law_but_containment(projections: int) -> None:
    check_domain(Dual(projections=projections), examples=8)


def test_certify_refuses_projections() -> None:
    domain = Dual(projections=50)
    assert domain.guarantee is Guarantee.STATISTICAL
    assert Dual().guarantee is Guarantee.SOUND
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(Refused, match=r"dual\(projections=50\).*STATISTICAL, not SOUND"):
        list(certify(model, torch.rand(2, 3), torch.tensor([0, 1]), eps=0.1, domains=[domain]))
    assert len(list(certify(model, torch.rand(2, 3), torch.tensor([0, 1]), eps=0.1, domains=[Dual()]))) == 2


def test_names_and_options() -> None:
    assert parse("wong-kolter") == parse("wk") == parse("dual") == Dual()
    assert parse("dual(projections=50, seed=3)") == Dual(projections=50, seed=3)
    assert str(Dual(projections=50, seed=3)) == "dual(projections=50, seed=3)"
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="projections is"):
            Dual(projections=wrong)  # type: ignore[arg-type]
