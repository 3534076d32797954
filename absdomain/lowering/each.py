"""A call on samples of several rows each along axis 0, as that call on one row after the other.

Windows of an image that are convolved, frames of a film that are pooled: a rule treats what is along axis 0 alike and
alone (`table.lowers`), and the rows of a sample are alike, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import torch
from torch import fx

from absdomain import ops
from absdomain.kinds.live import Live
from absdomain.lowering.following import Following
from absdomain.lowering.samples import Samples
from absdomain.lowering.table import Activation, Call, Rule, Value

_MOST = 64  # rows, for each of which the operation is written anew


def rows(following: Following, node: fx.Node) -> Samples | None:
    """Where the samples are, if all arguments and outputs have the same rows of them along axis 0; None otherwise."""
    held = [where for _, where in following.held(node)]
    found = [*held, *(where for where in following.known[node] if where is not None)]
    if not held or not 1 < held[0].count <= _MOST:
        return None
    same = all((where.axis, where.before, where.after) == (0, held[0].before, held[0].after) for where in found)
    return held[0] if same else None


def on_each(
    call: Call, rule: Rule, where: Samples, held: dict[fx.Node, Samples], value: Callable[[fx.Node], Any]
) -> Any:
    """The rule's outputs on every row, one after another."""
    alone = replace(call, samples=tuple(one and Samples(0, one.rank) for one in call.samples))
    found = []
    for number in range(where.count):
        read = partial(_row, call, held, number, value)
        args, named = fx.node.map_arg((call.node.args, call.node.kwargs), read)
        result = rule(alone, *args, **named)
        found.append(result if isinstance(result, list) else [result])
    joined = [_joined(call, parts) for parts in zip(*found, strict=True)]
    return joined if isinstance(call.node.meta["val"], list | tuple) else joined[0]


def _row(
    call: Call, held: dict[fx.Node, Samples], number: int, value: Callable[[fx.Node], Any], node: fx.Node
) -> Value:
    """One row of each sample of an argument; what all rows share as it is."""
    present = value(node)
    if node not in held:
        return present
    if isinstance(present, Live):
        return Live(lambda: held[node].first(present.read())[:, number])
    if not isinstance(present, Activation):
        raise call.structural("has truth values for several rows of a sample", "keep axis 0 for the batch there")
    shape = call.shape_of(present)
    return call.apply(ops.Gather(torch.arange(prod(shape)).view(shape)[number].contiguous()), present)


def _joined(call: Call, parts: tuple[Value, ...]) -> Activation:
    if not all(isinstance(part, Activation) for part in parts):
        raise call.structural("gives no numbers for several rows of a sample", "keep axis 0 for the batch there")
    laid = [call.apply(ops.Reshape((1, *call.shape_of(part))), part) for part in parts]
    return call.apply(ops.Concat(1), *laid)
