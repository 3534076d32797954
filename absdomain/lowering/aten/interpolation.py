"""Linear maps along each axis for itself: interpolation and cumulative sums."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from absdomain.lowering.aten.arguments import active, along
from absdomain.lowering.aten.layout import cast
from absdomain.lowering.table import Activation, Call, Value, lowers

aten = torch.ops.aten


@lowers("aten.upsample_linear1d.vec", "aten.upsample_bilinear2d.vec", "aten.upsample_trilinear3d.vec")
def _linear(call: Call, x: Value, size: Any, align: bool, factors: Any = None) -> Activation:
    return _resized(call, active(call, x), size, factors, partial(_by_lines, align))


@lowers("aten.upsample_bicubic2d.vec")
def _cubic(call: Call, x: Value, size: Any, align: bool, factors: Any = None) -> Activation:
    return _resized(call, active(call, x), size, factors, partial(_by_cubics, align))


def _resized(call: Call, x: Activation, size: Any, factors: Any, made: Callable[..., Tensor]) -> Activation:
    """Every axis after the channels interpolated for itself."""
    before, after = call.shape_of(x), call.shape
    for place in range(1, len(after)):
        given = None if size is None else [after[place]], None if factors is None else [factors[place - 1]]
        if before[place] != after[place] or factors is not None:
            x = along(call, x, place + 1, partial(made, *given))
    return x


def _by_lines(align: bool, size: Any, factors: Any, units: Tensor) -> Tensor:
    found: Tensor = aten.upsample_linear1d.vec(units, size, align, factors)
    return found


def _by_cubics(align: bool, size: Any, factors: Any, units: Tensor) -> Tensor:
    """As PyTorch has it in the plane alone: along the first of two axes."""
    sizes, many = None if size is None else [*size, 1], None if factors is None else [*factors, 1.0]
    found: Tensor = aten.upsample_bicubic2d.vec(units.unsqueeze(-1), sizes, align, many)
    return found.squeeze(-1)


@lowers("aten.cumsum.default")
def _cumsum(call: Call, x: Value, axis: int, *, dtype: Any = None) -> Activation:
    cast(call, x)
    rank = len(call.shape) + 1
    if axis % rank == 0:
        call.unsupported("adds samples up", "keep axis 0 for the batch")
    return along(call, x, axis % rank, lambda units: units.cumsum(-1))
