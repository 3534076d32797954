"""A call whose values have their samples along any axis, as the same call on values in the graph's order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx

from absdomain.kinds.live import Live
from absdomain.lowering.following import NUMBERED, ORDERED, RECURRENT, Following, bound, entrywise
from absdomain.lowering.samples import Samples

_OF_OUTPUT = {"aten.stack.default"}  # whose axis is one of the output


def in_order(following: Following, node: fx.Node, value: Callable[[fx.Node], Any]) -> tuple[list[Any], dict[str, Any]]:
    """The call's arguments in the graph's order, of which `value` gives those that are nodes.

    Mixed where it acts along the samples' axis, or it is not known along which it does.
    """
    held, outputs = dict(following.held(node)), following.known[node]
    if str(node.target) in ORDERED:
        following.follow(node)  # Mixed where there is no place for the samples
        return [value(node.args[0]), _order(following, node)], {}  # type: ignore[arg-type]
    if str(node.target) in RECURRENT:  # of which axis 0 may be the steps
        following.check_places(node)
    if not hasattr(node.target, "_schema") or all(where is None or where.plain for where in (*held.values(), *outputs)):
        return [fx.node.map_arg(arg, value) for arg in node.args], fx.node.map_arg(node.kwargs, value)
    following.check_places(node)
    first = next(iter(held.values()))
    named = first if str(node.target) not in _OF_OUTPUT else next(s for s in outputs if s is not None)
    pointwise = entrywise(node)

    def read(arg: fx.Node) -> Any:
        present = value(arg)
        if not isinstance(present, Live):
            return present
        if arg in held:
            return _moved(present, held[arg])
        return _aligned(present, first) if pointwise else present

    listed = node.target._schema.arguments
    axes = [i for i, one in enumerate(listed) if one.name in NUMBERED and isinstance(one.default_value, int)]
    given = [*node.args, *(one.default_value for one in listed[len(node.args) : max(axes, default=-1) + 1])]
    args = [_argument(listed[i].name, arg, named, read) for i, arg in enumerate(given)]
    return args, {name: _argument(name, arg, named, read) for name, arg in node.kwargs.items()}


def _order(following: Following, node: fx.Node) -> tuple[int, ...]:
    """For a permutation of a value's axes: the same of the value in the graph's order, the batch first."""
    given, rank = bound(node), len(node.meta["val"].shape)
    axes = list(range(rank))
    if "dims" in given:
        axes = [axis % rank for axis in given["dims"]]
    else:
        one, two = given.get("dim0", 0), given.get("dim1", -1)
        axes[one], axes[two] = axes[two], axes[one]
    ((_, source),) = following.held(node)
    (target,) = following.known[node]
    assert target is not None
    places = {axis: 1 + place for place, axis in enumerate(source.order())}
    return (0, *(places[axes[axis]] for axis in target.order()))


def _argument(name: str, arg: Any, where: Samples, read: Callable[[fx.Node], Any]) -> Any:
    if name in NUMBERED:
        return where.place(arg) if isinstance(arg, int) else arg and [where.place(axis) for axis in arg]
    if name == "repeats" and where.count == 1 and len(arg) == where.rank:
        return [arg[where.axis], *(arg[axis] for axis in where.order())]
    return fx.node.map_arg(arg, read)


def _moved(constant: Live, where: Samples) -> Live:
    return Live(lambda: where.first(constant.read()))


def _aligned(constant: Live, where: Samples) -> Live:
    """A constant that is the same for every sample, without the axis that is broadcast along theirs."""
    behind = where.axis - where.rank
    if where.count > 1 or constant.read().dim() < -behind:
        return constant
    return Live(lambda: constant.read().squeeze(behind))
