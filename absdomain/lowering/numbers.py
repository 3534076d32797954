"""The samples' own numbers, arange(B): they choose each sample's own part of a constant, and nothing else.

A constant that has a batch is the same for every sample, so that c[arange(B), ...] is c's part of any sample: that of
number 0 in a batch of one. Whatever else is made of the numbers tells one sample from another, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

import torch
from torch import fx

from absdomain.kinds.live import Live
from absdomain.lowering.following import RESHAPED, Following, bound, whole
from absdomain.lowering.table import BatchSize, Value

_COUNTS = {"aten.arange.default", "aten.arange.start"}
_SAME = {"aten.alias.default", "aten.clone.default", "aten.detach.default", "aten.lift_fresh_copy.default"}


@dataclass(frozen=True)
class Numbers:
    """0, 1, ... B - 1, laid out in some shape."""

    single: Live  # what they are for one sample


class Use(Enum):
    """What a call does with the samples' numbers."""

    COUNT = auto()  # makes them
    LAY = auto()  # lays them out
    CHOOSE = auto()  # takes each sample's own part of a constant by them


def concerned(node: fx.Node, values: Mapping[fx.Node, Value]) -> bool:
    """Whether a call reads the samples' numbers, or makes them."""
    read = [values[n] for n in node.all_input_nodes]
    counts = str(node.target) in _COUNTS and any(isinstance(v, BatchSize) for v in read)
    return counts or any(isinstance(v, Numbers) for v in read)


def use(following: Following, node: fx.Node, values: Mapping[fx.Node, Value]) -> Use | None:
    """What the call does with them, whose place is noted where it makes them; None for what tells samples apart."""
    given, target = bound(node), str(node.target)
    integers = getattr(node.meta["val"], "dtype", None) == torch.int64
    if target in _COUNTS:
        size = node.meta["val"].shape[0]
        plain = given.get("start", 0) == 0 and given.get("step", 1) == 1
        if not (integers and plain and not isinstance(size, int) and size.node.expr == following.batch.node.expr):
            return None
        following.first(node)
        return Use.COUNT
    if target in RESHAPED | _SAME or (target == "aten._to_copy.default" and integers):
        return Use.LAY
    if target == "aten.slice.Tensor" and whole(given):
        return Use.LAY
    return Use.CHOOSE if target == "aten.index.Tensor" and _own(following, given, values) else None


def _own(following: Following, given: Mapping[str, object], values: Mapping[fx.Node, Value]) -> bool:
    """Whether an index takes sample i's part of a constant for sample i."""
    source, places = given["self"], given["indices"]
    assert isinstance(source, fx.Node)
    assert isinstance(places, list | tuple)
    (where,) = following.known.get(source, ()) or (None,)
    if not isinstance(values[source], Live) or where is None or not where.plain or places[0] is None:
        return False
    others = [place for place in places[1:] if place is not None]
    fixed = all(isinstance(values[n], Live) and not any(following.known.get(n, ())) for n in others)
    return isinstance(values[places[0]], Numbers) and fixed
