"""Random shifts and mirror images, as CIFAR-10 is trained on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def augment(x: Tensor, generator: torch.Generator, *, flip: bool, crop: int) -> Tensor:
    """Each image of x (B, C, H, W) mirrored with probability 1/2 and shifted by -crop..crop pixels, zeros moving in."""
    batch, _, height, width = x.shape
    if flip:
        mirrored = torch.rand(batch, generator=generator) < 0.5
        x = torch.where(mirrored.to(x.device)[:, None, None, None], x.flip(-1), x)
    if crop:
        down, right = torch.randint(2 * crop + 1, (2, batch, 1), generator=generator).to(x.device)
        rows = (down + torch.arange(height, device=x.device))[:, :, None]  # (B, H, 1)
        columns = (right + torch.arange(width, device=x.device))[:, None, :]  # (B, 1, W)
        padded = functional.pad(x, (crop, crop, crop, crop)).movedim(1, -1)  # (B, H', W', C)
        samples = torch.arange(batch, device=x.device)[:, None, None]
        x = padded[samples, rows, columns].movedim(-1, 1)
    return x
