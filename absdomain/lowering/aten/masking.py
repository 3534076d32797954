"""Scores that a mask takes out of a softmax: minus infinity among the numbers of an activation.

No activation is infinite. Such scores are noted beside the activation, which has 0 there, and the softmax that reads it
is one of the scores that are left, row by row; nothing else may read it.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from absdomain import ops
from absdomain.kinds.live import Live
from absdomain.lowering.aten.arguments import shaped
from absdomain.lowering.table import LOW, Activation, Call, Value


def low(value: Value) -> Tensor | None:
    """Where a constant takes scores out; None where it does not."""
    present = value.read() if isinstance(value, Live) else value
    if isinstance(present, int | float) and not isinstance(present, bool):
        present = torch.tensor(float(present), dtype=torch.float64)
    if not isinstance(present, Tensor) or not present.is_floating_point():
        return None
    found: Tensor = present <= LOW
    return found if bool(found.any()) else None


def without(call: Call, x: Activation, taken: Tensor) -> Activation:
    """x without the scores that are taken out: a tensor that broadcasts over a batch of one."""
    shape, kept = call.shape_of(x), ~taken
    if kept.dim() > len(shape):
        if len(kept) > 1:
            call.unsupported("has a mask per sample", "give it a batch axis of size 1")
        kept = kept[0]
    kept, before = kept.expand(shape), call.builder.masked.get(x.name)
    kept = kept if before is None else kept & before
    made = call.apply(ops.Scale(kept.to(call.node.meta["val"].dtype), None), x)
    call.builder.masked[made.name] = kept
    return made


def softmax_of_kept(call: Call, x: Activation, axis: int, kept: Tensor) -> Activation:
    """Softmax along an axis of the scores that are kept, for each set of places at once; 0 elsewhere."""
    shape = call.shape_of(x)
    axis %= len(shape) + 1
    rows = kept.movedim(axis - 1, -1).flatten(0, -2)
    places = torch.arange(prod(shape)).view(shape).movedim(axis - 1, -1).flatten(0, -2)
    parts, index = [], torch.full((prod(shape),), -1)
    alone = torch.zeros(prod(shape), dtype=torch.float64)
    count = 0
    for pattern in rows.unique(dim=0):
        of = places[(rows == pattern).all(1)][:, pattern]
        if of.shape[1] == 0:
            call.unsupported("has a row of which every score is masked", "leave one that is not")
        if of.shape[1] == 1:
            alone[of.flatten()] = 1.0
            continue
        scores = call.apply(ops.Gather(of.contiguous()), x)
        weights = call.apply(ops.Exp(ceiling=0.0), call.apply(ops.LogSoftmax(), scores, scores))
        parts.append(shaped(call, weights, (of.numel(),)))
        index[of.flatten()] = count + torch.arange(of.numel())
        count += of.numel()
    if not parts:
        call.unsupported("is over one entry in every row", "it is constant; leave it out")
    joined = parts[0] if len(parts) == 1 else call.apply(ops.Concat(1), *parts)
    padded = call.apply(ops.Pad((0, 1)), joined) if bool((index < 0).any()) else joined
    spread = call.apply(ops.Gather(torch.where(index < 0, count, index).view(shape)), padded)
    return call.apply(ops.Scale(None, alone.view(shape)), spread) if bool(alone.any()) else spread


def finite(call: Call, value: Value) -> Any:
    """The constant with 0 where it takes scores out."""
    if not isinstance(value, Live):
        return 0.0 if low(value) is not None else value

    def read() -> Tensor:
        present = value.read()
        return present.masked_fill(present <= LOW, 0.0)

    return Live(read)
