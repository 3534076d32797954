"""Entries moved, none changed."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from absdomain import ops
from absdomain.aten.arguments import active, on_two_samples, shaped
from absdomain.lowering import Activation, BatchSize, Call, Value, lowers


@lowers(
    "aten.view.default", "aten._unsafe_view.default", "aten.reshape.default", "aten.flatten.using_ints",
    "aten.unflatten.int", "aten.squeeze.default", "aten.squeeze.dim", "aten.squeeze.dims", "aten.unsqueeze.default",
)  # fmt: skip
def _reshape(call: Call, x: Value, *args: Any, **kwargs: Any) -> Activation:
    return shaped(call, x, call.shape)


@lowers(
    "aten.clone.default", "aten.contiguous.default", "aten.detach.default", "aten.alias.default",
    "aten.lift_fresh_copy.default", "aten.dropout.default", "aten.feature_dropout.default",
    "aten.alpha_dropout.default",
)  # fmt: skip
def _identity(call: Call, x: Value, *args: Any, **kwargs: Any) -> Value:
    return x  # evaluation mode: dropout is the identity, which the check against the module confirms


@lowers("aten.to.dtype", "aten._to_copy.default", "aten.to.dtype_layout", "aten.type_as.default")
def cast(call: Call, x: Value, *args: Any, **kwargs: Any) -> Value:
    """x itself, where the dtype stays: a graph has one."""
    source = call.node.args[0]
    assert isinstance(source, torch.fx.Node)
    if call.node.meta["val"].dtype != source.meta["val"].dtype:
        call.unsupported(f"casts to {call.node.meta['val'].dtype}", "keep one dtype in the module")
    return x


@lowers("aten.permute.default")
def _permute(call: Call, x: Value, axes: Any) -> Activation:
    rank = len(axes)
    axes = tuple(axis % rank for axis in axes)
    if axes[0] != 0:
        call.unsupported(f"moves the batch axis: {axes}", "keep axis 0 first")
    return call.apply(ops.Permute(axes), x)


@lowers("aten.transpose.int")
def _transpose(call: Call, x: Value, first: int, second: int) -> Activation:
    axes = list(range(len(call.shape_of(x)) + 1))
    axes[first], axes[second] = axes[second], axes[first]
    return _permute(call, x, axes)


@lowers("aten.cat.default")
def _cat(call: Call, xs: Any, axis: int = 0) -> Activation:
    return call.apply(ops.Concat(axis % (len(call.shape) + 1)), *(active(call, x) for x in xs))


@lowers("aten.stack.default")
def _stack(call: Call, xs: Any, axis: int = 0) -> Activation:
    axis %= len(call.shape) + 1
    target = (*call.shape[: axis - 1], 1, *call.shape[axis:])
    return call.apply(ops.Concat(axis), *(call.apply(ops.Reshape(target), active(call, x)) for x in xs))


@lowers("aten.pad.default", "aten.constant_pad_nd.default")
def _pad(call: Call, x: Value, amounts: Any, *rest: Any, value: float | None = None) -> Activation:
    mode = next((r for r in rest if isinstance(r, str)), "constant")
    filled = next((r for r in rest if isinstance(r, float | int)), value)
    if mode != "constant" or min(amounts) < 0:
        return _move(call, x, amounts, *rest)
    if filled:
        call.unsupported(f"pads with {filled}", "pad with zeros, and add the constant's effect as an offset")
    return call.apply(ops.Pad(tuple(amounts)), x)


@lowers(
    "aten.slice.Tensor", "aten.select.int", "aten.narrow.default", "aten.expand.default", "aten.repeat.default",
    "aten.flip.default", "aten.roll.default", "aten.index_select.default", "aten.chunk.default", "aten.split.Tensor",
    "aten.split_with_sizes.default", "aten.unbind.int", "aten.pixel_shuffle.default", "aten.channel_shuffle.default",
)  # fmt: skip
def _move(call: Call, x: Value, *args: Any, **kwargs: Any) -> Any:
    """An operation that only moves entries: it is run on the entries' positions, which become a Gather."""
    size = prod(call.shape_of(x))
    positions = torch.arange(2 * size, dtype=torch.float64).view(2, *call.shape_of(x))
    target: Any = call.node.target
    moved = target(positions, *on_two_samples(args), **kwargs)
    several = isinstance(moved, list | tuple)
    gathered = [_gather(call, x, m, size) for m in (moved if several else [moved])]
    return gathered if several else gathered[0]


@lowers("<built-in function getitem>")
def _getitem(call: Call, xs: Any, index: int) -> Value:
    if index >= len(xs):
        call.unsupported(f"uses output {index} of an operation of which only the first is known", "use its values only")
    return xs[index]


@lowers("aten.sym_size.int")
def _size_of(call: Call, x: Value, axis: int) -> Value:
    return BatchSize() if axis == 0 else call.shape_of(x)[axis - 1]


def _gather(call: Call, x: Activation, moved: Tensor, size: int) -> Activation:
    index = moved.long()
    if index.dim() < 1 or len(index) != 2 or not torch.equal(index[1], index[0] + size) or (index[0] >= size).any():
        call.unsupported("moves entries between samples", "keep axis 0 for the batch")
    first = index[0].contiguous()
    if tuple(first.shape) == call.shape_of(x) and torch.equal(first.flatten(), torch.arange(size)):
        return x
    return call.apply(ops.Gather(first), x)
