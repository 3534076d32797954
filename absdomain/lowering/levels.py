"""What an activation is known to keep by the operations that make it: a lower level, whatever its bounds say.

Bounds of a sum of squares may fall below 0, of which a root has no value; the sum itself does not. So a root, a
logarithm or a reciprocal is told the level, as its floor.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from absdomain import ops
from absdomain.kinds import Op
from absdomain.kinds.live import Live

_ROUNDING = 2.0**-40  # of the numbers of which a level is made: it is never above the true one
Digraph = Any  # networkx.DiGraph[str], whose nodes bear an op and whose edges the places of arguments
Level = Callable[[Any, list[float]], float]  # of an op and of its arguments' levels; -inf: none is known


def level(digraph: Digraph, name: str) -> float:
    """The greatest known number that the node's value is never below; -inf where there is none."""
    op: Op | None = digraph.nodes[name].get("op")
    found = _LEVELS.get(type(op))
    if found is None:
        return -inf
    args: dict[int, str] = {}
    for source, _, places in digraph.in_edges(name, data="args"):
        args.update(dict.fromkeys(places, source))
    needed = [] if type(op) in _ALWAYS else [level(digraph, args[place]) for place in sorted(args)]
    return found(op, needed)


def floor(digraph: Digraph, name: str, *, positive: bool) -> float | None:
    """The level of a node as the floor of an operation, which is to be positive, or at least 0."""
    found = level(digraph, name)
    return found if found > 0 or (found == 0 and not positive) else None


def _scaled(op: ops.Scale, levels: list[float]) -> float:
    """w x + b for constants, of which a parameter may be another number later."""
    fields = [vars(op).get(name) for name in ("_weight", "_bias")]
    if any(isinstance(v, Live) for v in fields):
        return -inf
    w, b = op.weight, op.bias
    least = -inf if w is not None and bool((w < 0).any()) else levels[0]
    if w is not None and least > -inf:
        least = min(_below(least * float(v)) for v in (w.min(), w.max()))
    return least if b is None else _sum([least, float(b.min())])


def _sum(terms: list[float]) -> float:
    return sum(terms) - _ROUNDING * sum(map(abs, terms))


def _below(value: float) -> float:
    return value - _ROUNDING * abs(value)


def _summed(op: Op, levels: list[float]) -> float:
    """Of how many entries it is a sum does not matter to 0."""
    return 0.0 if levels[0] >= 0 else -inf


def _power(op: ops.Pow, levels: list[float]) -> float:
    if op.floor is not None:
        return _below(op.floor**op.exponent) if op.exponent > 0 else 0.0
    return 0.0 if float(op.exponent).is_integer() and op.exponent % 2 == 0 else -inf


_ALWAYS: dict[type, Level] = {
    **dict.fromkeys((ops.ReLU, ops.Abs, ops.Exp, ops.Sigmoid, ops.Softplus), lambda op, levels: 0.0),
    ops.Clamp: lambda op, levels: op.low,
    **dict.fromkeys((ops.Pow, ops.Square, ops.Sqrt, ops.Reciprocal), _power),
}
_KEPT: dict[type, Level] = {
    **dict.fromkeys(
        (ops.Mean, ops.Max, ops.Gather, ops.Reshape, ops.Permute, ops.Concat), lambda op, levels: min(levels)
    ),
    **dict.fromkeys((ops.Pad, ops.Scatter), lambda op, levels: min(0.0, *levels)),
    **dict.fromkeys((ops.Sum, ops.AvgPool), _summed),
    ops.Add: lambda op, levels: _sum(levels),
    ops.Scale: _scaled,
}
_LEVELS = _ALWAYS | _KEPT
