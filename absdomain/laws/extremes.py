"""Small networks on which rounding is large: terms that cancel, huge and tiny units, numbers at the ends of the floats.

Each is drawn near the edge of being certified: the margin at the worst point that is found is a few roundings from 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from absdomain.attack import pgd
from absdomain.graph import Graph, freeze
from absdomain.laws.digits import value
from absdomain.laws.drawing import normal
from absdomain.lowering import to_graph
from absdomain.region import L1, L2, Interval, Linf, Region

Regions = Callable[[Tensor], Region]


@dataclass(frozen=True, eq=False)
class Extreme:
    """A network, images with labels, and a region around each, on which rounding is large."""

    module: nn.Module
    images: Tensor  # (B, *shape), of the module's dtype
    labels: Tensor  # (B,)
    region: Regions

    @cached_property
    def graph(self) -> Graph:
        """The module, lowered; it reads the module's parameters at each use."""
        return to_graph(self.module, self.images)


# --- layers of numbers ------------------------------------------------------------------------------------------------


class Offset(nn.Module):
    """x + number, a Python one."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        return x + self.number

    def extra_repr(self) -> str:
        return repr(self.number)


class Times(Offset):
    """number x, a Python one."""

    def forward(self, x: Tensor) -> Tensor:
        return self.number * x


class Beside(nn.Module):
    """left(x) - right(x), left(x) + right(x) or left(x) right(x): two branches that meet."""

    def __init__(self, left: nn.Module, right: nn.Module, sign: str) -> None:
        super().__init__()
        self.left, self.right, self.sign = left, right, sign

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.left(x), self.right(x)
        return one - other if self.sign == "-" else one + other if self.sign == "+" else one * other


class Function(nn.Module):
    """A function of torch that has no module."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = getattr(torch, self.name)(x)
        return result

    def extra_repr(self) -> str:
        return self.name


class Level(nn.Module):
    """log(max(x, level)), defined everywhere."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=self.level).log()


# --- what is hard -----------------------------------------------------------------------------------------------------


class Drawn:
    """The choices for one network of a dtype."""

    def __init__(self, rng: Random, dtype: torch.dtype) -> None:
        self.rng, self.dtype = rng, dtype
        self.bits = 1 + round(-torch.tensor(torch.finfo(dtype).eps).log2().item())  # of the mantissa
        self.reach = 500 if dtype == torch.float64 else 60  # of exponents

    def weights(self, *shape: int) -> Tensor:
        """Plain ones, or whole ones, or rows that are nearly equal."""
        w, kind = normal(self.rng, *shape) / shape[-1] ** 0.5, self.rng.random()
        if kind < 0.2:
            return (2 * w).round()
        if kind < 0.5:
            near = 2.0 ** -self.rng.randint(3, self.bits)
            return w[:1] * (1 + near * normal(self.rng, *shape).round())
        return w

    def bias(self, n: int) -> Tensor:
        """Plain ones, or large ones that are equal, opposite or a few units apart."""
        b, kind = normal(self.rng, n) / 2, self.rng.random()
        size = 2.0 ** self.rng.uniform(10, self.bits - 1)
        if kind < 0.35:
            return b
        if kind < 0.7:
            return size * b.sign() + b
        return (size + b.abs()).round() if kind < 0.85 else torch.full((n,), size).to(b)

    def linear(self, n: int, m: int) -> nn.Linear:
        """x -> W x + b."""
        layer = nn.Linear(n, m, dtype=self.dtype)
        with torch.no_grad():
            layer.weight.copy_(self.weights(m, n))
            layer.bias.copy_(self.bias(m))
        return layer

    def difference(self, n: int, m: int) -> nn.Linear:
        """Differences of pairs of entries, times a number, so that what they share goes."""
        layer = nn.Linear(n, m, dtype=self.dtype)
        gain = 2.0 ** self.rng.choice((0, 0, self.rng.uniform(0, self.bits)))
        with torch.no_grad():
            layer.weight.zero_()
            for row in range(m):
                one, other = self.rng.sample(range(n), 2) if n > 1 else (0, 0)
                layer.weight[row, one] += gain
                layer.weight[row, other] -= gain
            layer.bias.copy_(normal(self.rng, m) / 2)
        return layer

    def conv(self, channels: int) -> nn.Module:
        """A small convolution that keeps the plane's size."""
        layer = nn.Conv2d(channels, channels, 3, padding=1, dtype=self.dtype)
        with torch.no_grad():
            layer.weight.copy_(self.weights(channels, channels * 9).view_as(layer.weight))
            assert layer.bias is not None
            layer.bias.copy_(self.bias(channels))
        return layer

    def norm(self, layers: nn.Module, x: Tensor, features: int) -> nn.Module:
        """A batch norm whose running mean is large, and that of its argument."""
        with torch.no_grad():
            values = layers(x)
        norm = (nn.BatchNorm2d if values.dim() > 2 else nn.BatchNorm1d)(features, dtype=self.dtype)
        axes = [axis for axis in range(values.dim()) if axis != 1]
        with torch.no_grad():
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_mean.copy_(values.mean(axes) + 0.1 * normal(self.rng, features).to(x))
            spread = values.var(axes, unbiased=False) if self.rng.random() < 0.5 else normal(self.rng, features).abs()
            norm.running_var.copy_(spread * self.rng.choice((1.0, 1e-4, 1e4)))
            norm.weight.copy_(normal(self.rng, features))
            norm.bias.copy_(normal(self.rng, features))
        return norm

    def activation(self) -> nn.Module:
        """Any, or none; a steep one behind a clamp."""
        slope = self.rng.choice((0.01, 0.3, 2.0**-30))
        low = self.rng.choice((0.0, -1.0, -(2.0**20)))
        makers: tuple[Callable[[], nn.Module], ...] = (
            nn.ReLU, nn.ReLU, nn.Identity, lambda: nn.LeakyReLU(slope), lambda: Function("abs"),
            lambda: nn.Hardtanh(low, low + 2.0), nn.Sigmoid, nn.Tanh, nn.GELU, lambda: nn.GELU("tanh"), nn.SiLU,
            nn.Softplus, lambda: nn.Softplus(5.0, 40.0), nn.ELU, nn.SELU, lambda: Level(1e-3), lambda: Function("sin"),
            nn.Hardswish, lambda: nn.Sequential(nn.Hardtanh(-30.0, 3.0), Function("exp")),
            lambda: nn.Sequential(nn.Hardtanh(-9.0, 9.0), Function("square")),
        )  # fmt: skip
        return self.rng.choice(makers)()

    def numbers(self) -> list[nn.Module]:
        """A few offsets and factors that are Python numbers."""
        size = self.rng.choice((1.0, 0.1, 2.0 ** self.rng.uniform(10, self.bits - 2)))
        pair: list[nn.Module] = [Offset(size), Offset(-size)]
        choices: list[list[nn.Module]] = [
            [], [Offset(0.1)], [Times(1 / 3)], pair, [Offset(size)], [Times(0.1), Offset(-0.3)],
        ]  # fmt: skip
        return self.rng.choice(choices)


def _rescaled(draw: Drawn, layers: list[nn.Module]) -> list[nn.Module]:
    """The first two linear layers in other units: the one times 2^k, the other times 2^-k or nearly."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if len(linear) < 2 or draw.rng.random() < 0.6:
        return layers
    k = draw.rng.randint(-draw.reach, draw.reach)
    with torch.no_grad():
        for layer, power in ((linear[0], k), (linear[1], draw.rng.choice((-1, 0, 1)) - k)):
            layer.weight.mul_(2.0**power)
        linear[0].bias.mul_(2.0**k)
    return layers


def _block(draw: Drawn, before: list[nn.Module], x: Tensor, width: int) -> list[nn.Module]:
    """A layer, what normalises or moves it, and an activation; after `before`, along points x."""
    n = nn.Sequential(*before)(x).shape[1]
    kind = draw.rng.random()
    layer = draw.difference(n, width) if kind < 0.25 else draw.linear(n, width)
    made: list[nn.Module] = [layer]
    if draw.rng.random() < 0.35:
        made.append(draw.norm(nn.Sequential(*before, *made), x, width))
    made += draw.numbers()
    made.append(draw.activation())
    if draw.rng.random() < 0.15:
        sign = draw.rng.choice(("-", "-", "+", "*"))
        made = [Beside(nn.Sequential(*made), nn.Sequential(draw.linear(n, width), draw.activation()), sign)]
    return made


def _image_layers(draw: Drawn, x: Tensor) -> list[nn.Module]:
    """A convolution of images, for a third of the networks, pooled and flattened."""
    conv = draw.conv(x.shape[1])
    layers: list[nn.Module] = [conv]
    if draw.rng.random() < 0.5:
        layers.append(draw.norm(conv, x, x.shape[1]))
    pool = draw.rng.choice((nn.Identity, lambda: nn.AvgPool2d(2), lambda: nn.MaxPool2d(2)))
    return [*layers, draw.activation(), pool(), nn.Flatten()]


# --- the whole --------------------------------------------------------------------------------------------------------


def drawn(seed: int, dtype: torch.dtype = torch.float64) -> Extreme:
    """The network number so, with images, labels and regions, all of this dtype; the same seed gives the same."""
    for attempt in range(100):
        rng = Random(f"extreme {seed} {attempt}")
        made = _drawn(Drawn(rng, dtype))
        if made is not None:
            return made
    raise RuntimeError(f"no network of seed {seed} is finite")


def _drawn(draw: Drawn) -> Extreme | None:
    """A network on a few images; None where a logit is not finite."""
    rng, batch = draw.rng, 3
    spatial = rng.random() < 0.3
    shape = (rng.randint(1, 2), rng.randint(3, 4), rng.randint(3, 4)) if spatial else (rng.randint(1, 4),)
    unit = 2.0 ** rng.choice((0, 0, 0, rng.randint(-draw.reach, draw.reach)))
    x = normal(rng, batch, *shape).to(draw.dtype)
    layers = _image_layers(draw, x) if spatial else []
    for _ in range(rng.randint(1, 3)):
        layers += _block(draw, layers, x, rng.randint(2, 4))
    width = nn.Sequential(*layers)(x).shape[1]
    classes = rng.randint(2, 3)
    layers.append(draw.difference(width, classes) if rng.random() < 0.4 else draw.linear(width, classes))
    layers = _rescaled(draw, layers)
    if unit != 1:
        layers = [Times(1 / unit), *layers]
    module = nn.Sequential(*layers).eval().requires_grad_(False)
    images, region = unit * x, _regions(draw, unit)
    logits = module(images)
    if not bool(logits.isfinite().all()):
        return None
    return _at_the_edge(draw, module, images, region, logits.argmax(1))


def _regions(draw: Drawn, unit: float) -> Regions:
    """A kind of region and its size in the images' unit, of radius 0 and nearly 0 among them."""
    size = draw.rng.choice((0.0, 1e-300, 1e-20, 1e-12, 1e-6, 1e-3, 0.05, 0.3, 1.0))
    eps, kind = size * unit, draw.rng.random()
    if kind < 0.5:
        return lambda x: Linf(x, eps)
    if kind < 0.65:
        return lambda x: L2(x, eps)
    if kind < 0.75:
        return lambda x: L1(x, eps)
    if kind < 0.85:
        return lambda x: Linf(x, eps, clip=(-2 * unit, 2 * unit)) if bool((x.abs() <= 2 * unit).all()) else Linf(x, eps)
    return lambda x: Interval(x - eps * (1 + x.abs().sign()), x)


def _at_the_edge(draw: Drawn, module: nn.Sequential, images: Tensor, region: Regions, labels: Tensor) -> Extreme:
    """The network with its last biases moved until the first image's margin at its worst point is nearly 0.

    "Nearly" is a part of what rounding moves the logits there by, or of their size, down to far below their rounding.
    """
    found = Extreme(module, images, labels, region)
    if draw.rng.random() < 0.2:
        return found
    last: Any = module[-1]
    label = int(labels[0])
    generator = torch.Generator().manual_seed(draw.rng.getrandbits(32))
    worst = pgd(module, region(images), labels, steps=10, goal=-torch.inf, generator=generator).points[:1]
    logits = value(found.graph, worst[0])
    computed = [run(worst)[0].tolist() for run in (found.graph, freeze(found.graph))]  # as it is, and with ops merged
    drift = max(abs(float(z - c)) for ours in computed for z, c in zip(logits, ours, strict=True))
    rival = max(z for j, z in enumerate(logits) if j != label)
    size = max(float(abs(logits[label])), float(last.bias.abs().max()))
    edge = draw.rng.choice((drift * 2.0 ** -draw.rng.uniform(0, 4), size * 2.0 ** -draw.rng.uniform(0, 65)))
    with torch.no_grad():
        last.bias[label] -= float(logits[label] - rival - draw.rng.choice((-1, 1)) * edge)
    return found
