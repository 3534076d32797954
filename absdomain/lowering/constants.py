"""Values that depend on no input, as they are for one sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from absdomain.kinds.live import Live
from absdomain.lowering.numbers import Numbers
from absdomain.lowering.samples import single
from absdomain.lowering.table import Activation, BatchSize, Mask, Value


def of_one(node: fx.Node, values: Mapping[fx.Node, Value], batch: Any) -> Live:
    """A call for a batch of one, of the values that its arguments have at each use."""
    target: Any = node.target
    args, kwargs = (
        fx.node.map_arg(given, lambda n: _single(n, values[n], batch)) for given in (node.args, node.kwargs)
    )
    return Live(lambda: target(*_read(args), **_read(kwargs)))


def _single(node: fx.Node, value: Value, batch: Any) -> Value:
    """A constant's argument for one sample; of an activation the shape and dtype alone are read."""
    if isinstance(value, BatchSize | Numbers):
        return value.single
    if not isinstance(value, Activation | Mask):
        return value
    like = node.meta["val"]
    return torch.zeros([single(size, batch) for size in like.shape], dtype=like.dtype, device=like.device)


def _read(value: Value) -> Value:
    """The present value of a constant expression's arguments."""
    return fx.node.map_aggregate(value, lambda leaf: leaf.read() if isinstance(leaf, Live) else leaf)
