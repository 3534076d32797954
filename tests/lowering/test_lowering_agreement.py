"""A graph is held against its module operation by operation: real networks pass, a slightly wrong rule does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import absdomain.lowering.aten  # noqa: F401  # the table of rules
from absdomain import to_graph
from absdomain.kinds import Op
from absdomain.lowering import Activation, Call
from absdomain.lowering.table import RULES
from absdomain.ops import AvgPool, BatchNorm, Conv, Dense, Mean, Scale
from tests.written import Written


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with batch norm around a shortcut, as in residual networks."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        width = outputs // 4
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        other = stride > 1 or inputs != outputs
        self.shortcut = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if other
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.relu(self.body(x) + self.shortcut(x), inplace=True)
        return y


class Squeezed(nn.Module):
    """Each channel times a gate that is computed from the means of all."""

    def __init__(self, channels: int, gate: nn.Module) -> None:
        super().__init__()
        self.down, self.up, self.gate = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x * self.gate(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))
        return y


class Inverted(nn.Module):
    """A wide depthwise convolution between two narrow ones, gated, with a shortcut where the size stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: type[nn.Module], gate: nn.Module) -> None:
        super().__init__()
        wide = 4 * inputs
        self.same = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide, eps=1e-3), activation(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide, eps=1e-3), activation(),
            Squeezed(wide, gate), nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs, eps=1e-3),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.same else y


def residual(blocks: int) -> nn.Module:
    sizes = [(8, 16, 1), *[(16, 16, 1)] * blocks, (16, 32, 2), *[(32, 32, 1)] * blocks]
    stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    return nn.Sequential(stem, *(Bottleneck(*size) for size in sizes), head)


def mobile(activation: type[nn.Module], gate: nn.Module) -> nn.Module:
    sizes = [(8, 8, 1), (8, 12, 2), (12, 12, 1), (12, 16, 2), (16, 16, 1)]
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), activation())
    body = (Inverted(*size, activation, gate) for size in sizes)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 10))
    return nn.Sequential(stem, *body, head)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], float]] = {  # with the gain of the convolutions
    "residual, 8 bottlenecks": (lambda: residual(3), 3.0),
    "mobile, clamped at 6": (lambda: mobile(nn.ReLU6, nn.Hardsigmoid()), 10.0),
    "mobile, hardswish": (lambda: mobile(nn.Hardswish, nn.Hardsigmoid()), 3.0),
    "mobile, silu": (lambda: mobile(nn.SiLU, nn.Sigmoid()), 1.0),
}


def drawn(module: nn.Module, gain: float) -> nn.Module:
    """Weights of a random network whose activations grow with depth, as they do at random initial weights."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")
            part.weight.data.mul_(gain)
    return module.eval()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NETWORKS)
def test_real_networks_are_lowered_in_single_precision(name: str) -> None:
    make, gain = NETWORKS[name]
    module = make()
    torch.manual_seed(5)
    drawn(module, gain)
    graph = to_graph(module, torch.rand(2, 3, 32, 32))
    module.double()  # the graph follows; in single precision such a network enlarges rounding to a twentieth of a value
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(graph(x), module(x), rtol=1e-6, atol=1e-6)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", [1e3, 1e6, 1e9])
def test_a_batch_norm_may_cancel_what_comes_before(level: float, dtype: torch.dtype) -> None:
    layer, norm = nn.Linear(6, 6), nn.BatchNorm1d(6)
    with torch.no_grad():
        layer.bias.add_(level)
        norm.running_mean.fill_(level)  # type: ignore[union-attr]
    module = nn.Sequential(layer, norm, nn.ReLU(), nn.Linear(6, 3)).to(dtype).eval()
    assert len(to_graph(module, torch.rand(4, 6, dtype=dtype)).schedule) == 4


FACTOR = 1 + 1e-3


def scaled(op: Op) -> Op:
    """The op with one of its numbers off by a thousandth."""
    match op:
        case Dense(weight=weight, bias=bias) if bias is not None:
            return Dense(weight, FACTOR * bias)
        case Conv(weight=weight, bias=bias):
            return Conv(weight * FACTOR, bias, op.stride, op.padding, op.dilation, op.groups)
        case BatchNorm():
            return BatchNorm(op.mean * FACTOR, op.variance, op.gain, op.shift, op.eps, op.axes)
        case Scale(weight=weight, bias=bias) if bias is not None:
            return Scale(weight, FACTOR * bias)
        case Scale(weight=weight):
            return Scale(FACTOR * weight, None)
        case AvgPool():
            return AvgPool(op.kernel, op.stride, divisor=1 + op.kernel[0] * op.kernel[1])
        case Mean():
            return Mean(op.axes, not op.keepdim)
    raise AssertionError(op)


def network(part: nn.Module, *shape: int) -> tuple[nn.Module, Tensor]:
    """The part before many layers that leave little of what it is off by."""
    flat = part(torch.rand(2, *shape)).flatten(1).shape[1]
    tail = [layer for _ in range(3) for layer in (nn.Linear(flat, flat), nn.Tanh())]
    for layer in tail[::2]:
        layer.weight.data.mul_(0.005)  # type: ignore[operator,union-attr]
    return nn.Sequential(part, nn.Flatten(), *tail).eval(), torch.rand(2, *shape)


PLANTED: dict[str, tuple[str, Callable[[], nn.Module], tuple[int, ...]]] = {
    "an offset": ("aten.linear.default", lambda: nn.Linear(200, 30), (200,)),
    "a kernel": ("aten.conv2d.default", lambda: nn.Conv2d(2, 3, 3), (2, 6, 6)),
    "a running mean": ("aten._native_batch_norm_legit_no_training.default", lambda: shifted(), (4,)),
    "an added constant": ("aten.add.Tensor", lambda: Written(lambda s, x: x + torch.arange(4.0)), (4,)),
    "a factor": ("aten.mul.Tensor", lambda: Written(lambda s, x: x * torch.arange(4.0)), (4,)),
    "a difference": ("aten.rsub.Scalar", lambda: Written(lambda s, x: torch.rsub(x, 1.0)), (4,)),
    "a divisor": ("aten.avg_pool2d.default", lambda: nn.AvgPool2d(2), (2, 4, 4)),
}


def shifted() -> nn.Module:
    norm = nn.BatchNorm1d(4)
    norm.running_mean.fill_(0.7)  # type: ignore[union-attr]
    return norm


@pytest.mark.sampled(5)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PLANTED)
def test_a_rule_that_is_off_by_a_thousandth_is_refused(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, make, shape = PLANTED[name]
    module, x = network(make().eval(), *shape)
    module, x = module.to(dtype), x.to(dtype)
    assert to_graph(module, x).output.shape
    rule, planted = RULES[target], []

    def wrong(call: Call, *args: Any, **kwargs: Any) -> Any:
        value = rule(call, *args, **kwargs)
        last = list(call.builder.digraph.nodes.values())[-1]
        if not planted and "op" in last:
            planted.append(last["op"])
            last["op"] = scaled(last["op"])
        return value

    monkeypatch.setitem(RULES, target, wrong)
    with pytest.raises(ValueError, match=r"differs from the module by .* at node .* fault in a lowering rule"):
        to_graph(module, x)
    assert planted


def test_a_wrong_rule_in_the_middle_of_a_deep_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(call: Call, x: Activation) -> Activation:
        return call.apply(Scale(torch.tensor(1.001), None), RULES["aten.relu.default"](call, x))

    layers = [layer for _ in range(10) for layer in (nn.Linear(8, 8), nn.ReLU())]
    layers[13] = nn.Sigmoid()
    monkeypatch.setitem(RULES, "aten.sigmoid.default", wrong)
    with pytest.raises(ValueError, match=r"at node '13_2' \(Scale\), which stands for aten.sigmoid.default"):
        to_graph(nn.Sequential(*layers), torch.rand(2, 8))


def tossed(self: Any, x: Tensor) -> Tensor:
    return x + 1e-2 * torch.tensor(self.numbers.pop())


RANDOM: dict[str, nn.Module] = {
    "dropout as a function": Written(lambda s, x: F.dropout(s.layer(x), 0.1, training=True), layer=nn.Linear(4, 4)),
    "dropout in single precision, rarely": Written(lambda s, x: F.dropout(x.relu(), 1e-6, training=True)),
    "feature dropout": Written(lambda s, x: F.dropout1d(x.relu().unsqueeze(1), 0.1, training=True)),
    "noise": Written(lambda s, x: x + 1e-6 * torch.rand(4)),
    "noise like x": Written(lambda s, x: x.relu() + torch.randn_like(x)),
    "noise of another kind": Written(lambda s, x: x + torch.empty(4).uniform_()),
    "a coin": Written(lambda s, x: x * torch.bernoulli(torch.full((4,), 0.5))),
    "numbers of its own": Written(tossed, numbers=[float(k) for k in range(50)]),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", RANDOM)
def test_a_random_module_is_refused(name: str) -> None:
    with pytest.raises((NotImplementedError, ValueError), match=r"random|dropout|rand|uniform|bernoulli|new_empty"):
        to_graph(RANDOM[name].eval(), torch.rand(2, 4))
