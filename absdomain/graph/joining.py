"""One input for several, and one output."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import prod

import torch

from absdomain.graph.digraph import Node
from absdomain.graph.ports import Ports
from absdomain.ops import Concat, Gather, Reshape


def from_one(nodes: Sequence[Node], inputs: Ports) -> list[Node]:
    """The nodes with one input, of which those that have no op read their windows; as they are where there is one."""
    if len(inputs.shapes) == 1:
        return list(nodes)
    index = torch.arange(inputs.shape[0])
    windows = {name: index[start : start + prod(shape)].view(shape) for name, shape, start in inputs.windows()}
    joint = Node(fresh("inputs", {node.name for node in nodes}), None, (), inputs.shape)
    read = (
        replace(node, op=Gather(windows[node.name]), args=(0,))
        if node.op is None
        else replace(node, args=tuple(a + 1 for a in node.args))
        for node in nodes
    )
    return [joint, *read]


def into_one(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """The nodes, and of several outputs their join after them; of one output it is the last node already."""
    if len(outputs) == 1:
        return list(nodes)
    made, names = list(nodes), {node.name: place for place, node in enumerate(nodes)}
    parts = []
    for name in outputs:
        node = nodes[names[name]]
        if len(node.shape) == 1:
            parts.append(names[name])
            continue
        flat = (prod(node.shape),)
        parts.append(len(made))
        made.append(Node(fresh(f"{name}_flat", {n.name for n in made}), Reshape(flat), (names[name],), flat))
    size = sum(made[place].shape[0] for place in parts)
    made.append(Node(fresh("outputs", {n.name for n in made}), Concat(1), tuple(parts), (size,)))
    return made


def fresh(stem: str, taken: Collection[str]) -> str:
    """The stem, or where that is taken the stem with the first number behind it that makes a new name."""
    name, count = stem, 0
    while name in taken:
        count += 1
        name = f"{stem}_{count}"
    return name
