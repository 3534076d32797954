"""Smooth activations, products, softmax and normalisation lower to ops with the module's value and sound bounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import absdomain.lowering.aten  # noqa: F401  # the table of rules
from absdomain import Linf, UnsupportedOp, to_graph
from absdomain.domains import Box
from absdomain.lowering import Activation, Call
from absdomain.lowering.table import RULES
from absdomain.ops import Exp, Log, Max, Pow, Product, ReLU, Square
from tests.written import Written, operations, parameter, same

Shape = tuple[int, ...]


def positive(f: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    """f after an op whose interval bounds are positive, too: the others may reach below 0."""
    return lambda: Written(lambda s, x: f(x.sigmoid().clamp(min=0.1) + 0.5))


def plain(f: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Written(lambda s, x: f(s.layer(x)), layer=nn.Linear(4, 4))


W = Written
MODULES: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "sigmoid": (plain(torch.sigmoid), (4,)),
    "tanh": (plain(torch.tanh), (4,)),
    "softplus": (lambda: nn.Sequential(nn.Linear(4, 4), nn.Softplus(3.0, 5.0)), (4,)),
    "gelu": (plain(F.gelu), (4,)),
    "gelu by tanh": (plain(lambda x: F.gelu(x, approximate="tanh")), (4,)),
    "silu": (plain(F.silu), (4,)),
    "exp and expm1": (plain(lambda x: (x / 4).exp() + (x / 4).expm1()), (4,)),
    "sin and cos": (plain(lambda x: x.sin() - x.cos()), (4,)),
    "abs": (plain(torch.abs), (4,)),
    "clamps": (plain(lambda x: x.clamp(-1, 2) + x.clamp(max=0.3) - x.clamp(min=-0.2) + x.clamp_max(1.0)), (4,)),
    "hard ones": (plain(lambda x: F.hardtanh(x) + F.relu6(x) - F.hardsigmoid(x) + F.hardswish(x)), (4,)),
    "hardtanh between": (lambda: nn.Hardtanh(-0.5, 2.0), (4,)),
    "elu, selu, celu": (plain(lambda x: F.elu(x, 0.5) - F.selu(x) + F.celu(x, 2.0)), (4,)),
    "mish, erf, atan": (plain(lambda x: F.mish(x) - x.erf() + x.atan()), (4,)),
    "log sigmoid": (plain(F.logsigmoid), (4,)),
    "log": (positive(lambda x: x.log() - x.log1p()), (4,)),
    "roots": (positive(lambda x: x.sqrt() + x.rsqrt() - x**1.5), (4,)),
    "reciprocals": (positive(lambda x: 1 / x + x.reciprocal() - 2 / x + x**-2), (4,)),
    "powers": (plain(lambda x: x**2 - x**3 + x.square() + x**1), (4,)),
    "a constant over x": (positive(lambda x: torch.tensor([1.0, -2.0, 3.0, 4.0]) / x), (4,)),
    "x * y": (plain(lambda x: x * x.relu()), (4,)),
    "x * y, broadcast": (plain(lambda x: x * x.sum(1, keepdim=True)), (4,)),
    "x / y": (positive(lambda x: (x - 1) / x), (4,)),
    "gated": (lambda: W(lambda s, x: s.a(x).sigmoid() * s.b(x).tanh(), a=nn.Linear(4, 3), b=nn.Linear(4, 3)), (4,)),
    "softsign": (plain(F.softsign), (4,)),
    "tanhshrink": (plain(F.tanhshrink), (4,)),
    "maximum and minimum": (plain(lambda x: torch.maximum(x, x.flip(1)) - torch.minimum(x, 2 * x.roll(1, 1))), (4,)),
    "maximum of unequal shapes": (plain(lambda x: torch.maximum(x, x.mean(1, True))), (4,)),
    "maximum with a constant": (
        lambda: W(lambda s, x: torch.maximum(s.c, x) + torch.minimum(x, 2 * s.c), c=parameter(4)), (4,),
    ),
    "softmax": (lambda: nn.Sequential(nn.Linear(4, 4), nn.Softmax(1)), (4,)),
    "softmax over channels": (lambda: nn.Softmax2d(), (3, 2, 2)),
    "softmin": (plain(lambda x: F.softmin(x, -1)), (4,)),
    "log softmax": (lambda: nn.LogSoftmax(-1), (2, 3)),
    "layer norm": (lambda: W(lambda s, x: s.n(s.a(x)), a=nn.Linear(4, 4), n=nn.LayerNorm(4)), (4,)),
    "layer norm over two axes": (lambda: nn.LayerNorm((3, 2), eps=0.1, elementwise_affine=False), (2, 3, 2)),
    "group norm": (lambda: nn.GroupNorm(2, 4, eps=0.1), (4, 2, 2)),
}  # fmt: skip


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", MODULES)
def test_the_graph_is_the_module(name: str) -> None:
    make, shape = MODULES[name]
    graph = same(make(), *shape)
    trace = Box().propagate(graph, Linf(torch.rand(3, *shape, dtype=torch.float64), 0.05))
    assert trace.lower.isfinite().all() and trace.upper.isfinite().all()


def test_a_trained_layer_norm_reads_its_parameters() -> None:
    norm = nn.LayerNorm(4)
    for p in norm.parameters():
        nn.init.normal_(p)
    graph = same(norm, 4)
    x = torch.randn(2, 4, dtype=torch.float64)
    before = graph(x)
    with torch.no_grad():
        norm.weight.mul_(2)
    assert not torch.allclose(before, graph(x))
    torch.testing.assert_close(graph(x), norm(x))


def test_a_square_is_not_a_product() -> None:
    assert operations(same(Written(lambda s, x: x * x), 4)) == [(Square, (0,))]
    kinds = [kind for kind, _ in operations(same(Written(lambda s, x: x * x.relu()), 4))]
    assert Product in kinds
    assert Square not in kinds


def test_a_maximum_of_activations_is_one_op_whose_interval_is_exact() -> None:
    graph = same(Written(lambda s, x: torch.maximum(x, x.flip(1))), 4)
    assert [kind for kind, _ in operations(graph)].count(Max) == 1


def test_the_floor_of_layer_norm_is_what_is_known() -> None:
    power = [n.op for n in same(nn.LayerNorm(4, eps=0.01), 4).nodes if isinstance(n.op, Pow)]
    assert [(p.exponent, p.floor) for p in power] == [(2.0, None), (-0.5, 0.01)]


def test_logits_however_far_apart_have_a_log_softmax() -> None:
    layer = nn.Linear(4, 3).double()
    with torch.no_grad():
        layer.weight.mul_(1e4)
    module, x = Written(lambda s, x: s.layer(x).log_softmax(1), layer=layer), torch.rand(2, 4, dtype=torch.float64)
    graph = to_graph(module, x)
    torch.testing.assert_close(graph(x), module(x))
    assert Box().propagate(graph, Linf(x, 0.1)).lower.isfinite().all()


def test_what_overflows_in_the_graph_alone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_exp(call: Call, x: Activation) -> Activation:
        return call.apply(Log(), call.apply(Exp(), call.apply(ReLU(), x)))

    monkeypatch.setitem(RULES, "aten.relu.default", by_exp)
    with pytest.raises(ValueError, match=r"overflows in torch.float32 at node 'relu_2' \(Exp\).*module is finite"):
        to_graph(Written(lambda s, x: (1000 * x).relu()), torch.rand(2, 4))


@pytest.mark.parametrize("low", [1.0, 2.0])
def test_a_clamp_whose_ends_meet_or_cross_is_its_upper_end(low: float) -> None:
    x = torch.randn(2, 4)
    graph = to_graph(Written(lambda s, x: x.clamp(low, 1.0) + x), x)
    torch.testing.assert_close(graph(x), x + 1)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("forward", "message"), [
    (lambda s, x: x.softmax(0), "over the batch"),
    (lambda s, x: x**0 + x, "exponent 0"), (lambda s, x: F.elu(x, -1.0), "alpha -1.0"),
    (lambda s, x: x.softmax(1, dtype=torch.float64), "casts"),
])  # fmt: skip
def test_what_is_not_known_is_refused(forward: Callable[..., Tensor], message: str) -> None:
    with pytest.raises(UnsupportedOp, match=message):
        to_graph(Written(forward), torch.randn(2, 4, 4))
