"""Every evaluation in a float type, in whatever order it sums, lies in the values of the executed graph."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from absdomain import Bounds, Linf, to_graph
from absdomain.domain import parse
from absdomain.graph import Graph, freeze
from absdomain.kinds import Affine
from absdomain.laws import check_op
from absdomain.ops import Conv, Dense
from absdomain.ops.rounded import Rounded
from absdomain.rounding import executed

UNITS = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}


def summed(terms: Tensor, order: Tensor) -> Tensor:
    """The sum over the last axis, term by term in this order, rounded each time."""
    total = terms[..., order[0]]
    for place in order[1:]:
        total = total + terms[..., place]
    return total


def halved(terms: Tensor) -> Tensor:
    """The sum over the last axis by halves."""
    count = terms.shape[-1]
    return terms[..., 0] if count == 1 else halved(terms[..., : count // 2]) + halved(terms[..., count // 2 :])


def evaluated(graph: Graph, x: Tensor, dtype: torch.dtype, order: torch.Generator) -> Tensor:
    """graph(x) of ops in `dtype`, matrices summed in an order of their own."""
    values = [x.to(dtype)]
    for step in graph.schedule:
        args = [values[a] for a in step.args]
        op = step.op
        if isinstance(op, Dense):
            assert op.weight is not None
            terms = args[0].unsqueeze(-2) * op.weight.to(dtype)
            if op.bias is not None:
                terms = torch.cat([terms, op.bias.to(dtype).view(-1, 1).expand(*terms.shape[:-1], 1)], -1)
            places = torch.randperm(terms.shape[-1], generator=order)
            values.append(
                summed(terms, places) if torch.rand((), generator=order) < 0.5 else halved(terms[..., places])
            )
        elif isinstance(op, Conv):
            flat = to_matrix(op, graph.nodes[step.args[0]].shape, args[0].shape[1:])
            terms = args[0].flatten(1).unsqueeze(1) * flat[0].to(dtype)
            terms = torch.cat([terms, flat[1].to(dtype).view(-1, 1).expand(*terms.shape[:-1], 1)], -1)
            out = halved(terms[..., torch.randperm(terms.shape[-1], generator=order)])
            values.append(out.view(len(x), *graph.nodes[step.place].shape))
        else:
            values.append(op(*args))
    return values[-1].double()


def to_matrix(op: Affine, shape: tuple[int, ...], _: object) -> tuple[Tensor, Tensor]:
    """(A, b) of an affine op, in float64."""
    count = int(torch.Size(shape).numel())
    zero = op(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
    columns = op(torch.eye(count, dtype=torch.float64).view(count, *shape)).flatten(1) - zero
    return columns.t(), zero


def network(seed: int, kind: str, cancel: float) -> nn.Module:
    torch.manual_seed(seed)
    first: nn.Module = nn.Linear(4, 6)
    if kind == "conv":
        first = nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 2, 2, padding=1), nn.Flatten())
    width = 6 if kind != "conv" else 18
    act = {"relu": nn.ReLU(), "sigmoid": nn.Sigmoid(), "gelu": nn.GELU(), "conv": nn.ReLU()}[kind]
    net = nn.Sequential(first, act, nn.Linear(width, 5), act, nn.Linear(5, 3))
    with torch.no_grad():
        if kind == "relu":
            first.bias.add_(cancel)
            net[2].bias.sub_(cancel * net[2].weight.sum(1))
    return net.eval()


@pytest.mark.sampled(5)
@pytest.mark.parametrize("dtype", UNITS, ids=str)
@pytest.mark.parametrize("kind", ["relu", "sigmoid", "gelu", "conv"])
@settings(max_examples=3)
@given(seed=st.integers(0, 10**6), cancel=st.sampled_from([0.0, 1e2, 1e4]))
def test_an_evaluation_in_any_order_is_a_value_of_the_executed_graph(
    dtype: torch.dtype, kind: str, seed: int, cancel: float
) -> None:
    net = network(seed, kind, cancel)
    if dtype is not torch.float32 and kind in ("sigmoid", "gelu"):
        net = net.to(dtype)  # weights of that type
    net = net.double()
    x = torch.rand(3, 4, dtype=torch.float64)
    region = Linf(x, 0.05, clip=None)
    graph = freeze(to_graph(net, x))
    rewritten = executed(graph, region.box(), dtype)
    order = torch.Generator().manual_seed(seed)
    for domain in ("box", "deeppoly"):
        bounds = parse(domain).propagate(rewritten, region)
        near = region.sample(4, generator=order).flatten(0, 1).to(dtype).double()
        held = ((near >= region.box().lower.repeat(4, 1)) & (near <= region.box().upper.repeat(4, 1))).all(1)
        found = evaluated(graph, near, dtype, order)
        low, high = bounds.lower.repeat(4, 1), bounds.upper.repeat(4, 1)
        assert bool(((low <= found) & (found <= high))[held].all())


def test_the_radius_is_not_much_more_than_rounding_needs() -> None:
    """Of 784 inputs in float32: gamma_789 of the terms, not of all entries of the graph."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(784, 10)).double()
    x = torch.rand(1, 784, dtype=torch.float64)
    graph = executed(to_graph(net, x), Linf(x, 0.1).box(), torch.float32)
    (radius,) = (node.op.radius for node in graph.nodes if isinstance(node.op, Rounded))
    terms = net[0].weight.abs() @ (x[0] + 0.1).clamp(max=1) + net[0].bias.abs()
    assert bool((radius >= 784 * 2.0**-24 * terms).all())
    assert bool((radius <= 800 * 2.0**-24 * terms).all())


def test_what_moves_entries_is_exact_and_what_overflows_is_unknown() -> None:
    x = torch.ones(1, 4, dtype=torch.float64)
    net = nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Flatten(), nn.ReLU())
    moves = executed(to_graph(net, x), Linf(x, 0.1).box(), torch.float32)
    assert not any(isinstance(node.op, Rounded) for node in moves.nodes)
    large = nn.Linear(4, 1).double()
    with torch.no_grad():
        large.weight.fill_(1e38)
    graph = executed(to_graph(large, x), Linf(x, 0.1, clip=None).box(), torch.float32)
    bounds = parse("box & deeppoly").propagate(graph, Linf(x, 0.1, clip=None))
    assert bool((bounds.lower == -torch.inf).all())
    assert bool((bounds.upper == torch.inf).all())


@pytest.mark.parametrize("given", [(torch.int32, torch.float64), (torch.float32, torch.float32)], ids=str)
def test_other_types_are_refused(given: tuple[torch.dtype, torch.dtype]) -> None:
    dtype, own = given
    x = torch.ones(1, 4, dtype=own)
    with pytest.raises(ValueError, match="executed: "):
        executed(to_graph(nn.Linear(4, 1).to(own), x), Bounds(x, x), dtype)


def test_rounded_is_an_operation_like_others() -> None:
    op = Rounded(torch.tensor([[0.0, 1e-3, 1.0]], dtype=torch.float64))
    check_op(op, (3,), exact=False)  # the band is of all its values, of which evaluation gives one
    y, d = torch.rand(50, 3, dtype=torch.float64), op.radius * (2 * torch.rand(50, 3, dtype=torch.float64) - 1)
    box = Bounds(torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64))
    for slope in (-1.0, 0.0, 0.5, 1.0, 2.0):
        band = op.band((torch.full((1, 3), slope, dtype=torch.float64),), (box,))
        gap = y + d - slope * y
        assert bool(((band.lower - 1e-12 <= gap) & (gap <= band.upper + 1e-12)).all())
