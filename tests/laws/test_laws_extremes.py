"""Networks on which rounding is large, and their values in 200 digits."""

from dataclasses import replace
from random import Random

import pytest
import torch
from torch import nn

from absdomain import to_graph
from absdomain.laws import drawing, witnesses
from absdomain.laws.digits import MP, value, values
from absdomain.laws.examples import example
from absdomain.laws.extremes import drawn
from absdomain.region import Region


@pytest.mark.sampled(3)
@pytest.mark.parametrize("make", drawing.MAKERS, ids=lambda make: make.__name__)
def test_the_digits_of_every_op_are_those_of_its_floats(make: drawing.Maker) -> None:
    for seed in range(3):
        problem = replace(example(Random(seed), first=make, size=3), spec=None)
        x = problem.region.sample(1, torch.Generator().manual_seed(seed))[0][:1]
        sizes, floats = witnesses.magnitudes(problem), witnesses.activations(problem.graph, x[None])
        for node, exact, near, size in zip(
            problem.graph.nodes, values(problem.graph, x[0]), floats, sizes, strict=True
        ):
            assert exact.shape == node.shape
            off = max(
                (abs(float(a - b)) for a, b in zip(exact.flat, near.flatten().tolist(), strict=True)), default=0.0
            )
            assert off <= 1e-14 * (1 + float(size)), f"{node.op}: off by {off}"


def test_digits_do_not_cancel_as_floats_do() -> None:
    net = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1)).double()
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].bias.copy_(torch.tensor([2.0**52, 2.0**52 + 1], dtype=torch.float64))
        net[1].weight.copy_(torch.tensor([[1.0, -1.0]]))
        net[1].bias.fill_(1.1)
    x = torch.full((1, 1), 0.5, dtype=torch.float64)
    assert net(x).item() < -0.8  # 2^52 + 1.5 is no float
    assert value(to_graph(net, x), x[0]) == [MP.mpf(1.1) - 1]


def test_a_function_without_a_formula_is_told() -> None:
    graph = to_graph(nn.Mish(), torch.zeros(1, 2))
    with pytest.raises(NotImplementedError, match=r"has no value in 200 digits; add its formula"):
        value(graph, torch.zeros(2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_same_seed_draws_the_same_network_of_its_dtype(dtype: torch.dtype) -> None:
    one, two = drawn(1, dtype), drawn(1, dtype)
    assert repr(one.module) == repr(two.module)
    assert torch.equal(one.images, two.images) and torch.equal(one.labels, two.labels)
    held = [one.images, *one.module.state_dict().values()]
    assert {t.dtype for t in held if t.is_floating_point()} == {dtype}
    region = one.region(one.images)
    assert isinstance(region, Region) and region.centre.dtype == dtype
    assert one.module(one.images).shape[0] == len(one.labels) == len(one.images)


@pytest.mark.slow
def test_rounding_is_large_on_some_of_them() -> None:
    """On a good part of the networks a logit's float is off by more than a thousandth of what decides the class."""
    large = 0
    for seed in range(1, 8):
        made = drawn(seed)
        x = made.images[0]
        logits, floats = value(made.graph, x), made.module(x.unsqueeze(0))[0].tolist()
        off = max(abs(float(z - c)) for z, c in zip(logits, floats, strict=True))
        first, second, *_ = sorted(logits, reverse=True)
        large += off > 1e-3 * float(first - second)
    assert large >= 2
