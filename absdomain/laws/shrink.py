"""The smallest problem that still breaks a law."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from absdomain.graph import Graph, Node
from absdomain.laws import regions
from absdomain.laws.derivatives import weights, with_weights
from absdomain.laws.examples import Example
from absdomain.laws.growth import ancestors
from absdomain.laws.narrow import narrowed
from absdomain.spec import Spec

_TRIES = 300


def shrunk(problem: Example, fails: Callable[[Example], bool]) -> Example:
    """A problem from which nothing more can be taken without `fails` becoming false, or the best of so many tries."""
    tries = iter(range(_TRIES))
    while True:
        smaller = next((p for p in _smaller(problem) if next(tries, None) is not None and fails(p)), None)
        if smaller is None:
            return problem
        problem = smaller


def alone(problem: Example, sample: int) -> Example:
    """The problem of one sample of the batch."""
    spec = problem.spec
    if spec is not None:
        own = [t[sample : sample + 1] if len(t) > 1 else t for t in (spec.C, spec.d)]
        spec = Spec(own[0], own[1], spec.groups)
    return Example(problem.graph, regions.alone(problem.region, sample), spec)


def _smaller(problem: Example) -> Iterator[Example]:
    """The problem without a part of it: samples, the specification, the graph's end, nodes, inputs, digits."""
    batch = len(problem.region.centre)
    if batch > 1:
        yield from (alone(problem, sample) for sample in range(batch))
    if problem.spec is not None:
        yield replace(problem, spec=None)
        C, d = problem.spec.C, problem.spec.d
        if C.shape[1] > 1:
            yield from (replace(problem, spec=Spec(C[:, [k]], d[:, [k]])) for k in range(C.shape[1]))
    nodes = problem.graph.nodes
    for last in range(1, len(nodes) - 1):
        yield Example(_alive(nodes[: last + 1]), problem.region)
    if len(ancestors(problem.graph)) < len(nodes):
        yield replace(problem, graph=_alive(nodes))
    for place, node in enumerate(nodes[:-1]):
        for arg in dict.fromkeys(node.args):
            if nodes[arg].shape == node.shape:
                yield replace(problem, graph=_alive(_bypassed(nodes, place, arg)))
    yield from narrowed(problem)
    for digits in range(3):
        yield from _rounded(problem, digits)


def _rounded(problem: Example, digits: int) -> Iterator[Example]:
    """The problem in numbers of so few digits, unless it is so already."""
    held = weights(problem.graph)
    region: Any = problem.region  # a dataclass, as regions are
    given = {f.name: getattr(region, f.name) for f in fields(region) if f.init}
    ends = {name: t for name, t in given.items() if isinstance(t, Tensor)}
    short = [t.round(decimals=digits) for t in held]
    if any(not torch.equal(a, b) for a, b in zip(short, held, strict=True)):
        yield replace(problem, graph=with_weights(problem.graph, short))
    rounded = {name: t.round(decimals=digits) for name, t in ends.items()}
    if any(not torch.equal(rounded[name], t) for name, t in ends.items()):
        yield replace(problem, region=replace(region, **rounded))


def _alive(nodes: tuple[Node, ...]) -> Graph:
    """The graph of the nodes on which the last one depends."""
    keep = sorted(ancestors(Graph(nodes)) | {0})
    moved = {old: new for new, old in enumerate(keep)}
    return Graph([replace(nodes[p], args=tuple(moved[a] for a in nodes[p].args)) for p in keep])


def _bypassed(nodes: tuple[Node, ...], place: int, arg: int) -> tuple[Node, ...]:
    """The nodes, with every reader of `place` reading `arg` instead."""
    return tuple(replace(n, args=tuple(arg if a == place else a for a in n.args)) for n in nodes)
