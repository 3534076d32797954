"""Architectures of papers, each in a few lines: what people write themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.models import Model

Forward = Callable[[Any, Tensor], Tensor]
_W, _HEADS, _LENGTH = 8, 2, 4
_SEQUENCE, _IMAGE, _VECTOR = (_LENGTH, _W), (3, 8, 8), (6,)


class Written(nn.Module):
    """A module whose forward is the given function of itself and x."""

    def __init__(self, forward: Forward, **parts: Any) -> None:
        super().__init__()
        self.written = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        """Its value at x."""
        return self.written(self, x)


def _weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) / shape[-1] ** 0.5)


def _heads(x: Tensor) -> Tensor:
    """(B, L, W) -> (B, heads, L, W / heads)."""
    return x.view(x.shape[0], x.shape[1], _HEADS, -1).transpose(1, 2)


def _merged(x: Tensor) -> Tensor:
    return x.transpose(1, 2).reshape(x.shape[0], -1, _W)


def _attention(s: Any, x: Tensor, added: Tensor | float = 0.0) -> Tensor:
    q, k, v = (_heads(part) for part in s.qkv(x).chunk(3, -1))
    return s.out(_merged((q @ k.mT * 0.5 + added).softmax(-1) @ v))


def _folded_heads(s: Any, x: Tensor) -> Tensor:
    """Heads as samples, as fairseq has them: (B n, L, d) and bmm."""
    batch, length, width = x.shape
    q, k, v = (
        part.view(batch, length, _HEADS, -1).transpose(1, 2).reshape(batch * _HEADS, length, -1)
        for part in s.qkv(x).chunk(3, -1)
    )
    weights = torch.bmm(q, k.transpose(1, 2)).softmax(-1)
    y = torch.bmm(weights, v).view(batch, _HEADS, length, -1).transpose(1, 2)
    return s.out(y.reshape(batch, length, width))


def _windows(s: Any, x: Tensor) -> Tensor:
    """Swin: windows of a grid as samples, shifted."""
    batch, width = x.shape[0], _W
    grid = s.embed(x).permute(0, 2, 3, 1).roll((-1, -1), (1, 2))
    parts = grid.view(batch, 2, 2, 2, 2, width).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, width)
    y = (parts @ parts.mT).softmax(-1) @ parts
    y = y.view(batch, 2, 2, 2, 2, width).permute(0, 1, 3, 2, 4, 5).reshape(batch, 4, 4, width)
    return y.roll((1, 1), (1, 2)).mean((1, 2))


def _rotary(s: Any, x: Tensor) -> Tensor:
    angle = torch.arange(_LENGTH, dtype=x.dtype)[:, None] / torch.tensor([1.0, 10.0], dtype=x.dtype)
    cos, sin = angle.cos(), angle.sin()
    q, k, v = (_heads(part) for part in s.qkv(x).chunk(3, -1))

    def turned(t: Tensor) -> Tensor:
        one, two = t[..., ::2], t[..., 1::2]
        return torch.stack([one * cos - two * sin, one * sin + two * cos], -1).flatten(-2)

    return _merged(F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True))


def _class_token(s: Any, x: Tensor) -> Tensor:
    tokens = s.embed(x).flatten(2).transpose(1, 2)
    tokens = torch.cat([s.token.expand(x.shape[0], -1, -1), tokens], 1) + s.place
    return s.head(s.layer(tokens)[:, 0])


def _recurrent(s: Any, x: Tensor) -> Tensor:
    h = x.new_zeros(x.shape[0], _W)
    for t in range(x.shape[1]):
        h = torch.tanh(s.one(x[:, t]) + s.two(h))
    return h


def _unet(s: Any, x: Tensor) -> Tensor:
    a = s.one(x).relu()
    b = s.two(F.max_pool2d(a, 2)).relu()
    return s.last(torch.cat([a, F.interpolate(b, scale_factor=2, mode="bilinear", align_corners=False)], 1))


def _coupling(s: Any, x: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    scale, shift = s.net(a).chunk(2, 1)
    return torch.cat([a, b * scale.tanh().exp() + shift], 1)


def _squeeze(s: Any, x: Tensor) -> Tensor:
    y = s.conv(x)
    return y * s.gate(y.mean((2, 3)))[:, :, None, None]


def _linear_attention(s: Any, x: Tensor) -> Tensor:
    q, k, v = s.qkv(x).chunk(3, -1)
    q, k = F.elu(q) + 1, F.elu(k) + 1
    return torch.einsum("bld,bde->ble", q, torch.einsum("bld,ble->bde", k, v)) / 4


def _mixer(s: Any, x: Tensor) -> Tensor:
    x = x + s.tokens(s.norm(x).transpose(1, 2)).transpose(1, 2)
    return x + s.channels(s.norm(x))


def _pool_by_queries(s: Any, x: Tensor) -> Tensor:
    q = s.queries.expand(x.shape[0], -1, -1)
    return (q @ x.mT).softmax(-1) @ x


def _relative(s: Any, x: Tensor) -> Tensor:
    return _attention(s, x, s.bias[s.index].permute(2, 0, 1))


def _mlp(*sizes: int) -> nn.Sequential:
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.GELU())]
    return nn.Sequential(*layers[:-1])


def _qkv() -> dict[str, nn.Module]:
    return {"qkv": nn.Linear(_W, 3 * _W), "out": nn.Linear(_W, _W)}


def _made(forward: Forward, parts: Callable[[], dict[str, Any]], shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    return Written(forward, **parts()), torch.rand(2, *shape)


_LISTED: dict[str, tuple[Forward, Callable[[], dict[str, Any]], tuple[int, ...]]] = {
    "attention (Vaswani 2017)": (_attention, _qkv, _SEQUENCE),
    "attention, causal": (
        lambda s, x: _attention(s, x, torch.full((4, 4), -torch.inf, dtype=x.dtype).triu(1)),
        _qkv,
        _SEQUENCE,
    ),
    "attention, heads as samples": (_folded_heads, _qkv, _SEQUENCE),
    "attention, linear (Katharopoulos 2020)": (_linear_attention, _qkv, _SEQUENCE),
    "attention, rotary (Su 2021)": (_rotary, _qkv, _SEQUENCE),
    "attention, ALiBi (Press 2022)": (
        lambda s, x: _attention(s, x, -(torch.arange(4)[:, None] - torch.arange(4)).abs().to(x.dtype)),
        _qkv,
        _SEQUENCE,
    ),
    "attention, relative (Shaw 2018)": (
        _relative,
        lambda: {**_qkv(), "bias": _weight(7, 2), "index": nn.Buffer(torch.arange(4)[:, None] - torch.arange(4) + 3)},
        _SEQUENCE,
    ),
    "pooling by queries (Lee 2019)": (_pool_by_queries, lambda: {"queries": _weight(1, 2, _W)}, _SEQUENCE),
    "windows (Liu 2021)": (_windows, lambda: {"embed": nn.Conv2d(3, _W, 2, 2)}, _IMAGE),
    "ViT (Dosovitskiy 2021)": (
        _class_token,
        lambda: {
            "embed": nn.Conv2d(3, _W, 4, 4),
            "token": _weight(1, 1, _W),
            "place": _weight(1, 5, _W),
            "layer": nn.TransformerEncoderLayer(_W, 2, 16, batch_first=True),
            "head": nn.Linear(_W, 3),
        },
        _IMAGE,
    ),
    "Mixer (Tolstikhin 2021)": (
        _mixer,
        lambda: {"tokens": _mlp(4, 6, 4), "channels": _mlp(_W, 12, _W), "norm": nn.LayerNorm(_W)},
        _SEQUENCE,
    ),
    "gMLP (Liu 2021)": (
        lambda s, x: s.two((lambda u, v: u * s.mix(v.mT).mT)(*s.one(x).chunk(2, -1))),
        lambda: {"one": nn.Linear(_W, 16), "two": nn.Linear(_W, _W), "mix": nn.Linear(4, 4)},
        _SEQUENCE,
    ),
    "SwiGLU (Shazeer 2020)": (
        lambda s, x: s.three(F.silu(s.one(x)) * s.two(x)),
        lambda: {"one": nn.Linear(_W, 6), "two": nn.Linear(_W, 6), "three": nn.Linear(6, _W)},
        _SEQUENCE,
    ),
    "RNN, written": (_recurrent, lambda: {"one": nn.Linear(_W, _W), "two": nn.Linear(_W, _W)}, _SEQUENCE),
    "U-Net (Ronneberger 2015)": (
        _unet,
        lambda: {
            "one": nn.Conv2d(3, 4, 3, padding=1),
            "two": nn.Conv2d(4, 6, 3, padding=1),
            "last": nn.Conv2d(10, 2, 1),
        },
        _IMAGE,
    ),
    "RealNVP (Dinh 2017)": (_coupling, lambda: {"net": _mlp(3, 8, 6)}, _VECTOR),
    "SE (Hu 2018)": (
        _squeeze,
        lambda: {
            "conv": nn.Conv2d(3, 6, 3),
            "gate": nn.Sequential(nn.Linear(6, 2), nn.ReLU(), nn.Linear(2, 6), nn.Sigmoid()),
        },
        _IMAGE,
    ),
    "residual block (He 2016)": (
        lambda s, x: (s.body(x) + x).relu(),
        lambda: {
            "body": nn.Sequential(
                nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1)
            )
        },
        _IMAGE,
    ),
    "dense block (Huang 2017)": (
        lambda s, x: torch.cat([x, s.conv(x.relu())], 1),
        lambda: {"conv": nn.Conv2d(3, 4, 3, padding=1)},
        _IMAGE,
    ),
    "highway (Srivastava 2015)": (
        lambda s, x: (lambda t: t * s.one(x).relu() + (1 - t) * x)(s.gate(x).sigmoid()),
        lambda: {"one": nn.Linear(6, 6), "gate": nn.Linear(6, 6)},
        _VECTOR,
    ),
    "maxout (Goodfellow 2013)": (
        lambda s, x: s.one(x).view(x.shape[0], 3, 2).amax(-1),
        lambda: {"one": nn.Linear(6, 6)},
        _VECTOR,
    ),
    "GroupSort (Anil 2019)": (
        lambda s, x: s.one(x).view(x.shape[0], 3, 2).sort(-1).values.flatten(1),
        lambda: {"one": nn.Linear(6, 6)},
        _VECTOR,
    ),
    "SIREN (Sitzmann 2020)": (
        lambda s, x: s.two((3 * s.one(x)).sin()),
        lambda: {"one": nn.Linear(6, 8), "two": nn.Linear(8, 1)},
        _VECTOR,
    ),
    "Fourier features (Tancik 2020)": (
        lambda s, x: s.net(torch.cat([(x @ s.b).sin(), (x @ s.b).cos()], -1)),
        lambda: {"b": nn.Buffer(torch.randn(6, 4)), "net": _mlp(8, 8, 2)},
        _VECTOR,
    ),
    "DeepSets (Zaheer 2017)": (
        lambda s, x: s.two(s.one(x).sum(1)),
        lambda: {"one": _mlp(_W, 8, 8), "two": _mlp(8, 8, 2)},
        _SEQUENCE,
    ),
    "PointNet (Qi 2017)": (
        lambda s, x: s.two(s.one(x).max(1).values),
        lambda: {"one": _mlp(_W, 8, 8), "two": _mlp(8, 8, 2)},
        _SEQUENCE,
    ),
    "GCN, fixed graph (Kipf 2017)": (
        lambda s, x: s.two(s.a @ s.one(s.a @ x).relu()),
        lambda: {"a": nn.Buffer(torch.rand(4, 4)), "one": nn.Linear(_W, 6), "two": nn.Linear(6, 2)},
        _SEQUENCE,
    ),
    "WaveNet gate (van den Oord 2016)": (
        lambda s, x: s.one(x).tanh() * s.two(x).sigmoid(),
        lambda: {"one": nn.Conv1d(4, 4, 2, dilation=2), "two": nn.Conv1d(4, 4, 2, dilation=2)},
        _SEQUENCE,
    ),
    "neural ODE, Euler (Chen 2018)": (
        lambda s, x: x + 0.5 * s.net(x) + 0.5 * s.net(x + 0.5 * s.net(x)),
        lambda: {"net": _mlp(6, 8, 6)},
        _VECTOR,
    ),
    "dueling DQN (Wang 2016)": (
        lambda s, x: (lambda a: s.value(x) + a - a.mean(1, keepdim=True))(s.gain(x)),
        lambda: {"value": nn.Linear(6, 1), "gain": nn.Linear(6, 3)},
        _VECTOR,
    ),
    "RBF network": (
        lambda s, x: s.head((-(x[:, None] - s.centre).square().sum(-1)).exp()),
        lambda: {"centre": _weight(4, 6), "head": nn.Linear(4, 2)},
        _VECTOR,
    ),
    "cosine classifier": (
        lambda s, x: F.normalize(x, dim=1) @ F.normalize(s.w, dim=1).t(),
        lambda: {"w": _weight(3, 6)},
        _VECTOR,
    ),
    "normalised image": (
        lambda s, x: s.conv((x - s.mean) / s.std),
        lambda: {
            "mean": nn.Buffer(torch.rand(3, 1, 1)),
            "std": nn.Buffer(torch.ones(3, 1, 1)),
            "conv": nn.Conv2d(3, 4, 3),
        },
        _IMAGE,
    ),
    "standardised weights (Qiao 2019)": (
        lambda s, x: F.conv2d(x, (s.w - s.w.mean((1, 2, 3), keepdim=True)) / s.w.std((1, 2, 3), keepdim=True)),
        lambda: {"w": _weight(4, 3, 3, 3)},
        _IMAGE,
    ),
}


def models() -> Iterator[Model]:
    """All of them."""
    for name, (forward, parts, shape) in _LISTED.items():
        yield Model("papers", name, partial(_made, forward, parts, shape))
