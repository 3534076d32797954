"""Entries in order: sorting networks of maxima and minima, whose intervals are exact, for whichever table asks."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TypeVar

import torch
from torch import Tensor

from absdomain import ops
from absdomain.lowering.rewritings import Adder

A = TypeVar("A")
MOST = 64  # entries that are sorted: the network has about n log(n)^2 / 4 comparisons


def sorted_along(call: Adder[A], x: A, place: int) -> A:
    """The entries along an axis, which counts the batch, the greatest first; at most `MOST`."""
    count = call.shape_of(x)[place - 1]
    for high, low in _layers(count):
        others = [i for i in range(count) if i not in {*high, *low}]
        top = _largest_of_two(call, x, place, high, low)
        bottom = _negative(call, _largest_of_two(call, _negative(call, x), place, high, low))
        parts = [top, bottom, *([taken(call, x, place, others)] if others else [])]
        held = [*high, *low, *others]
        x = taken(call, call.apply(ops.Concat(place), *parts), place, [held.index(i) for i in range(count)])
    return x


def taken(call: Adder[A], x: A, place: int, wires: list[int]) -> A:
    """These entries along an axis, in this order."""
    if wires == list(range(call.shape_of(x)[place - 1])):
        return x
    return call.apply(ops.Gather(_positions(call, x, place, wires).contiguous()), x)


def _negative(call: Adder[A], x: A) -> A:
    return call.apply(ops.Scale(torch.tensor(-1.0, dtype=torch.float64), None), x)


def _largest_of_two(call: Adder[A], x: A, place: int, one: list[int], other: list[int]) -> A:
    index = torch.stack([_positions(call, x, place, wires) for wires in (one, other)], -1)
    return call.apply(ops.Max(-1), call.apply(ops.Gather(index.contiguous()), x))


def _positions(call: Adder[A], x: A, place: int, wires: list[int]) -> Tensor:
    size = call.shape_of(x)
    return torch.arange(prod(size)).view(size).index_select(place - 1, torch.tensor(wires))


def _layers(count: int) -> Iterator[tuple[list[int], list[int]]]:
    """Pairs of wires that are compared at once, by merging odd and even ones (Batcher 1968; Knuth 5.3.4, algorithm M).

    The first wire of each pair is the earlier one.
    """
    p = top = 1 << max(0, (count - 1).bit_length() - 1)
    while p > 0:
        q, r, d = top, 0, p
        while True:
            first = [i for i in range(count - d) if i & p == r]
            if first:
                yield first, [i + d for i in first]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
