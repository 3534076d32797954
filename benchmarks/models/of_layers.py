"""torch.nn's own layers, each at a small shape."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.models import Model


class Outputs(nn.Module):
    """The outputs of a recurrent module at all steps, without the last states, whose batch is along axis 1."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Its value at x, (B, L, H)."""
        value: Tensor = self.layer(x)[0]
        return value


_VECTOR, _SEQUENCE, _LINE, _IMAGE, _VOLUME = (6,), (4, 8), (3, 12), (4, 8, 8), (2, 4, 6, 6)
_ENTRYWISE = [
    "ReLU",
    "ReLU6",
    "LeakyReLU",
    "ELU",
    "SELU",
    "CELU",
    "GELU",
    "SiLU",
    "Mish",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "Softsign",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Hardshrink",
    "Softshrink",
    "Tanhshrink",
    "LogSigmoid",
    "PReLU",
    "RReLU",
    "Softmin",
    "Softmax",
    "LogSoftmax",
    "Identity",
]
_OTHERS: dict[str, tuple[tuple[int, ...], nn.Module]] = {
    "Threshold": (_VECTOR, nn.Threshold(0.1, 0.0)),
    "GLU": (_VECTOR, nn.GLU(-1)),
    "Linear": (_VECTOR, nn.Linear(6, 3)),
    "Conv1d": (_LINE, nn.Conv1d(3, 4, 3, padding=1)),
    "Conv2d": (_IMAGE, nn.Conv2d(4, 6, 3, 2, 1, groups=2)),
    "Conv2d, reflected": (_IMAGE, nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect")),
    "Conv2d, circular": (_IMAGE, nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular")),
    "Conv3d": (_VOLUME, nn.Conv3d(2, 3, 3, padding=1)),
    "ConvTranspose1d": (_LINE, nn.ConvTranspose1d(3, 4, 3, 2)),
    "ConvTranspose2d": (_IMAGE, nn.ConvTranspose2d(4, 3, 3, 2, 1, 1)),
    "ConvTranspose3d": (_VOLUME, nn.ConvTranspose3d(2, 3, 2, 2)),
    "MaxPool1d": (_LINE, nn.MaxPool1d(2)),
    "MaxPool2d": (_IMAGE, nn.MaxPool2d(3, 2, 1)),
    "MaxPool3d": (_VOLUME, nn.MaxPool3d(2)),
    "AvgPool1d": (_LINE, nn.AvgPool1d(3)),
    "AvgPool2d": (_IMAGE, nn.AvgPool2d(2)),
    "AvgPool3d": (_VOLUME, nn.AvgPool3d(2)),
    "LPPool2d": (_IMAGE, nn.LPPool2d(2, 2)),
    "AdaptiveAvgPool1d": (_LINE, nn.AdaptiveAvgPool1d(5)),
    "AdaptiveAvgPool2d": (_IMAGE, nn.AdaptiveAvgPool2d((3, 5))),
    "AdaptiveMaxPool2d": (_IMAGE, nn.AdaptiveMaxPool2d((3, 5))),
    "AdaptiveMaxPool1d": (_LINE, nn.AdaptiveMaxPool1d(5)),
    "BatchNorm1d": (_VECTOR, nn.BatchNorm1d(6)),
    "BatchNorm2d": (_IMAGE, nn.BatchNorm2d(4)),
    "BatchNorm3d": (_VOLUME, nn.BatchNorm3d(2)),
    "LayerNorm": (_SEQUENCE, nn.LayerNorm(8)),
    "LayerNorm, no weights": (_SEQUENCE, nn.LayerNorm((4, 8), elementwise_affine=False)),
    "GroupNorm": (_IMAGE, nn.GroupNorm(2, 4)),
    "InstanceNorm1d": (_LINE, nn.InstanceNorm1d(3)),
    "InstanceNorm2d": (_IMAGE, nn.InstanceNorm2d(4, affine=True)),
    "RMSNorm": (_SEQUENCE, nn.RMSNorm(8)),
    "LocalResponseNorm": (_IMAGE, nn.LocalResponseNorm(2)),
    "Dropout": (_VECTOR, nn.Sequential(nn.Dropout(), nn.Linear(6, 2))),
    "Flatten": (_IMAGE, nn.Sequential(nn.Flatten(), nn.Linear(256, 2))),
    "Unflatten": (_VECTOR, nn.Unflatten(1, (2, 3))),
    "Fold": ((16, 9), nn.Fold((4, 4), 2)),
    "Unfold": (_IMAGE, nn.Unfold(3)),
    "PixelShuffle": (_IMAGE, nn.PixelShuffle(2)),
    "PixelUnshuffle": (_IMAGE, nn.PixelUnshuffle(2)),
    "ChannelShuffle": (_IMAGE, nn.ChannelShuffle(2)),
    "ZeroPad2d": (_IMAGE, nn.ZeroPad2d(1)),
    "ConstantPad2d": (_IMAGE, nn.ConstantPad2d(1, 0.5)),
    "ReflectionPad2d": (_IMAGE, nn.ReflectionPad2d(1)),
    "ReplicationPad2d": (_IMAGE, nn.ReplicationPad2d(1)),
    "CircularPad2d": (_IMAGE, nn.CircularPad2d(1)),
    "Upsample, nearest": (_IMAGE, nn.Upsample(scale_factor=2)),
    "Upsample, bilinear": (_IMAGE, nn.Upsample(scale_factor=2, mode="bilinear")),
    "Upsample, bicubic": (_IMAGE, nn.Upsample(scale_factor=2, mode="bicubic")),
    "RNN": (_SEQUENCE, Outputs(nn.RNN(8, 5, batch_first=True))),
    "LSTM": (_SEQUENCE, Outputs(nn.LSTM(8, 5, batch_first=True))),
    "LSTM, both ways": (_SEQUENCE, Outputs(nn.LSTM(8, 5, bidirectional=True, batch_first=True))),
    "GRU": (_SEQUENCE, Outputs(nn.GRU(8, 5, batch_first=True))),
    "RNNCell": (_VECTOR, nn.RNNCell(6, 5)),
    "LSTMCell": (_VECTOR, nn.LSTMCell(6, 5)),
    "GRUCell": (_VECTOR, nn.GRUCell(6, 5)),
    "TransformerEncoderLayer": (_SEQUENCE, nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)),
    "TransformerEncoderLayer, norm first": (
        _SEQUENCE, nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu"),
    ),
    "TransformerEncoder": (
        _SEQUENCE, nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
    ),
    "weight norm": (_VECTOR, nn.utils.parametrizations.weight_norm(nn.Linear(6, 3))),
    "spectral norm": (_VECTOR, nn.utils.parametrizations.spectral_norm(nn.Linear(6, 3))),
}  # fmt: skip


class SelfAttention(nn.Module):
    """nn.MultiheadAttention of one sequence, with the batch first or second."""

    def __init__(self, *, batch_first: bool, weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        self.batch_first, self.weights = batch_first, weights

    def forward(self, x: Tensor) -> Tensor:
        """Its value at x, (B, L, 8)."""
        y = x if self.batch_first else x.transpose(0, 1)
        value: Tensor = self.attention(y, y, y, need_weights=self.weights)[0]
        return value if self.batch_first else value.transpose(0, 1)


class Decoder(nn.Module):
    """nn.TransformerDecoderLayer that reads its own memory, causally."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Its value at x, (B, L, 8)."""
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        value: Tensor = self.layer(x, x, tgt_mask=mask)
        return value


def models() -> Iterator[Model]:
    """All of them."""
    for name in _ENTRYWISE:
        options = (1,) if name in ("Softmin", "Softmax", "LogSoftmax") else ()
        layer = nn.Sequential(nn.Linear(6, 6), getattr(nn, name)(*options))
        yield Model("layers", name, partial(_made, layer, _VECTOR))
    for name, (shape, module) in _OTHERS.items():
        yield Model("layers", name, partial(_made, module, shape))
    for first in (True, False):
        for weights in (True, False):
            name = f"MultiheadAttention, batch {'first' if first else 'second'}, {'with' if weights else 'no'} weights"
            yield Model("layers", name, partial(_made, SelfAttention(batch_first=first, weights=weights), _SEQUENCE))
    yield Model("layers", "TransformerDecoderLayer, causal", partial(_made, Decoder(), _SEQUENCE))


def _made(module: nn.Module, shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    return module, torch.rand(2, *shape)
