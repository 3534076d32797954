"""SingleProp: the rules in closed form, the properties that can be proved, and those that are not properties."""

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
import torch
from torch import Tensor, nn

from absdomain import Bounds, Graph, Guarantee, Linf, Node, parse
from absdomain.certification import Refused, certify
from absdomain.domains import Box, SymbolicGap
from absdomain.domains.symbolic_gap import Gap
from absdomain.kinds import Elementwise, Nonlinear, Slopes
from absdomain.laws import LAWS, DomainLaw, Example, check_domain, drawing
from absdomain.laws.drawing import normal
from absdomain.laws.examples import example, linf
from absdomain.laws.problems import AnyDomain
from absdomain.ops import Abs, Add, Dense, Exp, LeakyReLU, Max, ReLU, Square
from absdomain.relations import slopes
from tests.domains.test_oracles import BALL_1, EXAMPLE_1, LABEL

D64 = torch.float64
AFFINE = tuple(make for make in drawing.AFFINE if make is not drawing.pool_windows)  # its windows get a max
ZERO, FAST_LIN, ADAPTIVE = (SymbolicGap(slopes=policy) for policy in (slopes.zero, slopes.parallel, slopes.adaptive))
EVERY = pytest.mark.parametrize("domain", [ZERO, FAST_LIN, ADAPTIVE], ids=str)
Rule = Callable[[Tensor, Tensor], Tensor]


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=D64)


def phi_zero(z: Tensor, v: Tensor) -> Tensor:
    """(relu(z + v) - relu(z - v)) / 2."""
    return ((z + v).relu() - (z - v).relu()) / 2


def phi_fast_lin(z: Tensor, v: Tensor) -> Tensor:
    """s (2 - s) v, s = (z + v) / (2 v) in [0, 1]."""
    s = torch.where(v > 0, (z + v) / (2 * v), (z > 0).to(z)).clamp(0, 1)
    return s * (2 - s) * v


def phi_adaptive(z: Tensor, v: Tensor) -> Tensor:
    """v for z > 0, relu(z + v) / 2 for the others."""
    return torch.where(z > 0, v, (z + v).relu() / 2)


def phi_sound(z: Tensor, v: Tensor) -> Tensor:
    """The least half-width around relu(z) that holds relu([z - v, z + v]): v for z >= 0, else relu(z + v)."""
    return torch.where(z >= 0, v, (z + v).relu())


def dense_net(rng: Random, *sizes: int) -> tuple[Graph, list[Dense]]:
    """Dense layers of these sizes with ReLUs between them: z1, h1, z2, h2, ..."""
    graph = Graph.of([Node("x", None, (), sizes[:1])])
    layers = [Dense(normal(rng, m, n) / n**0.5, 0.3 * normal(rng, m)) for n, m in pairwise(sizes)]
    for place, layer in enumerate(layers, start=1):
        graph = graph.then(layer, f"z{place}")
        graph = graph if layer is layers[-1] else graph.then(ReLU(), f"h{place}")
    return graph, layers


def nets(count: int, *, depth: int = 4) -> list[tuple[Graph, list[Dense], Linf]]:
    """Random nets of `depth` layers, each with an unclipped ball of two samples."""
    found = []
    for seed in range(count):
        rng = Random(seed)
        graph, layers = dense_net(rng, *(rng.randint(2, 6) for _ in range(depth + 1)))
        found.append((graph, layers, Linf(normal(rng, 2, *graph.input.shape), rng.choice((0.05, 0.2, 0.6)))))
    return found


def gaps(layers: list[Dense], ball: Linf, phi: Rule) -> list[Gap]:
    """(z, v) of every pre-activation, by hand."""
    z, v, found = ball.centre, torch.full_like(ball.centre, float(ball.radius)), []
    for layer in layers:
        z, v = z @ layer.weight.T + layer.bias, v @ layer.weight.abs().T
        found.append(Gap(z, v))
        z, v = z.relu(), phi(z, v)
    return found


def radii(domain: AnyDomain, graph: Graph, ball: Linf, layers: list[Dense]) -> list[Bounds]:
    """The bounds of z1, z2, ..."""
    trace = domain.propagate(graph, ball, keep=True)
    return [trace.at(f"z{place}") for place in range(1, len(layers) + 1)]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


# --- the rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "phi"),
    [(ZERO, phi_zero), (FAST_LIN, phi_fast_lin), (ADAPTIVE, phi_adaptive)],
    ids=["zero", "fast-lin", "adaptive"],
)
def test_nets_follow_the_closed_forms(domain: SymbolicGap, phi: Rule) -> None:
    for graph, layers, ball in nets(40):
        for found, by_hand in zip(radii(domain, graph, ball, layers), gaps(layers, ball, phi), strict=True):
            close(found.centre, by_hand.z)
            close(found.radius, by_hand.v)


def level(op: Nonlinear, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
    """`zero` by another name: lines are made, where `zero` takes the image of a convex op."""
    return slopes.zero(op, boxes)


CONVEX: tuple[Elementwise, ...] = (ReLU(), LeakyReLU(0.1), LeakyReLU(-0.5), Abs(), Exp(), Square())


@pytest.mark.parametrize("op", CONVEX, ids=lambda op: type(op).__name__)
def test_the_short_way_of_zero_slopes_is_the_rule_of_the_lines(op: Elementwise) -> None:
    assert op.curvature.convex
    z, v = 2 * normal(Random(0), 2, 200), normal(Random(1), 2, 200).abs() * 1.5
    one, other = (SymbolicGap(slopes=policy).relax(op, (Gap(z, v),), None) for policy in (slopes.zero, level))
    close(one.z, op(z))
    close(one.v, other.v)


def test_a_max_follows_the_ends_of_its_image() -> None:
    """(max(z + v) - max(z - v)) / 2: the published rule of max pooling."""
    z, v = normal(Random(0), 3, 4, 5), normal(Random(1), 3, 4, 5).abs()
    found = ZERO.relax(Max(-2), (Gap(z, v),), None)
    close(found.z, z.amax(-2))
    close(found.v, ((z + v).amax(-2) - (z - v).amax(-2)) / 2)


def test_a_residual_sum_adds_the_gaps() -> None:
    one, other = Gap(torch.ones(1, 2), torch.full((1, 2), 0.5)), Gap(torch.zeros(1, 2), torch.full((1, 2), 0.25))
    found = ZERO.affine(Add(), one, other)
    assert (found.z.tolist(), found.v.tolist()) == ([[1.0, 1.0]], [[0.75, 0.75]])


@EVERY
def test_negative_slopes_count_by_their_size(domain: SymbolicGap) -> None:
    """|x| where x < 0: both slopes are -1, and the gap stays what it was."""
    found = domain.relax(Abs(), (Gap(tensor([[-2.0]]), tensor([[0.5]])),), None)
    assert (found.z.item(), found.v.item()) == (2.0, 0.5)


# --- Example 1 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("domain", "v"), [(ZERO, 1.5), (FAST_LIN, 1.875)], ids=str)
def test_gaps_of_example_1(domain: SymbolicGap, v: float) -> None:
    trace = domain.propagate(EXAMPLE_1, BALL_1, keep=True)
    assert trace.at("z").radius.tolist() == [[2.0, 2.0]]
    assert trace.at("o").radius.tolist() == [[pytest.approx(v), pytest.approx(v)]]


def worst_logits(e: Gap, label: Tensor) -> Tensor:
    """z_y - v_y and z_j + v_j, not elided."""
    return e.z + e.v * (1 - 2 * nn.functional.one_hot(label, e.z.shape[1]).to(e.z))


def test_cross_entropy_of_the_worst_logits_of_example_1() -> None:
    worst = worst_logits(FAST_LIN.propagate(EXAMPLE_1, BALL_1).output, LABEL)
    assert nn.functional.cross_entropy(worst, LABEL).item() == pytest.approx(1.580509, abs=5e-7)


def test_a_value_of_example_1_escapes() -> None:
    """x = (2, 1) is in the ball and gives o_0 = 5.4, above 4.9: why the domain is no certificate."""
    trace = ZERO.propagate(EXAMPLE_1, BALL_1)
    assert (trace.lower[0, 0].item(), trace.upper[0, 0].item()) == (pytest.approx(1.9), pytest.approx(4.9))
    assert EXAMPLE_1(tensor([[2.0, 1.0]]))[0, 0].item() == pytest.approx(5.4)
    assert trace.guarantee is ZERO.guarantee is Guarantee.HEURISTIC


# --- what can be proved -----------------------------------------------------------------------------------------------


@EVERY
def test_the_first_gap_is_the_exact_half_width(domain: SymbolicGap) -> None:
    for graph, layers, ball in nets(30):
        first, exact = radii(domain, graph, ball, layers)[0], radii(Box(), graph, ball, layers)[0]
        close(first.lower, exact.lower)
        close(first.upper, exact.upper)


def test_zero_has_the_radius_of_ibp_after_one_hidden_layer_but_not_its_centre() -> None:
    apart = 0
    for graph, layers, ball in nets(60, depth=2):
        second, ibp = radii(ZERO, graph, ball, layers)[1], radii(Box(), graph, ball, layers)[1]
        close(second.radius, ibp.radius)
        apart += int(bool(((second.centre - ibp.centre).abs() > 1e-6).any()))
    assert apart > 30


@pytest.mark.parametrize("domain", [ZERO, FAST_LIN], ids=str)
def test_where_no_neuron_is_unstable_it_is_ibp(domain: SymbolicGap) -> None:
    stable = 0
    for graph, layers, wide in nets(150):
        ball = Linf(wide.centre[:1], 0.01)
        hidden = zip(radii(domain, graph, ball, layers), radii(Box(), graph, ball, layers), strict=True)
        for own, ibp in hidden:
            close(own.lower, ibp.lower)
            close(own.upper, ibp.upper)
            if bool(((ibp.lower < 0) & (ibp.upper > 0)).any()):
                break
        else:
            stable += 1
    assert stable > 50


def test_zero_is_at_most_fast_lin_and_that_at_most_the_sound_rule_which_holds_ibp() -> None:
    for graph, layers, ball in nets(60):
        zero, fast_lin, ibp = (radii(d, graph, ball, layers) for d in (ZERO, FAST_LIN, Box()))
        for place, sound in enumerate(gaps(layers, ball, phi_sound)):
            room = 1e-9 * (1 + sound.v)
            assert bool((zero[place].radius <= fast_lin[place].radius + room).all())
            assert bool((fast_lin[place].radius <= sound.v + room).all())
            assert bool((sound.z - sound.v <= ibp[place].lower + room).all())
            assert bool((sound.z + sound.v >= ibp[place].upper - room).all())


@pytest.mark.parametrize("domain", [ZERO, FAST_LIN], ids=str)
def test_gaps_grow_with_the_radius_from_nothing(domain: SymbolicGap) -> None:
    for graph, _, ball in nets(30):
        outputs = [domain.propagate(graph, Linf(ball.centre, eps)).output for eps in (0.0, 0.01, 0.1, 0.5, 2.0)]
        assert bool((outputs[0].v == 0).all())
        assert all(bool((inner.v <= outer.v + 1e-12).all()) for inner, outer in pairwise(outputs))
        assert all(torch.equal(e.z, graph(ball.centre)) for e in outputs)


@pytest.mark.parametrize("domain", [ZERO, FAST_LIN], ids=str)
def test_the_rule_is_continuous_with_slopes_in_the_unit_interval(domain: SymbolicGap) -> None:
    """At |z| = v, where a neuron becomes unstable, and between."""
    v = torch.full((1, 4001), 0.7, dtype=D64).requires_grad_()
    z = torch.linspace(-1.4, 1.4, 4001, dtype=D64).view(1, -1).requires_grad_()
    found = domain.relax(ReLU(), (Gap(z, v),), None).v
    assert float((found[:, 1:] - found[:, :-1]).abs().max().detach()) <= 2.8 / 4000 + 1e-9
    for slope in torch.autograd.grad(found.sum(), (z, v)):
        assert float(slope.min()) >= -1e-9
        assert float(slope.max()) <= 1 + 1e-9


# --- the domain among the others --------------------------------------------------------------------------------------


def unclipped(domain: AnyDomain, rng: Random) -> Example:
    """One affine op over a ball whose centre is the middle of its box."""
    while True:
        problem = example(rng, makers=AFFINE, size=1, region=linf)
        if len(problem.graph.schedule) == 1:
            return Example(problem.graph, problem.region)


# Exact on an affine op only where the centre is the middle of a box; the other laws hold for any region.
OWN_LAWS = [DomainLaw(law.check, unclipped) if str(law) == "exact_where_affine" else law for law in LAWS]


@pytest.mark.sampled(3)
@EVERY
def test_the_laws_are_kept_but_for_that_values_are_held(domain: SymbolicGap) -> None:
    check_domain(domain, examples=8, laws=OWN_LAWS)


@pytest.mark.parametrize("text", ["symbolic_gap & box", "symbolic_gap.guided(by=box)", "box.guided(by=symbolic_gap)"])
def test_combinations_are_heuristic_too(text: str) -> None:
    assert parse(text).guarantee is Guarantee.HEURISTIC
    trace = parse(text).propagate(EXAMPLE_1, BALL_1)
    assert trace.guarantee is Guarantee.HEURISTIC
    assert bool(trace.lower.isfinite().all())


@EVERY
def test_certify_refuses_it(domain: SymbolicGap) -> None:
    net, x = nn.Sequential(nn.Linear(2, 2)), torch.rand(1, 2)
    with pytest.raises(Refused, match="HEURISTIC"):
        next(iter(certify(net, x, torch.tensor([0]), eps=0.1, domains=[domain])))


def test_texts_read_back() -> None:
    assert parse("singleprop-zero") == ZERO
    assert parse("SINGLEPROP-FASTLIN") == parse("symbolic-gap(slopes=parallel)") == FAST_LIN
    for domain in (ZERO, FAST_LIN, ADAPTIVE, FAST_LIN & Box(), Box().guided(by=ADAPTIVE)):
        assert parse(str(domain)) == domain
    assert str(FAST_LIN) == "symbolic_gap(slopes=parallel)"


def test_slopes_are_a_policy() -> None:
    with pytest.raises(TypeError, match="not a function"):
        SymbolicGap(slopes="zero")  # type: ignore[arg-type]
