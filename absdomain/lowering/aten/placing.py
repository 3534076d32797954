"""Entries put into a tensor at constant places: over what is there, or added to it."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain import ops
from absdomain.kinds import Shape
from absdomain.kinds.live import Live
from absdomain.lowering.aten.arguments import present, repeated
from absdomain.lowering.aten.arithmetic import scaled
from absdomain.lowering.table import Activation, Call, Value, lowers

aten = torch.ops.aten
Places = Callable[..., Tensor]


def _sliced(p: Tensor, axis: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Tensor:
    return aten.slice.Tensor(p, axis, start, end, step)


def _along(p: Tensor, axis: int, index: Tensor) -> Tensor:
    return p.index_select(axis, index)


def _gathered(p: Tensor, axis: int, index: Tensor) -> Tensor:
    """By an index that is the same for every sample."""
    return p.gather(axis, index[:1].expand(len(p), *index.shape[1:]) if axis % p.dim() else index)


def _indexed(p: Tensor, places: Any) -> Tensor:
    return aten.index.Tensor(p, [None if place is None else place for place in places])


# Where the entries of the source go: (positions of self, *arguments before the source and after) -> positions.
_OVER: dict[str, tuple[Places, int]] = {  # and at which argument the source stands
    "aten.slice_scatter.default": (_sliced, 1),
    "aten.select_scatter.default": (lambda p, axis, index: p.select(axis, index), 1),
    "aten.diagonal_scatter.default": (lambda p, offset=0, one=0, two=1: p.diagonal(offset, one, two), 1),
    "aten.index_copy.default": (_along, 3),
    "aten.index_fill.int_Scalar": (_along, 3),
    "aten.index_fill.int_Tensor": (_along, 3),
    "aten.scatter.src": (_gathered, 3),
    "aten.scatter.value": (_gathered, 3),
    "aten.index_put.default": (_indexed, 2),
    "aten.copy.default": (lambda p: p, 1),
    "aten.fill.Scalar": (lambda p: p, 1),
    "aten.fill.Tensor": (lambda p: p, 1),
}
_ADDED: dict[str, tuple[Places, int]] = {
    "aten.index_add.default": (_along, 3),
    "aten.scatter_add.default": (_gathered, 3),
}


@lowers(*_OVER)
def _over(call: Call, x: Value, *args: Any, **kwargs: Any) -> Value:
    """The source where it goes, and x elsewhere."""
    if call.target == "aten.index_put.default" and len(args) > 2:
        if args[2]:
            return _put(call, x, args[1], _places(call, _indexed, args[:1]), over=False)
        args = args[:2]
    if call.target == "aten.copy.default":
        args = args[:1]  # whether it waits is nothing to a graph
    where, at = _OVER[call.target]
    source, rest = args[at - 1], (*args[: at - 1], *args[at:])
    return _put(call, x, source, _places(call, where, rest, kwargs), over=True)


@lowers(*_ADDED)
def _added(call: Call, x: Value, *args: Any, alpha: float = 1) -> Activation:
    """x plus the entries of the source where they go."""
    where, at = _ADDED[call.target]
    return _put(call, x, scaled(call, args[at - 1], alpha), _places(call, where, args[: at - 1]), over=False)


@lowers("aten.scatter_reduce.two")
def _scatter_reduce(
    call: Call, x: Value, axis: int, index: Value, source: Value, reduce: str, *, include_self: bool = True
) -> Activation:
    if reduce != "sum" or not include_self:
        call.unsupported(f"reduces by {reduce!r}", "use scatter_add")
    where, _ = _ADDED["aten.scatter_add.default"]
    return _put(call, x, source, _places(call, where, (axis, index)), over=False)


def _places(call: Call, where: Places, rest: Any, named: Any = None) -> Tensor:
    """The flat positions of one sample's output to which the entries of the source go."""
    size = prod(call.shape)
    positions = torch.arange(2 * size).view(2, *call.shape)  # of two samples, which the places must keep apart
    try:
        found = where(positions, *present(rest), **(named or {}))
    except (IndexError, RuntimeError) as error:
        call.unsupported(f"has places that are not constants of one sample ({error})", "give an index of batch size 1")
    if found.dim() < 2 or found.shape[0] != 2 or not torch.equal(found[0] + size, found[1]):
        call.unsupported("moves entries between samples", "keep axis 0 for the batch")
    return found[0].contiguous()


def _put(call: Call, x: Value, source: Value, places: Tensor, *, over: bool) -> Value:
    """x, or 0 at these places if the source goes over it, plus the source there."""
    if over and len(places.unique()) < places.numel() and not _one_number(source):
        call.unsupported("writes two entries to one place, of which PyTorch does not say which is left", "add them")
    kept = torch.ones(prod(call.shape), dtype=torch.float64)
    if over:
        kept[places.flatten()] = 0.0
    kept = kept.view(call.shape)
    x = x if bool(kept.any()) else None  # of which nothing is left, be it NaN
    moving = [v for v in (_kept(call, x, kept), _sent(call, source, places)) if isinstance(v, Activation)]
    level = _level(call, x, source, kept, places, over)
    if not moving:
        assert level is not None
        return Live(lambda: level.read().unsqueeze(0))
    y = moving[0] if len(moving) == 1 else call.apply(ops.Add(), *moving)
    return y if level is None else call.apply(ops.Scale(None, level), y)


def _one_number(source: Value) -> bool:
    return isinstance(source, float | int) or (isinstance(source, Live) and source.read().numel() == 1)


def _kept(call: Call, x: Value, kept: Tensor) -> Value:
    if not isinstance(x, Activation):
        return None
    return x if bool(kept.all()) else call.apply(ops.Scale(kept, None), x)


def _sent(call: Call, source: Value, places: Tensor) -> Value:
    """The source's entries at their places among zeros."""
    if not isinstance(source, Activation):
        return None
    size = call.shape_of(source)
    index = _laid(torch.arange(prod(size)).view(size), tuple(places.shape))
    same = tuple(index.shape) == size and torch.equal(index.flatten(), torch.arange(prod(size)))
    laid = source if same else call.apply(ops.Gather(index.contiguous()), source)
    if tuple(places.shape) == call.shape and torch.equal(places.flatten(), torch.arange(places.numel())):
        return laid
    return call.apply(ops.Scatter(places, call.shape), laid)


def _laid(x: Tensor, shape: Shape) -> Tensor:
    """As much of x as goes into this shape, or x broadcast to it."""
    if x.dim() == len(shape) and all(n >= m for n, m in zip(x.shape, shape, strict=True)):
        return x[tuple(slice(m) for m in shape)]
    return x.broadcast_to(shape)


def _level(call: Call, x: Value, source: Value, kept: Tensor, places: Tensor, over: bool) -> Any:
    """The part that is constant."""
    fixed = [v for v in (x, source) if not isinstance(v, Activation | None)]
    if not fixed or (not isinstance(source, Activation) and isinstance(x, Activation) and source == 0):
        return None
    like = call.node.meta["val"]

    def read() -> Tensor:
        total = torch.zeros(call.shape, dtype=like.dtype, device=like.device)
        if not isinstance(x, Activation | None):
            total = total + _one_sample(x, call.shape) * kept.to(total)
        if not isinstance(source, Activation):
            flat = _one_sample(source, tuple(places.shape)).to(total).flatten()
            total = total.flatten().index_put((places.flatten(),), flat, accumulate=not over).view(call.shape)
        return total

    return Live(read)


def _one_sample(value: Value, shape: Shape) -> Tensor:
    """A constant, or a number, as one sample of this shape."""
    given = value.read() if isinstance(value, Live) else torch.tensor(float(value))
    return _laid(given[0] if given.dim() == len(shape) + 1 else given, shape)


@lowers("aten.im2col.default")
def _unfold(call: Call, x: Value, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Activation:
    """Each window of the padded plane is a column."""
    height, width = repeated(padding, 2)
    if height or width:
        x = call.apply(ops.Pad((width, width, height, height)), x)
    return call.apply(ops.Gather(_columns(call.shape_of(x), kernel, dilation, stride)), x)


@lowers("aten.col2im.default")
def _fold(call: Call, x: Value, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Activation:
    """The columns summed where their windows overlap; of the padded plane the middle is left."""
    (height, width), (rows, columns) = repeated(padding, 2), size
    plane = (call.shape[0], rows + 2 * height, columns + 2 * width)
    y = call.apply(ops.Scatter(_columns(plane, kernel, dilation, stride), plane), x)
    if not (height or width):
        return y
    inner = torch.arange(prod(plane)).view(plane)[:, height : height + rows, width : width + columns]
    return call.apply(ops.Gather(inner.contiguous()), y)


def _columns(size: Shape, kernel: Any, dilation: Any, stride: Any) -> Tensor:
    """The positions of the windows of a plane, (channels kernel, windows)."""
    positions = torch.arange(prod(size), dtype=torch.float64).view(1, *size)
    found = F.unfold(positions, repeated(kernel, 2), repeated(dilation, 2), 0, repeated(stride, 2))
    return found[0].long().contiguous()
