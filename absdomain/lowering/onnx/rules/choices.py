"""The largest entries, and the place of the largest."""

from __future__ import annotations

from math import prod

import torch

from absdomain import ops
from absdomain.lowering.activations import affine
from absdomain.lowering.onnx.table import Activation, Call, Nodes, Value, lowers
from absdomain.lowering.sorting import MOST, sorted_along, taken


@lowers("TopK")
def _top(call: Call, x: Value, count: Value = None) -> list[Activation]:
    """The k largest, the greatest first, or the k smallest, the least first; their places have no bounds."""
    x = call.active(x)
    axis = call.attribute("axis", -1) % len(x.shape)
    n, k = x.shape[axis], int(call.attribute("k", 1) if count is None else call.number(count, "a number of entries"))
    if not call.attribute("sorted", 1):
        call.unsupported("gives entries in an order that it does not tell", "use sorted = 1")
    if n > MOST:
        call.unsupported(f"orders {n} entries, of at most {MOST}", "order smaller groups")
    nodes, held, place = Nodes(call), call.viewed(x, x.shape), axis + 1
    wanted = range(k) if call.attribute("largest", 1) else range(n - 1, n - 1 - k, -1)
    ordered = sorted_along(nodes, held, place)
    return [call.known(taken(nodes, ordered, place, list(wanted)), (*x.shape[:axis], k, *x.shape[axis + 1 :]))]


@lowers("ArgMax", "ArgMin")
def _arg_max(call: Call, x: Value) -> Activation:
    """The sum of i times whether x_i is above all before it and not below any after it: the first of the largest.

    The last of them where `select_last_index` says so: not below those before it, and above those after it.
    """
    x = call.active(x)
    x = affine(call, x, -1.0) if call.operator == "ArgMin" else x
    rank = len(x.shape)
    axis = call.attribute("axis", 0) % rank
    n, others = x.shape[axis], tuple(a for a in range(rank) if a != axis)
    if n == 1:
        call.unsupported("is over an axis of one entry", "it is constant; leave it out")
    call.room(prod(x.shape) * n)
    order = (0, *(a + 1 for a in (*others, axis)))
    held = call.viewed(x, x.shape)
    moved = held if axis == rank - 1 else call.raw(ops.Permute(order), held)
    count = prod(x.shape) // n
    flat = call.raw(ops.Reshape((count, n)), moved)
    last = bool(call.attribute("select_last_index", 0))
    place = torch.arange(n)
    before = torch.minimum(place[None, :-1], place[:-1, None])  # of the entries 1 to n - 1: those that come first
    after = torch.maximum(place[None, 1:], place[1:, None])  # of the entries 0 to n - 2
    above = _beats(call, flat, place[1:], before, 1.0 if last else 0.0)
    below = _beats(call, flat, place[:-1], after, 0.0 if last else 1.0)
    end = call.raw(ops.Gather(_picked(count, n - 1, torch.tensor([n - 2]))), above)
    weights, parts = place[-1:], [end]
    if n > 2:
        inner = torch.arange(n - 2)
        both = (
            call.raw(ops.Gather(_picked(count, n - 1, inner + first)), held) for held, first in ((above, 0), (below, 1))
        )
        weights, parts = place[1:], [call.raw(ops.Product(), *both), end]
    joined = parts[0] if len(parts) == 1 else call.raw(ops.Concat(2), *parts)
    return call.known(call.raw(ops.Dense(weights.to(call.dtype).view(1, -1)), joined), call.shape)


def _beats(call: Call, flat: str, own: torch.Tensor, others: torch.Tensor, at_tie: float) -> str:
    """Whether each own entry, of every row, is above all the others of its line; a tie counts as told."""
    count, n = call.builder.shape(flat)
    start = torch.arange(count) * n
    rival = call.raw(ops.Max(-1), call.raw(ops.Gather(start[:, None, None] + others), flat))
    mine = call.raw(ops.Gather(_picked(count, n, own)), flat)
    minus = call.raw(ops.Scale(torch.tensor(-1.0, dtype=torch.float64), None), rival)
    return call.raw(ops.Heaviside(at_tie), call.raw(ops.Add(), mine, minus))


def _picked(count: int, n: int, places: torch.Tensor) -> torch.Tensor:
    """The flat positions of these places in each of `count` rows of n."""
    return torch.arange(count)[:, None] * n + places
