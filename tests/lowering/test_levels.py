"""What operations keep is told to the roots, logarithms and reciprocals that read them."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest
import torch
from torch import Tensor, nn

from absdomain import Linf, to_graph
from absdomain.domains import Box, DeepPoly, Zonotope
from absdomain.lowering.levels import level
from tests.written import Written, parameter, same


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("forward", "least"), [
    (lambda s, x: x.relu(), 0.0), (lambda s, x: x.square().sum(1, keepdim=True) + 0.25, 0.25), (lambda s, x: x, -inf),
    (lambda s, x: x.abs().mean(1) * 2 - 1, -1.0), (lambda s, x: -x.exp(), -inf), (lambda s, x: 3 - x.relu(), -inf),
    (lambda s, x: torch.cat((x.exp(), x.clamp(min=-0.5)), 1), -0.5), (lambda s, x: x.sigmoid() + x.clamp(0.5, 2), 0.5),
    (lambda s, x: x.relu() + s.p, -inf), (lambda s, x: x**3, -inf), (lambda s, x: x.clamp(min=0.5).sum(1), 0.0),
    (lambda s, x: (x * x + 4).sqrt(), 2.0), (lambda s, x: (x * x + 4).rsqrt(), 0.0),
])  # fmt: skip
def test_the_level_is_the_least_value_that_is_known(forward: Callable[..., Tensor], least: float) -> None:
    module = Written(lambda s, x: forward(s, 2 * x), p=parameter(4))
    graph = to_graph(module, torch.randn(2, 4))
    found = level(graph.nx, graph.nodes[-1].name)
    assert found == pytest.approx(least, rel=1e-9)
    assert found <= least


ROOTS: dict[str, Callable[[Tensor], Tensor]] = {
    "layer norm by hand": (
        lambda x: (x - x.mean(1, True)) / ((x - x.mean(1, True)).square().mean(1, True) + 1e-3).sqrt()
    ),
    "rms": lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3),
    "a length": lambda x: x.square().sum(1, keepdim=True).sqrt(),
    "a logarithm": lambda x: (x.exp().sum(1, keepdim=True) + 1).log(),
    "a share": lambda x: x.abs() / (x.abs().sum(1, keepdim=True) + 1),
}  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ROOTS)
def test_a_root_has_bounds_where_those_of_its_argument_fall_below_zero(name: str) -> None:
    torch.manual_seed(0)
    f = ROOTS[name]
    module = Written(lambda s, x: f(s.b(s.a(x).relu())), a=nn.Linear(4, 6), b=nn.Linear(6, 6))
    graph, x = same(module, 4), torch.rand(2, 4, dtype=torch.float64)
    for domain in (Box(), DeepPoly(), Zonotope()):
        trace = domain.propagate(graph, Linf(x, 2.0))
        assert trace.lower.isfinite().all(), domain
        assert trace.upper.isfinite().all(), domain
        values = torch.stack([module(p) for p in Linf(x, 2.0).sample(20)])
        assert (trace.lower <= values + 1e-9).all() and (values <= trace.upper + 1e-9).all(), domain


def test_deep_normalised_networks_say_infinite_and_never_nan() -> None:
    torch.manual_seed(0)
    layers = [part for _ in range(12) for part in (nn.Linear(8, 8), nn.GroupNorm(2, 8), nn.SiLU())]
    module = nn.Sequential(*layers).double()
    graph = to_graph(module, torch.rand(2, 8, dtype=torch.float64))
    for eps in (0.01, 1.0):
        trace = Box().propagate(graph, Linf(torch.rand(2, 8, dtype=torch.float64), eps))
        assert not trace.lower.isnan().any()
        assert not trace.upper.isnan().any()
