"""What the rules share: constants, broadcasting, axes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor

from absdomain import ops
from absdomain.kinds import Shape
from absdomain.kinds.live import Live
from absdomain.lowering.table import Activation, Call, Value

_PRODUCTS = "products of activations are known entry by entry only: x * y"


def active(call: Call, x: Value) -> Activation:
    """x, which must depend on the input."""
    if not isinstance(x, Activation):
        call.unsupported("has a constant where an activation is expected", "compute it from the input, or add it")
    return x


def constant(call: Call, value: Value) -> Any:
    """A constant tensor: a Live one that broadcasts over the batch, or a Python number as a 0-dim tensor."""
    if isinstance(value, Activation):
        call.unsupported(
            "has an activation where a constant is expected",
            _PRODUCTS,
        )
    if not isinstance(value, Live):
        return torch.tensor(float(value), dtype=torch.float64)
    present = value.read()
    if not present.is_floating_point():  # a mask has no modulus, and unsigned numbers no negative
        return constant(call, expression(call, lambda c: c.to(call.node.meta["val"].dtype), value))
    shape = tuple(present.shape)
    rank = len(call.shape) + 1
    if len(shape) == rank and shape[0] != 1:
        remedy = "give it a batch axis of size 1, or make it by x.shape[0] where it is made by len(x)"
        call.unsupported(f"has a constant of shape {shape} along the batch", remedy)
    return Live(lambda: value.read()[0]) if len(shape) == rank else value


def constants(call: Call, *values: Value) -> list[Any]:
    """Weights: none may depend on the input; None stays None."""
    for value in values:
        if value is not None and not isinstance(value, Live):
            call.unsupported("has weights that depend on the input", "use parameters")
    return list(values)


def expression(call: Call, f: Any, value: Value) -> Any:
    """f of a constant, computed anew at each use where the constant is."""
    if isinstance(value, Tensor):
        return f(value)
    if not isinstance(value, Live):
        call.unsupported(
            "has an activation where a constant is expected",
            _PRODUCTS,
        )
    return Live(lambda: f(value.read()))


def expanded(call: Call, x: Activation) -> Activation:
    """x broadcast to the output's shape."""
    shape = call.shape_of(x)
    if shape == call.shape:
        return x
    index = torch.arange(prod(shape)).view(shape).expand(call.shape)
    return call.apply(ops.Gather(index.contiguous()), x)


def along(call: Call, x: Activation, axis: int, made: Callable[[Tensor], Tensor]) -> Activation:
    """A linear map along one axis: `made` gives what it makes of the unit vectors, each a channel of (1, n, n)."""
    units = torch.eye(call.shape_of(x)[axis - 1], dtype=torch.float64).unsqueeze(0)
    return call.apply(ops.Along(made(units)[0].t().contiguous().to(call.node.meta["val"].device), axis), x)


def shaped(call: Call, x: Activation, shape: Shape) -> Activation:
    """x laid out as this shape."""
    return x if call.shape_of(x) == shape else call.apply(ops.Reshape(shape), x)


def reduced_axes(call: Call, axes: Any, rank: int) -> tuple[int, ...]:
    """An axis, several or all, as positive numbers; the batch, axis 0, is none of them."""
    listed = [axes] if isinstance(axes, int) else list(axes or range(rank))
    positive = tuple(axis % rank for axis in listed)
    if 0 in positive:
        call.unsupported(f"reduces over the batch: axes {listed}", "keep axis 0 for the batch")
    return positive


def repeated(value: Any, length: int) -> tuple[int, ...]:
    """One number for all axes, or one for each."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * length if len(values) == 1 else values


def present(args: Any) -> Any:
    """Arguments with the present values of their constants."""
    return torch.fx.node.map_aggregate(args, lambda leaf: leaf.read() if isinstance(leaf, Live) else leaf)
