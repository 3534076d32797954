"""Every op that the lowering makes, in both precisions, with every domain: a constant takes the dtype that it meets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absdomain import Graph, Linf, Node, UnsupportedOp, freeze, ops, parse, to_graph
from absdomain.ops import Dense, ReLU, Scale, Sigmoid
from tests.written import Written, parameter

DOMAINS = (
    "box", "deeppoly", "deeppoly(slopes=zero)", "deeppoly(slopes=one)", "deeppoly(slopes=parallel)", "dual", "zonotope",
    "deeppoly(search=ascent(steps=2))", "box & deeppoly", "deeppoly.guided(by=box)", "deeppoly & zonotope",
    "mix(deeppoly.guided(by=box), box, weight=0.3)",
)  # fmt: skip
DTYPES = (torch.float32, torch.float64)


def rectifiers(x: Tensor) -> Tensor:
    hard = F.hardtanh(x) + F.relu6(x + 1) - F.hardsigmoid(x) + F.hardswish(x - 0.5) - (1 - x).abs()
    return hard + F.leaky_relu(x + 0.1) * 0.5 + torch.maximum(x, 2 - x.flip(1)) - x.clamp(-0.3, 0.2).relu() / 3


def smooth(x: Tensor) -> Tensor:
    gates = F.gelu(x) + F.gelu(x - 1, approximate="tanh") - F.silu(x + 1) + F.mish(x + 0.5)
    waves = x.sin() + (x + 0.2).cos() + x.tanh() + (x / 3 + 1).sigmoid() + (x - 1).atan() + (x / 2).erf()
    return gates + waves + F.softplus(x + 1) + F.elu(x - 0.2) + F.selu(x) + F.celu(1 - x, 2.0) + F.logsigmoid(x)


def powers(x: Tensor) -> Tensor:
    y = x.sigmoid() + 0.5
    z = y.log() + (y + 1).sqrt() - 1 / y + y**3 + y**1.5 - y.rsqrt()
    return z + (y - 1).square() + y.exp() + y.expm1() + y.log1p()


def inverses(x: Tensor) -> Tensor:
    y = x.sigmoid() / 2 + 0.2
    return y.asin() + (y + 1).acosh() + y.logit() + y.tan() + y.atanh() + y.std(1, keepdim=True) + 1 / (x + 9)


def images(self: nn.Module, x: Tensor) -> Tensor:
    y = F.pad(self.norm(self.conv(x + 1)) / 2, (1, 0, 0, 1))  # type: ignore[operator]
    y = torch.cat([F.max_pool2d(y, 2), F.avg_pool2d(y - 1, 2)], 1) * self.mask
    return y.permute(0, 2, 3, 1).mean(1).sum(1) + y.amax((2, 3))


def composites(self: nn.Module, x: Tensor) -> Tensor:
    y = F.layer_norm(self.layer(x + 1), (4,), self.w, self.w, 0.1)  # type: ignore[operator,arg-type]
    return torch.stack([y.softmax(1) + 1, F.log_softmax(y - 1, 1)], 1).sum(1) * (y + 2)


def steps(x: Tensor) -> Tensor:
    return x.sign() + (3 * x).floor() - x.ceil() + (x + 0.2).round() + torch.where(x > 0.1, x, -0.5)


def matrices(self: nn.Module, x: Tensor) -> Tensor:
    y = F.prelu(F.conv_transpose1d(x + 1, self.w), self.a)  # type: ignore[arg-type]
    z = y.cumsum(1) @ y.mT
    return torch.zeros_like(z).index_add(1, self.places, z)  # type: ignore[arg-type]


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "a number before a sigmoid": (lambda: Written(lambda s, x: (s.a(x) + 1).sigmoid(), a=nn.Linear(4, 4)), (4,)),
    "rectifiers": (lambda: Written(lambda s, x: rectifiers(s.layer(x)), layer=nn.Linear(4, 4)), (4,)),
    "smooth": (lambda: Written(lambda s, x: smooth(s.layer(x)), layer=nn.Linear(4, 3)), (4,)),
    "powers": (lambda: Written(lambda s, x: powers(s.layer(x)), layer=nn.Linear(4, 3)), (4,)),
    "inverses": (lambda: Written(lambda s, x: inverses(s.layer(x)), layer=nn.Linear(4, 3)), (4,)),
    "images": (
        lambda: Written(images, conv=nn.Conv2d(1, 2, 2), norm=nn.BatchNorm2d(2), mask=torch.arange(3) > 0),
        (1, 6, 6),
    ),
    "steps": (lambda: Written(lambda s, x: steps(s.layer(x)), layer=nn.Linear(4, 4)), (4,)),
    "matrices": (
        lambda: Written(matrices, w=parameter(2, 3, 2), a=parameter(3), places=torch.tensor([2, 0, 2])),
        (2, 4),
    ),
    "composites": (lambda: Written(composites, layer=nn.Linear(3, 4), w=parameter(4)), (3,)),
}


@pytest.fixture(scope="module")
def lowered() -> dict[tuple[str, torch.dtype], tuple[nn.Module, Graph, Linf]]:
    """Every module in each dtype, its graph, and a region."""
    found = {}
    for name, (make, shape) in MODULES.items():
        for dtype in DTYPES:
            torch.manual_seed(0)
            module, x = make().to(dtype).eval(), torch.rand(2, *shape, dtype=dtype)
            found[name, dtype] = module, to_graph(module, x), Linf(x, 0.02)
    return found


@pytest.mark.sampled(5)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MODULES)
def test_bounds_have_the_dtype_of_the_region_and_hold_the_values(
    name: str, dtype: torch.dtype, lowered: dict[tuple[str, torch.dtype], tuple[nn.Module, Graph, Linf]]
) -> None:
    module, graph, region = lowered[name, dtype]
    with torch.no_grad():
        points = torch.stack([module(p) for p in region.sample(6)])
    room = 2000 * torch.finfo(dtype).eps * (1 + points.abs())
    for domain in map(parse, DOMAINS):
        for used in (graph, freeze(graph)):
            trace = domain.propagate(used, region)
            assert trace.lower.dtype == trace.upper.dtype == dtype, domain
            assert (trace.lower <= points + room).all() and (points <= trace.upper + room).all(), domain


def test_every_op_of_the_lowering_is_among_them(
    lowered: dict[tuple[str, torch.dtype], tuple[nn.Module, Graph, Linf]],
) -> None:
    made = {type(node.op).__name__ for _, graph, _ in lowered.values() for node in graph.nodes}
    missing = {name for name in ops.__all__ if name[0].isupper()} - made - {"HardTanh"}  # that is a Clamp
    assert not missing, f"no module of this file makes {missing}"


def test_a_graph_follows_its_module_from_single_to_double_precision() -> None:
    module = Written(lambda s, x: (s.layer(x) + 1).sigmoid() * 3 + s.c, layer=nn.Linear(4, 4), c=torch.rand(4))
    graph = to_graph(module, torch.rand(2, 4))
    module.to(torch.float64)
    x = torch.rand(2, 4, dtype=torch.float64)
    torch.testing.assert_close(graph(x), module(x), rtol=1e-14, atol=1e-14)
    for text in DOMAINS:
        assert parse(text).propagate(graph, Linf(x, 0.1)).lower.dtype == torch.float64


@pytest.mark.parametrize("text", DOMAINS)
def test_offsets_and_factors_in_double_precision_serve_a_graph_in_single(text: str) -> None:
    wide, number = torch.rand(3, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    graph = Graph.of([Node("x", None, (), (3,))]).then(Dense(torch.rand(3, 3), torch.rand(3)))
    for factor, offset in ((wide, wide), (None, number), (number, None), (wide, number)):
        graph = graph.then(Scale(factor, offset)).then(ReLU()).then(Scale(None, offset)).then(Sigmoid())
    x = torch.rand(2, 3)
    assert graph(x).dtype == torch.float32
    trace = parse(text).propagate(graph, Linf(x, 0.01))
    assert trace.lower.dtype == trace.upper.dtype == torch.float32
    assert (trace.lower <= graph(x) + 1e-5).all() and (graph(x) <= trace.upper + 1e-5).all()


def test_a_module_that_leaves_its_precision_is_refused() -> None:
    module = Written(lambda s, x: x + torch.arange(4.0, dtype=torch.float64))
    with pytest.raises(UnsupportedOp, match=r"casts to torch\.float64.*its input is torch\.float32"):
        to_graph(module, torch.rand(2, 4))
