"""Entries in order, and the largest, least or middle ones of them."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from absdomain import ops
from absdomain.lowering.aten.arguments import active, reduced_axes, shaped
from absdomain.lowering.aten.arithmetic import scaled
from absdomain.lowering.sorting import MOST, sorted_along, taken
from absdomain.lowering.table import Activation, Call, Value, lowers


@lowers("aten.sort.default", "aten.sort.stable")
def _sort(
    call: Call, x: Value, axis: int = -1, descending: bool = False, *, dim: int | None = None, stable: Any = None
) -> list[Activation]:
    """The values alone: places have no bounds."""
    x, place = active(call, x), -1 if dim is None else dim
    place = axis if dim is None else place
    (place,) = reduced_axes(call, place, len(call.shape_of(x)) + 1)
    ordered = _ordered(call, x, place)
    return [taken(call, ordered, place, list(range(call.shape_of(x)[place - 1]))[:: 1 if descending else -1])]


@lowers("aten.topk.default")
def _topk(call: Call, x: Value, k: int, axis: int = -1, largest: bool = True, ordered: bool = True) -> list[Activation]:
    """The k largest, the greatest first, or the k smallest, the least first."""
    x = active(call, x)
    (place,) = reduced_axes(call, axis, len(call.shape_of(x)) + 1)
    count = call.shape_of(x)[place - 1]
    wanted = range(k) if largest else range(count - 1, count - 1 - k, -1)
    return [taken(call, _ordered(call, x, place), place, list(wanted))]


@lowers("aten.kthvalue.default", "aten.median.dim")
def _kth(call: Call, x: Value, *args: Any) -> list[Activation]:
    """The k-th smallest; the median is the lower one of an even number."""
    x = active(call, x)
    of_rank = "kthvalue" in call.target
    k, axis = (args[0], args[1] if len(args) > 1 else -1) if of_rank else (None, args[0])
    (place,) = reduced_axes(call, axis, len(call.shape_of(x)) + 1)
    count = call.shape_of(x)[place - 1]
    rank = count - (k if k is not None else (count + 1) // 2)
    return [shaped(call, taken(call, _ordered(call, x, place), place, [rank]), call.shape)]


@lowers("aten.cummax.default", "aten.cummin.default")
def _running(call: Call, x: Value, axis: int) -> list[Activation]:
    """The largest of the first entries along an axis, or the least."""
    x, sign = active(call, x), 1 if "max" in call.target else -1
    (place,) = reduced_axes(call, axis, len(call.shape_of(x)) + 1)
    size = call.shape_of(x)
    count, positions = size[place - 1], torch.arange(prod(size)).view(size)
    index = torch.minimum(torch.arange(count).view(-1, 1), torch.arange(count))  # (window, out)
    windows = positions.index_select(place - 1, index.flatten()).unflatten(place - 1, (count, count))
    gathered = call.apply(ops.Gather(windows.contiguous()), scaled(call, x, sign))
    return [scaled(call, call.apply(ops.Max(place - 1 - len(size) - 1), gathered), sign)]


def _ordered(call: Call, x: Activation, place: int) -> Activation:
    """The entries along an axis, the greatest first."""
    count = call.shape_of(x)[place - 1]
    if count > MOST:
        call.unsupported(f"orders {count} entries, of at most {MOST}", "sort smaller groups")
    return sorted_along(call, x, place)
