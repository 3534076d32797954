"""The matrix of an affine function, column by column."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from absdomain.kinds import Shape


def of(f: Callable[..., Tensor], shapes: tuple[Shape, ...], batch: int = 1) -> tuple[Tensor, Tensor]:
    """A (batch, m, n) on the arguments' entries laid end to end, and f(0) (batch, *output shape), by evaluating f.

    `batch` is that of a function with a matrix per sample, 1 for all others.
    """
    zeros = [torch.zeros(batch, *shape, dtype=torch.float64) for shape in shapes]
    offset = f(*zeros).detach()
    columns = []
    for place, shape in enumerate(shapes):
        units = torch.eye(prod(shape), dtype=torch.float64).view(-1, 1, *shape).expand(-1, batch, *shape)
        columns.append(torch.stack([f(*zeros[:place], unit, *zeros[place + 1 :]).detach() for unit in units]) - offset)
    return torch.cat(columns).flatten(2).permute(1, 2, 0), offset
