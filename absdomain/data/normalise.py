"""x -> (x - mean) / std per channel: pixels are normalised inside the network, so that eps and clip mean pixels."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """(x - mean) / std per channel, for x (B, C, H, W) of raw pixels in [0, 1], or channels along another `axis` < 0.

    A perturbation of eps in pixels reaches the next layer as eps / std, and the clip to [0, 1] stays where it belongs.
    The statistics are buffers: they are saved with the weights, and not trained.
    Raises ValueError if mean and std differ in length, or a std is not positive and finite.
    """

    mean: Tensor  # (C, 1, 1)
    std: Tensor  # (C, 1, 1)

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], *, axis: int = -3, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        if len(mean) != len(std):
            raise ValueError(f"one mean and one std for each channel, but got {len(mean)} means and {len(std)} stds")
        if not all(math.isfinite(value) and value > 0 for value in std):
            raise ValueError(f"each std must be positive and finite, but got {tuple(std)}")
        if axis >= 0:
            raise ValueError(f"the channels' axis is counted from the end, as -3 for images (C, H, W); got {axis}")
        shape = (-1, *[1] * (-axis - 1))
        self.register_buffer("mean", torch.tensor(mean, dtype=dtype).reshape(shape))
        self.register_buffer("std", torch.tensor(std, dtype=dtype).reshape(shape))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def extra_repr(self) -> str:
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"
