"""A positive bound is no proof where rounding alone could have made it positive."""

import pytest
import sympy
import torch
from torch import nn

from absdomain import Bounds, Graph, Linf, Node, halfspaces, margins, ops, to_graph
from absdomain.certification import Reason, Status, certify
from absdomain.certification.question import Question
from absdomain.domain import parse
from absdomain.domains import DeepPoly
from absdomain.kinds import Elementwise, Nonlinear
from absdomain.ops import Dense, Max
from absdomain.ops.formula import from_sympy
from absdomain.relations.slopes import Pair, Rule
from absdomain.rounding import allowance, evaluated


def cancelling(bias: float) -> nn.Module:
    """x -> (relu(x + bias) - relu(bias) + small, 0): the big terms cancel, and what is left is their rounding."""
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
        net[0].bias.fill_(bias)
        net[2].weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 0.0]]))
        net[2].bias.copy_(torch.tensor([-1.5e-6, 0.0]))
    return net


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", ["box", "crown-ibp", "deeppoly"])
def test_terms_that_cancel_are_not_believed(text: str) -> None:
    # in real arithmetic the margin at 1.4e-6 is -1e-7; in float64 the sum with 1e10 loses it
    x, y = torch.tensor([[2e-6]], dtype=torch.float64), torch.tensor([0])
    (verdict,) = certify(cancelling(1e10), x, y, eps=6e-7, clip=None, domains=[parse(text)])
    assert verdict.status is not Status.VERIFIED
    assert verdict.reason in (Reason.ROUNDING, Reason.LOOSE, None)
    (verdict,) = certify(cancelling(1.0), torch.ones_like(x), y, eps=0.1, clip=None, domains=[parse(text)])
    assert verdict.status is Status.VERIFIED


def test_errors_are_relative_to_terms_that_cancel_and_boxes_hold_every_value() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).double()
    x = torch.rand(4, 3, dtype=torch.float64)
    graph, region = to_graph(net, x), Linf(x, 0.3)
    output = evaluated(graph, region.box())[-1]
    for point in region.sample(50):
        assert bool(((output.wide.lower <= net(point)) & (net(point) <= output.wide.upper)).all())
    first, last = net[0], net[2]
    hidden = (first.weight.abs() @ (x.abs() + 0.3).T).T + first.bias.abs()
    terms = (hidden + 1) @ last.weight.abs().T + last.bias.abs()
    ratio = output.error / (torch.finfo(torch.float64).eps * terms)
    assert bool(((ratio > 1) & (ratio < 200)).all()), ratio
    spec = margins(torch.zeros(4, dtype=torch.int64), 2)
    assert bool((allowance(graph, region, spec) > allowance(graph, region)).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_an_evaluation_is_within_its_error_of_real_arithmetic(dtype: torch.dtype) -> None:
    """Of a network whose layers cancel, in the coarser arithmetic; float64 stands for the reals."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 30), nn.GELU(), nn.Linear(30, 30), nn.Sigmoid(), nn.Linear(30, 3)).to(dtype)
    with torch.no_grad():
        net[0].bias += 1e3
        net[2].weight[::2] = -net[2].weight[1::2] + 1e-3
    x = torch.rand(20, 5, dtype=dtype)
    error = evaluated(to_graph(net, x), Linf(x, 0.0).box())[-1].error
    exact = net.double()(x.double())
    computed = net.to(dtype)(x)
    off = (computed.double() - exact).abs() if dtype is torch.float32 else torch.zeros_like(exact)
    assert bool((off <= error).all())
    assert bool(error.isfinite().all())


def layers(*steps: nn.Module) -> nn.Module:
    return nn.Sequential(*steps).double()


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight)).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight, dtype=torch.float64))
        layer.bias.copy_(torch.tensor(bias, dtype=torch.float64))
    return layer


class Asinh(nn.Module):
    """The activation of the README's plug-in."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.asinh(x)


BIG = 2.0**52


@pytest.mark.sampled(3)
@pytest.mark.parametrize("after", [None, nn.Sigmoid(), nn.Tanh(), nn.GELU(), nn.ReLU(), nn.Softplus()], ids=repr)
def test_a_cancellation_that_fusing_removes_is_charged(after: nn.Module | None) -> None:
    """x + 2^52 - (x + 2^52 + 1) is -1 in real arithmetic and -2 at x = 0.5 in float64; 1.1 more has another sign."""
    cancels = [linear([[1.0], [1.0]], [BIG, BIG + 1]), linear([[1.0, -1.0]], [1.1])]
    level = 0.0 if after is None else 1e3 * mid(after)
    last = [nn.Identity() if after is None else after, linear([[1e3], [0.0]], [-level, 0.0])]
    net = layers(*cancels, *last)
    x = torch.tensor([[0.5]], dtype=torch.float64)
    assert net(x)[0, 0] < net(x)[0, 1]
    (verdict,) = certify(net, x, torch.tensor([0]), eps=1e-3, clip=None, attack=None)
    assert verdict.status is not Status.VERIFIED


def mid(f: nn.Module) -> float:
    """f(0), between its values at 0.1 and -0.9."""
    return f(torch.zeros((), dtype=torch.float64)).item() + 1e-9


def test_a_batch_norm_of_large_means_is_certified() -> None:
    """Fusing moves sums of 1e6 by their rounding; the difference from the module is no defect."""
    torch.manual_seed(0)
    for size in (1e4, 1e6):
        net = layers(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        with torch.no_grad():
            net[0].bias += size
            net[1].running_mean.fill_(size)
        x = torch.rand(6, 4, dtype=torch.float64)
        found = list(certify(net.eval(), x, net(x).argmax(1), eps=1e-6))
        assert sum(v.status is Status.VERIFIED for v in found) >= 5


def wild(slope: float) -> Rule:
    """Every line asks for this slope."""

    def same(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
        slopes = tuple(torch.full_like(box.lower, slope) for box in boxes)
        return slopes, slopes

    return same


STEEP = (1e6, -1e12, 1e17)


@pytest.mark.parametrize("op", [
    ops.Tanh(), ops.Sigmoid(), ops.GELU(), ops.Softplus(), ops.Square(), ops.Sin(), ops.HardSwish(),
    from_sympy(sympy.exp(-sympy.Symbol("x") ** 2)),
], ids=repr)  # fmt: skip
def test_slopes_however_steep_move_a_bound_by_rounding_alone(op: Nonlinear) -> None:
    """At a point, where no width hides it, an intercept f(p) - s p would be the rounding of s p."""
    dtype = torch.float64
    for seed in range(4):
        torch.manual_seed(seed)
        graph = Graph.of([Node("x", None, (), (30,))]).then(Dense(torch.randn(20, 30, dtype=dtype)))
        graph = graph.then(op).then(Dense(torch.randn(2, 20, dtype=dtype)))
        point = Linf(torch.rand(3, 30, dtype=dtype), 0.0)
        value, room = graph(point.centre), allowance(graph, point).unsqueeze(1)
        for slope in STEEP:
            trace = DeepPoly(slopes=wild(slope)).propagate(graph, point)
            assert bool((trace.lower <= value + room).all()), slope
            assert bool((trace.upper >= value - room).all()), slope


def test_slopes_of_a_product_however_steep_move_a_bound_by_rounding_alone() -> None:
    x = torch.rand(3, 30, dtype=torch.float64)
    weight = torch.randn(20, 30, dtype=torch.float64)
    nodes = [Node("x", None, (), (30,)), Node("a", Dense(weight), (0,), (20,)), Node("b", Dense(weight), (0,), (20,))]
    graph = Graph.of([*nodes, Node("y", ops.Product(), (1, 2), (20,))])
    for slope in STEEP:
        lower = DeepPoly(slopes=wild(slope)).propagate(graph, Linf(x, 0.0)).lower
        assert bool((lower <= graph(x) + allowance(graph, Linf(x, 0.0)).unsqueeze(1)).all())


@pytest.mark.parametrize(("op", "low", "high"), [
    (ops.ReLU(), 0.0, 1.0), (ops.LeakyReLU(0.1), 0.1, 1.0), (ops.LeakyReLU(-2.0), -2.0, 1.0), (ops.Abs(), -1.0, 1.0),
    (ops.HardTanh(), 0.0, 1.0), (ops.Clamp(low=1e20), 0.0, 0.0),
    (ops.Clamp(low=0.5), 0.0, 1.0), (ops.LeakyReLU(1.0), 1.0, 1.0), (Max(-1), 0.0, 1.0),
], ids=repr)  # fmt: skip
def test_slopes_of_pieces_stay_between_the_pieces(op: Nonlinear, low: float, high: float) -> None:
    s = torch.tensor([[-1e9, -0.5, 0.5, 1e9]], dtype=torch.float64)
    box = Bounds(-2 * torch.ones_like(s), 2 * torch.ones_like(s))  # of each piece it has more than an end, or nothing
    assert torch.equal(op.clamped((s,), (box,))[0], s.clamp(low, high))


def test_a_piece_that_a_box_meets_in_an_end_alone_has_no_slope() -> None:
    s = torch.tensor([[-1e9, -0.5, 0.5, 1e9]], dtype=torch.float64)
    box = Bounds(-torch.ones_like(s), torch.ones_like(s))
    assert torch.equal(ops.HardTanh().clamped((s,), (box,))[0], torch.ones_like(s))


@pytest.mark.parametrize("op", [ops.ReLU(), ops.LeakyReLU(0.1), ops.Tanh(), Max(-1), ops.HardTanh()], ids=repr)
def test_shared_slopes_stay_shared(op: Nonlinear) -> None:
    """One tensor for both sides is one in the lines: the sign of a coefficient then tells nothing apart."""
    box = Bounds(torch.tensor([[-1.0, 0.5, -3.0]]), torch.tensor([[2.0, 1.5, 3.0]]))
    slopes = (torch.tensor([[5.0, -0.3, 0.4]]),)
    below, above = op.lines(slopes, slopes, (box,))
    assert below.slopes[0] is above.slopes[0]


def test_the_range_of_a_derivative_holds_it_on_both_sides_of_a_kink() -> None:
    """f' of elu with alpha = 2 jumps at 0 from 2 to 1: a slope of 1.5 touches f there and is kept, 3 is not."""
    box = Bounds(torch.tensor([[-1.0]]), torch.tensor([[1.0]]))
    kept, moved = (ops.ELU(alpha=2.0).clamped((torch.tensor([[s]]),), (box,))[0].item() for s in (1.5, 3.0))
    assert kept == 1.5
    assert moved == pytest.approx(2.0)


def test_slopes_of_a_leaky_relu_are_not_rounded_to_single_precision() -> None:
    box = Bounds(torch.tensor([[-2.0]], dtype=torch.float64), torch.tensor([[1.0]], dtype=torch.float64))
    below, _ = ops.LeakyReLU(0.1).tight_slopes((box,))
    assert below[0].item() == 0.1


@pytest.mark.parametrize("size", [1e160, 1e300])
def test_bounds_that_overflow_are_unknown_and_the_other_images_are_certified(size: float) -> None:
    net = layers(linear([[size], [size]], [0.0, 0.0]), nn.ReLU(), linear([[size, 0.0], [-size, 0.0]], [0.0, 0.0]))
    x = torch.tensor([[0.5], [1e-200], [0.7]], dtype=torch.float64)
    found = list(certify(net, x, torch.zeros(3, dtype=torch.int64), eps=1e-210, clip=None, attack=None))
    assert [v.status for v in found[::2]] == [Status.UNKNOWN] * 2
    assert {v.reason for v in found[::2]} == {Reason.NON_FINITE}
    assert found[1].status is (Status.VERIFIED if size == 1e160 else Status.UNKNOWN)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1e-20, 1.0, 1e20, 1e100])
def test_the_unit_of_the_weights_does_not_matter(unit: float) -> None:
    """An allowance with a floor of its own would leave small networks unknown."""
    net = layers(linear([[unit]], [0.0]), nn.ReLU(), linear([[1.0], [-1.0]], [0.0, 0.0]))
    x = torch.tensor([[0.5]], dtype=torch.float64)
    (found,) = certify(net, x, torch.tensor([0]), eps=1e-3, clip=None, attack=None)
    assert found.status is Status.VERIFIED


class Plain(Elementwise):
    """asinh, known by its value and its critical points alone."""

    def __call__(self, *xs: torch.Tensor) -> torch.Tensor:
        return torch.asinh(xs[0])

    def critical(self, slope: torch.Tensor, box: Bounds) -> tuple[torch.Tensor, ...]:
        x = (1 - slope.clamp(1e-9, 1) ** 2).sqrt() / slope.clamp(1e-9, 1)
        return x, -x


def test_the_steepest_slope_of_an_op_without_a_derivative_is_found() -> None:
    low = torch.tensor([[-1e3, -1.0, 0.0, 1.0, 1e3, 1e-300, -(2.0**53)]], dtype=torch.float64)
    high = torch.tensor([[1e3, 1.0, 1e-9, 1.1, 1e6, 2e-300, 2.0**53]], dtype=torch.float64)
    (found,) = Plain().slope_range((Bounds(low, high),))  # type: ignore[misc]
    nearest = torch.where(low * high <= 0, 0.0, torch.minimum(low.abs(), high.abs()))
    steepest = 1 / (nearest**2 + 1).sqrt()
    assert bool((found.upper >= steepest).all())
    assert bool((found.upper <= 5 * steepest).all())


class Upright(Elementwise):
    """sqrt(|x|), infinitely steep at 0."""

    def __call__(self, *xs: torch.Tensor) -> torch.Tensor:
        return xs[0].abs().sqrt()

    def critical(self, slope: torch.Tensor, box: Bounds) -> tuple[torch.Tensor, ...]:
        x = 1 / (4 * slope**2).clamp(min=1e-300)
        return x, -x, torch.zeros_like(x)


def test_a_slope_without_a_bound_is_infinite() -> None:
    box = Bounds(torch.tensor([[-1.0, 0.5]], dtype=torch.float64), torch.tensor([[1.0, 1.0]], dtype=torch.float64))
    (found,) = Upright().slope_range((box,))  # type: ignore[misc]
    assert found.upper[0, 0] == torch.inf
    assert 0.7 < found.upper[0, 1] < 4


def test_an_op_whose_slopes_are_not_known_is_not_certified_and_is_named() -> None:
    """Max, had it not answer how steep it is."""

    class Unknown(Max):
        def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
            return None

    graph = Graph.of([Node("input", None, (), (3,)), Node("mystery", Unknown(-1), (0,), ())])
    region = Linf(torch.rand(2, 3, dtype=torch.float64), 0.1)
    positive = halfspaces(torch.ones(1, 1), torch.ones(1))
    answer = Question(graph, graph, region, positive).ask(parse("box"))
    assert answer.unbounded == "mystery"
    assert not positive.holds(answer.decision.lower, answer.slack).any()
    assert bool((answer.decision.lower > 0).all())


@pytest.mark.parametrize(("op", "x"), [(ops.GELU(), -8.0), (ops.GELUTanh(), -3.5), (ops.ELU(), -1e-9)], ids=repr)
def test_a_formula_that_cancels_says_so(op: Nonlinear, x: float) -> None:
    """The left tail of GELU is x (1 + erf) / 2: what is left of 1 + erf is rounding of 1, not of the small result."""
    point = torch.tensor([[x]], dtype=torch.float64)
    unit = torch.finfo(torch.float64).eps / 2
    assert op.forward_error((Bounds(point, point),)).item() * unit > unit * abs(x) / 2


def chain(*gains: float, head: float) -> nn.Module:
    """x -> relu(... relu(g_1 x) ... g_n) - head, against 0."""
    steps: list[nn.Module] = []
    for gain in gains:
        steps += [linear([[gain]], [0.0]), nn.ReLU()]
    return layers(*steps, linear([[-1.0], [0.0]], [head, 0.0]))


@pytest.mark.sampled(5)
@pytest.mark.parametrize("gains", [(1e-200, 2.4e-124, 1e160, 1e164), (1e-160, 3e-163, 1e160, 1e163)])
@pytest.mark.parametrize("text", ["box", "box & deeppoly", "zonotope", "lp"])
def test_what_underflows_and_is_amplified_is_charged(gains: tuple[float, ...], text: str) -> None:
    """The second layer's value is lost or cut to a few bits, and the later ones bring it back to the size of 1."""
    x, y = torch.tensor([[1.0]], dtype=torch.float64), torch.tensor([0])
    net = chain(*gains, head=0.1)
    (verdict,) = certify(net, x, y, eps=1e-3, clip=None, attack=None, domains=[parse(text)])
    assert verdict.status is not Status.VERIFIED


def test_weights_that_fusing_makes_subnormal_are_no_defect() -> None:
    """3e-323 has one digit: the fused network is off by a tenth, which is rounding and not a fault of lowering."""
    steps = [linear([[gain]], [0.0]) for gain in (1e-160, 3e-163, 1e160, 1e163)]
    net = layers(*steps, linear([[3000.0], [0.0]], [0.0, 0.0]))
    x, y = torch.tensor([[1.0]], dtype=torch.float64), torch.tensor([0])
    (verdict,) = certify(net, x, y, eps=1e-3, clip=None)
    assert verdict.reason is Reason.ROUNDING


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", ["box", "lp", "exact"])
def test_fused_factors_that_overflow_are_unknown(text: str) -> None:
    net = layers(linear([[1e200]], [0.0]), linear([[1e200]], [0.0]), nn.ReLU(), linear([[1.0], [-1.0]], [0.0, 0.0]))
    x, y = torch.tensor([[1e-300]], dtype=torch.float64), torch.tensor([0])
    (verdict,) = certify(net, x, y, eps=1e-301, clip=None, attack=None, domains=[parse(text)])
    assert verdict.status is Status.UNKNOWN


@pytest.mark.parametrize("text", ["deeppoly(slopes=one)", "deeppoly(slopes=zero)", "deeppoly", "dual", "zonotope"])
def test_over_a_box_that_is_far_too_wide_the_near_end_is_not_lost(text: str) -> None:
    """A slope of 1 on one side once left nothing of the other side's, 4e-17, over the box that a loose bound gives."""
    x, wide = (torch.full((1, 1), t, dtype=torch.float64) for t in (5e13, 4.2e17))
    domain = parse(text)
    y = domain.relax(ops.Clamp(-9.0, 9.0), (domain.lift(Linf(x, 0.0)),), (Bounds(-wide / 500, wide),))
    assert domain.bounds(y).upper.item() >= 9.0
    y = domain.relax(ops.Clamp(-9.0, 9.0), (domain.lift(Linf(-x, 0.0)),), (Bounds(-wide, wide / 500),))
    assert domain.bounds(y).lower.item() <= -9.0
