"""The problem on a part of its input: fewer entries along one axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from torch import Tensor

from absdomain.graph import Graph, Node
from absdomain.kinds import Op, Shape
from absdomain.laws.examples import Example
from absdomain.ops import Dense, Scale
from absdomain.region import Region


def narrowed(problem: Example) -> Iterator[Example]:
    """The problem on either half of an axis of its input, where the graph's ops can do with less."""
    if problem.spec is not None:
        return
    for axis, size in enumerate(problem.graph.input.shape):
        for part in (slice(0, size // 2), slice(size // 2, size)):
            graph = _graph(problem.graph, axis, part) if size > 1 else None
            if graph is not None:
                yield Example(graph, _region(problem.region, axis, part))


def _region(region: Region, axis: int, part: slice) -> Region:
    whole: Any = region  # a dataclass, as regions are
    given = {f.name: getattr(whole, f.name) for f in fields(whole) if f.init}
    axes = region.centre.dim()
    own = {name: _cut(t, axis + 1 - axes, part) for name, t in given.items() if isinstance(t, Tensor)}
    smaller: Region = replace(whole, **own)
    return smaller


def _cut(t: Tensor, axis: int, part: slice) -> Tensor:
    """The part of t along an axis counted from the right; t itself where it is the same along it, or has none."""
    if t.dim() < -axis or t.shape[axis] == 1:
        return t
    if t.shape[axis] < part.stop:
        raise IndexError(f"{tuple(t.shape)} is not of the size that is narrowed along axis {axis}")
    return t.narrow(axis, part.start, part.stop - part.start)


def _graph(graph: Graph, axis: int, part: slice) -> Graph | None:
    """The graph on the part; None where an op does not act along that axis, entry by entry or as a sum."""
    shape = graph.input.shape
    nodes = [replace(graph.input, shape=(*shape[:axis], part.stop - part.start, *shape[axis + 1 :]))]
    for node in graph.nodes[1:]:
        old, new = [graph.nodes[a].shape for a in node.args], [nodes[a].shape for a in node.args]
        made = _node(node, old, new, axis, part)
        if made is None:
            return None
        nodes.append(made)
    return Graph(nodes)


def _node(node: Node, old: list[Shape], new: list[Shape], axis: int, part: slice) -> Node | None:
    assert node.op is not None
    if old == new:
        return node
    op: Op = node.op
    from_right = axis - len(old[0])
    match op:
        case Scale():
            op = Scale(*(None if t is None else _cut(t, from_right, part) for t in (op.weight, op.bias)))
        case Dense() if from_right == -1:
            op = Dense(_cut(op.weight, -1, part), op.bias)
    try:
        shape = op.shape(*new)
    except (RuntimeError, ValueError, IndexError):  # whatever an op says to a shape that does not suit
        return None
    as_before = len(shape) == len(node.shape) and all(n <= m for n, m in zip(shape, node.shape, strict=True))
    return replace(node, op=op, shape=shape) if as_before else None
