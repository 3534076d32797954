"""A positive bound is no proof where rounding alone could have made it positive."""

import pytest
import sympy
import torch
from torch import nn

from absdomain import Bounds, Graph, Linf, Node, margins, ops, to_graph
from absdomain.algebra import parse
from absdomain.certification import Reason, Status, certify
from absdomain.domains import DeepPoly
from absdomain.kinds import Elementwise, Nonlinear
from absdomain.ops import Dense, Max
from absdomain.rounding import Magnitude, allowance
from absdomain.slopes import Fixed, Pair


def cancelling(bias: float) -> nn.Module:
    """x -> (relu(x + bias) - relu(bias) + small, 0): the big terms cancel, and what is left is their rounding."""
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
        net[0].bias.fill_(bias)
        net[2].weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 0.0]]))
        net[2].bias.copy_(torch.tensor([-1.5e-6, 0.0]))
    return net


@pytest.mark.parametrize("text", ["box", "crown-ibp", "deeppoly"])
def test_terms_that_cancel_are_not_believed(text: str) -> None:
    # in real arithmetic the margin at 1.4e-6 is -1e-7; in float64 the sum with 1e10 loses it
    x, y = torch.tensor([[2e-6]], dtype=torch.float64), torch.tensor([0])
    (verdict,) = certify(cancelling(1e10), x, y, eps=6e-7, clip=None, domains=[parse(text)])
    assert verdict.status is not Status.VERIFIED
    assert verdict.reason in (Reason.ROUNDING, Reason.LOOSE, None)
    (verdict,) = certify(cancelling(1.0), torch.ones_like(x), y, eps=0.1, clip=None, domains=[parse(text)])
    assert verdict.status is Status.VERIFIED


def test_the_magnitude_holds_every_value_and_does_not_cancel() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).double()
    x = torch.rand(4, 3, dtype=torch.float64)
    graph, region = to_graph(net, x), Linf(x, 0.3)
    trace = Magnitude().propagate(graph, region)
    for point in region.sample(50):
        assert bool((net(point).abs() <= trace.upper).all())
    first, last = net[0], net[2]
    hidden = (first.weight.abs() @ (x.abs() + 0.3).T).T + first.bias.abs()
    torch.testing.assert_close(trace.upper, hidden @ last.weight.abs().T + last.bias.abs())
    spec = margins(torch.zeros(4, dtype=torch.int64), 2)
    assert bool((allowance(graph, region, spec) > allowance(graph, region)).all())


def wild(slope: float) -> Fixed:
    """Every line asks for this slope."""

    def same(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
        slopes = tuple(torch.full_like(box.lower, slope) for box in boxes)
        return slopes, slopes

    return Fixed(same)


STEEP = (1e6, -1e12, 1e17)


@pytest.mark.parametrize("op", [
    ops.Tanh(), ops.Sigmoid(), ops.GELU(), ops.Softplus(), ops.Square(), ops.Sin(), ops.HardSwish(),
    Elementwise.from_sympy(sympy.exp(-sympy.Symbol("x") ** 2)),
], ids=repr)  # fmt: skip
def test_slopes_however_steep_move_a_bound_by_rounding_alone(op: Nonlinear) -> None:
    """At a point, where no width hides it, an intercept f(p) - s p would be the rounding of s p."""
    dtype = torch.float64
    for seed in range(4):
        torch.manual_seed(seed)
        graph = Graph([Node("x", None, (), (30,))]).then(Dense(torch.randn(20, 30, dtype=dtype)))
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
    graph = Graph([*nodes, Node("y", ops.Product(), (1, 2), (20,))])
    for slope in STEEP:
        lower = DeepPoly(slopes=wild(slope)).propagate(graph, Linf(x, 0.0)).lower
        assert bool((lower <= graph(x) + allowance(graph, Linf(x, 0.0)).unsqueeze(1)).all())


@pytest.mark.parametrize(("op", "low", "high"), [
    (ops.ReLU(), 0.0, 1.0), (ops.LeakyReLU(0.1), 0.1, 1.0), (ops.LeakyReLU(-2.0), -2.0, 1.0), (ops.Abs(), -1.0, 1.0),
    (ops.HardTanh(), 0.0, 1.0), (ops.Clamp(low=1e20), 0.0, 1.0), (ops.LeakyReLU(1.0), 1.0, 1.0), (Max(-1), 0.0, 1.0),
], ids=repr)  # fmt: skip
def test_slopes_of_pieces_stay_between_the_pieces(op: Nonlinear, low: float, high: float) -> None:
    s = torch.tensor([[-1e9, -0.5, 0.5, 1e9]], dtype=torch.float64)
    box = Bounds(-torch.ones_like(s), torch.ones_like(s))
    assert torch.equal(op.tempered((s,), (box,))[0], s.clamp(low, high))


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
    kept, moved = (ops.ELU(alpha=2.0).tempered((torch.tensor([[s]]),), (box,))[0].item() for s in (1.5, 3.0))
    assert kept == 1.5
    assert moved == pytest.approx(2.0)


def test_slopes_of_a_leaky_relu_are_not_rounded_to_single_precision() -> None:
    box = Bounds(torch.tensor([[-2.0]], dtype=torch.float64), torch.tensor([[1.0]], dtype=torch.float64))
    below, _ = ops.LeakyReLU(0.1).support((box,))
    assert below[0].item() == 0.1
