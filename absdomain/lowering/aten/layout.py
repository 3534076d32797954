"""Entries moved, none changed, and none from one sample to another.

That samples stay apart is read off the arguments: an operation that does not act along axis 0 treats each alone,
however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils import _pytree as pytree

from absdomain import ops
from absdomain.kinds.live import Live
from absdomain.lowering.aten.arguments import active, expanded, expression, present, shaped
from absdomain.lowering.table import Activation, Call, Mask, Value, lowers


@lowers(
    "aten.view.default", "aten._unsafe_view.default", "aten.reshape.default", "aten.flatten.using_ints",
    "aten.unflatten.int", "aten.unsqueeze.default",
)  # fmt: skip
def _reshape(call: Call, x: Value, *args: Any, **kwargs: Any) -> Activation:
    """The entries in their order: where axis 0 is the batch before and after, so is every sample's part of it."""
    return shaped(call, x, call.shape)


@lowers("aten.squeeze.default", "aten.squeeze.dim", "aten.squeeze.dims")
def _squeeze(call: Call, x: Value, axes: Any = None) -> Activation:
    """Without the axes of size 1, of which the batch is one where there is one sample."""
    rank = len(call.shape_of(x)) + 1
    listed = range(rank) if axes is None else [axes] if isinstance(axes, int) else axes
    if 0 in {axis % rank for axis in listed}:
        call.unsupported("drops the batch axis of a single sample", "name the axes, other than 0, that it drops")
    return shaped(call, x, call.shape)


@lowers(
    "aten.clone.default", "aten.contiguous.default", "aten.detach.default", "aten.alias.default",
    "aten.lift_fresh_copy.default",
)  # fmt: skip
def _identity(call: Call, x: Value, *args: Any, **kwargs: Any) -> Value:
    return x


@lowers("aten.dropout.default", "aten.feature_dropout.default", "aten.alpha_dropout.default")
def _dropout(call: Call, x: Value, probability: float, training: bool) -> Value:
    """In evaluation mode it is the identity."""
    if training:
        call.unsupported("is random in evaluation mode, too", "give it training=self.training, or leave it out")
    return x


@lowers("aten.to.dtype", "aten._to_copy.default", "aten.to.dtype_layout", "aten.type_as.default")
def cast(call: Call, x: Value, *args: Any, **kwargs: Any) -> Value:
    """x itself, where the dtype stays: a graph has one; truth values as 0 and 1."""
    if isinstance(x, Mask):
        return x.made(call)
    source = call.node.args[0]
    assert isinstance(source, torch.fx.Node)
    dtype = call.node.meta["val"].dtype
    if dtype != source.meta["val"].dtype:
        call.unsupported(f"casts to {dtype}", "keep one dtype in the module, as x.to(self.weight.dtype) does")
    return x


@lowers("aten.permute.default", "aten.transpose.int", "aten.t.default")
def _permute(call: Call, x: Value, axes: Any) -> Activation:
    """The axes in another order, which is given in the graph's order (`translation`)."""
    return x if list(axes) == list(range(len(axes))) else call.apply(ops.Permute(tuple(axes)), x)


@lowers("aten.cat.default")
def _cat(call: Call, xs: Any, axis: int = 0) -> Activation:
    axis %= len(call.shape) + 1
    return _joined(call, [x for x in xs if not _is_empty(x)], axis)


@lowers("aten.stack.default")
def _stack(call: Call, xs: Any, axis: int = 0) -> Activation:
    axis %= len(call.shape) + 1
    target = (*call.shape[: axis - 1], 1, *call.shape[axis:])
    parts = [
        call.apply(ops.Reshape(target), x) if isinstance(x, Activation)
        else expression(call, lambda c: c.reshape(1, *target) if c.numel() == prod(target) else c.unsqueeze(axis), x)
        for x in xs
    ]  # fmt: skip
    return _joined(call, parts, axis)


def _joined(call: Call, xs: list[Value], axis: int) -> Activation:
    """Parts one after another; a constant among them is an offset, of which an activation beside it has zeros."""
    constants = [(number, x) for number, x in enumerate(xs) if isinstance(x, Live)]
    moving = [number for number, x in enumerate(xs) if isinstance(x, Activation)]
    ahead, behind = dict.fromkeys(moving, 0), dict.fromkeys(moving, 0)
    for number, x in constants:
        before = [m for m in moving if m < number]
        (behind if before else ahead)[before[-1] if before else moving[0]] += x.read().shape[axis]
    around = len(call.shape) - axis
    parts = [
        call.apply(ops.Pad((*(0, 0) * around, ahead[m], behind[m])), xs[m]) if ahead[m] + behind[m] else xs[m]
        for m in moving
    ]
    joined = parts[0] if len(parts) == 1 else call.apply(ops.Concat(axis), *parts)
    if not constants:
        return joined
    sizes = [call.shape_of(x) if isinstance(x, Activation) else () for x in xs]
    like = call.node.meta["val"]

    def read() -> Tensor:
        zeros = (torch.zeros(1, *size, dtype=like.dtype, device=like.device) for size in sizes)
        present = (
            zero if isinstance(x, Activation) else x.read().to(like.dtype) for x, zero in zip(xs, zeros, strict=True)
        )
        return torch.cat(list(present), axis)[0]

    offset: Any = Live(read)
    return call.apply(ops.Scale(None, offset), joined)


def _is_empty(x: Value) -> bool:
    """A constant without entries, which torch leaves out whatever its rank."""
    return isinstance(x, Live) and x.read().numel() == 0


@lowers("aten.pad.default", "aten.constant_pad_nd.default")
def _pad(call: Call, x: Value, amounts: Any, *rest: Any, value: float | None = None) -> Activation:
    mode = next((r for r in rest if isinstance(r, str)), "constant")
    filled = next((r for r in rest if isinstance(r, float | int)), value)
    if mode != "constant" or max(amounts) <= 0:
        return _moved(call, x, (amounts, *rest), [-1 - i // 2 for i, a in enumerate(amounts) if a])
    if any(amounts[2 * (len(call.shape)) :]):
        call.unsupported("pads the batch", "keep axis 0 for the batch")
    x, inner = active(call, x), [min(a, 0) for a in amounts]
    if any(inner):
        places = torch.arange(prod(call.shape_of(x))).view(call.shape_of(x))
        x = call.apply(ops.Gather(F.pad(places, inner).contiguous()), x)
    outer = [max(a, 0) for a in amounts]
    padded = call.apply(ops.Pad(tuple(outer)), x)
    if not filled:
        return padded
    level = F.pad(torch.zeros(call.shape_of(x), dtype=torch.float64), outer, value=filled)
    return call.apply(ops.Scale(None, level), padded)


def _cut(rank: int, axis: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Iterable[int]:
    whole = start in (None, 0) and end in (None, 2**63 - 1) and step == 1
    return () if whole else (axis,)


def _tiled(rank: int, repeats: Any) -> Iterable[int]:
    """Fewer numbers than axes are those of the last axes."""
    first = rank - len(repeats)
    return [first + axis for axis, count in enumerate(repeats) if count != 1] if first >= 0 else range(rank)


# Operations that only move entries, with the axes along which each does so: (rank, *arguments) -> axes.
_MOVES: dict[str, Callable[..., Iterable[int]]] = {
    "aten.slice.Tensor": _cut,
    "aten.select.int": lambda rank, axis, index: (axis,),
    "aten.narrow.default": lambda rank, axis, start, length: (axis,),
    "aten.repeat.default": _tiled,
    "aten.flip.default": lambda rank, axes: axes,
    "aten.roll.default": lambda rank, shifts, axes=(): axes or range(rank),
    "aten.index_select.default": lambda rank, axis, index: (axis,),
    "aten.gather.default": lambda rank, axis, index, **_: (axis,),
    "aten.take_along_dim.default": lambda rank, index, axis=None: range(rank) if axis is None else (axis,),
    "aten.unfold.default": lambda rank, axis, size, step: (axis,),
    "aten.chunk.default": lambda rank, chunks, axis=0: (axis,),
    "aten.split.Tensor": lambda rank, size, axis=0: (axis,),
    "aten.split_with_sizes.default": lambda rank, sizes, axis=0: (axis,),
    "aten.unbind.int": lambda rank, axis=0: (axis,),
    "aten.pixel_shuffle.default": lambda rank, factor: (-3, -2, -1),
    "aten.pixel_unshuffle.default": lambda rank, factor: (-3, -2, -1),
    "aten.rot90.default": lambda rank, k=1, axes=(0, 1): axes,
    "aten.tile.default": _tiled,
    "aten.diagonal.default": lambda rank, offset=0, one=0, two=1: (one, two),
    "aten.repeat_interleave.self_int": lambda rank, count, axis=None, **_: range(rank) if axis is None else (axis,),
    "aten.index.Tensor": lambda rank, places: [axis for axis, place in enumerate(places) if place is not None],
    **{
        f"aten.{kind}{n}d.vec": lambda rank, *_: range(2, rank)
        for kind in ("upsample_nearest", "_upsample_nearest_exact")
        for n in (1, 2, 3)
    },
    "aten.channel_shuffle.default": lambda rank, groups: (1,),
}


@lowers(*_MOVES)
def _move(call: Call, x: Value, *args: Any, **kwargs: Any) -> Any:
    x = active(call, x)
    return _moved(call, x, args, _MOVES[call.target](len(call.shape_of(x)) + 1, *args, **kwargs), **kwargs)


def _moved(call: Call, x: Activation, args: Any, axes: Iterable[int], **kwargs: Any) -> Any:
    """A movement along these axes, as a Gather: it is run on the positions of one sample's entries."""
    rank = len(call.shape_of(x)) + 1
    if any(axis % rank == 0 or not -rank <= axis < rank for axis in axes):
        call.unsupported("moves entries between samples", "keep axis 0 for the batch")
    if any(isinstance(leaf, Activation | Mask) for leaf in pytree.tree_leaves(args)):
        call.unsupported("takes places from the input", "use places that are constants")
    size = prod(call.shape_of(x))
    positions = torch.arange(size, dtype=torch.float64).view(1, *call.shape_of(x))
    target: Any = call.node.target
    try:
        moved = target(positions, *present(args), **kwargs)
    except (IndexError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        remedy = "make an index of batch size 1, and expand it by x.shape[0], not len(x)"
        call.unsupported(f"has places that are not those of one sample ({reason})", remedy)
    several = isinstance(moved, list | tuple)
    gathered = [_gather(call, x, m, size) for m in (moved if several else [moved])]
    return gathered if several else gathered[0]


@lowers("aten.expand.default")
def _expand(call: Call, x: Value, sizes: Any, *, implicit: bool = False) -> Activation:
    """Axes of size 1 enlarged, and new ones; the batch is where it was, counted from the last axis."""
    return expanded(call, active(call, x))


@lowers("<built-in function getitem>")
def _getitem(call: Call, xs: Any, index: int) -> Value:
    if index >= len(xs):
        call.unsupported(f"uses output {index} of an operation of which only the first is known", "use its values only")
    return xs[index]


def _gather(call: Call, x: Activation, moved: Tensor, size: int) -> Activation:
    index = moved.long().squeeze(0).contiguous()
    if tuple(index.shape) == call.shape_of(x) and torch.equal(index.flatten(), torch.arange(size)):
        return x
    return call.apply(ops.Gather(index), x)
