"""Entries moved, none changed: the node is run on the entries' positions, by ONNX's reference."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy
import torch

from absdomain import ops
from absdomain.lowering.onnx.rules.arithmetic import summed
from absdomain.lowering.onnx.table import Activation, Array, Call, Value, lowers, natural


@lowers("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(call: Call, x: Value, *rest: Value) -> Activation:
    """The entries in their order."""
    return call.reshaped(call.active(x), call.shape)


@lowers("Identity")
def _identity(call: Call, x: Value) -> Value:
    return x


@lowers("Dropout")
def _dropout(call: Call, x: Value, ratio: Value = None, training: Value = None) -> list[Value]:
    """The identity, but in training."""
    if training is not None and bool(call.constant(training, "a training mode").any()):
        call.unsupported("is in training mode", "export the network in evaluation mode")
    if any(call.node.output[1:]):
        call.unsupported("gives its mask, too", "use its first output only")
    return [x]


_FLOATS = {1, 10, 11, 16}  # float32, float16, float64 and bfloat16 as ONNX numbers its types
_BOOL = 9


@lowers("Cast", "CastLike")
def _cast(call: Call, x: Value, like: Value = None) -> Value:
    """The identity between floating-point types, of which a graph has one, and from truth values or whole numbers."""
    if call.made not in _FLOATS and call.read[0] != _BOOL and call.made != call.read[0]:
        call.unsupported("casts to whole numbers or truth values", "keep floating-point numbers")
    return x


@lowers("Transpose")
def _transpose(call: Call, x: Value) -> Activation:
    x = call.active(x)
    rank = len(x.shape)
    order = tuple(call.attribute("perm", tuple(reversed(range(rank)))))
    if x.leads and order[0] == 0:
        return call.known(call.raw(ops.Permute(order), x.name), call.shape)
    held = call.viewed(x, x.shape)
    return call.known(call.raw(ops.Permute((0, *(axis + 1 for axis in order))), held), call.shape)


@lowers("Concat")
def _concat(call: Call, *xs: Value) -> Any:
    """Activations one after another; among constants, with zeros in their place and them as an offset."""
    rank = len(call.shape)
    axis = call.attribute("axis") % rank
    if all(isinstance(x, Activation) for x in xs):
        return call.known(_joined(call, [call.active(x) for x in xs], axis), call.shape)
    return rearranged(call, *range(len(xs)), inputs=xs)


def _joined(call: Call, xs: list[Activation], axis: int) -> str:
    if all(x.leads for x in xs) and axis > 0:
        return call.raw(ops.Concat(axis), *(x.name for x in xs))
    return call.raw(ops.Concat(axis + 1), *(call.viewed(x, x.shape) for x in xs))


@lowers("Pad")
def _pad(call: Call, x: Value, pads: Value = None, level: Value = None, axes: Value = None) -> Any:
    """With a constant: zeros around x, and the constant as an offset; other modes move entries."""
    x = call.active(x)
    if call.attribute("mode", "constant") != "constant":
        return rearranged(call, 0, inputs=(x, pads, level, axes))
    value = call.attribute("value", 0.0) if level is None else call.number(level, "a level")
    before, after = _amounts(call, x, pads, axes)
    if x.leads and before[0] == after[0] == 0 and min(*before, *after) >= 0:
        amounts = tuple(p for pair in zip(before[:0:-1], after[:0:-1], strict=True) for p in pair)
        padded = call.known(call.raw(ops.Pad(amounts), x.name), call.shape)
    else:
        zero = None if level is None else numpy.zeros(())
        padded = call.active(rearranged(call, 0, inputs=(x, pads, zero, axes), node=_without(call.node, "value")))
    if value == 0:
        return padded
    inside = [slice(max(b, 0), n - max(a, 0)) for b, a, n in zip(before, after, call.shape, strict=True)]
    offset = numpy.full(call.shape, value)
    offset[tuple(inside)] = 0
    return summed(call, padded, offset, call.shape)


def _without(node: Any, attribute: str) -> Any:
    """A node less one attribute; None where it has none such."""
    other = type(node)()
    other.CopyFrom(node)
    del other.attribute[:]
    other.attribute.extend(a for a in node.attribute if a.name != attribute)
    return other if len(other.attribute) < len(node.attribute) else None


def _amounts(call: Call, x: Activation, pads: Value, axes: Value) -> tuple[list[int], list[int]]:
    """How many entries each axis gets before and after."""
    given = call.attribute("pads") if pads is None else call.constant(pads, "amounts").tolist()
    rank = len(x.shape)
    places = range(rank) if axes is None else [int(a) % rank for a in call.constant(axes, "axes").reshape(-1)]
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(places):
        before[axis], after[axis] = given[i], given[len(places) + i]
    return before, after


# Operators that only move entries, with the inputs whose entries they move.
_MOVES: dict[str, tuple[int, ...]] = {
    "Slice": (0,), "Split": (0,), "Gather": (0,), "GatherElements": (0,), "GatherND": (0,), "Expand": (0,),
    "Tile": (0,), "DepthToSpace": (0,), "SpaceToDepth": (0,), "Trilu": (0,), "ReverseSequence": (0,),
    "ScatterND": (0, 2), "ScatterElements": (0, 2), "Compress": (0,),
}  # fmt: skip


@lowers(*_MOVES)
def _move(call: Call, *inputs: Value) -> Any:
    if call.attribute("reduction", "none") != "none":
        call.unsupported(f"has the reduction {call.attribute('reduction')!r}", "use none")
    return rearranged(call, *_MOVES[call.operator], inputs=inputs)


def rearranged(
    call: Call, *data: int, inputs: tuple[Value, ...], numbers: type = numpy.float64, node: Any = None
) -> Any:
    """An operator that moves entries of the inputs at these positions, and puts zeros between them.

    It is run on numbers that name the entries: positive for those of activations, negative for constants, 0 for zero.
    `node`: another one that is run in its place.
    """
    for place, value in enumerate(inputs):
        if place not in data and isinstance(value, Activation):
            call.unsupported(f"has an input {place} that depends on an input", "make it a constant of the file")
    active = {i: v for i in data if isinstance(v := inputs[i], Activation)}
    fixed = {i: v for i in data if isinstance(v := inputs[i], numpy.ndarray)}
    replaced: dict[int, Array] = {}
    for held, sign in ((active, 1), (fixed, -1)):
        count = 0
        for i, v in held.items():
            size = prod(v.shape)
            replaced[i] = (sign * numpy.arange(count + 1, count + size + 1)).reshape(v.shape).astype(numbers)
            count += size
            if count > 1 / numpy.finfo(numbers).eps:
                call.unsupported(f"has {count} entries", f"give it fewer than {numbers.__name__} can count")
    pool = numpy.concatenate([numpy.zeros(1), *(v.reshape(-1) for v in fixed.values())])
    moved = [_placed(call, list(active.values()), pool, numpy.asarray(m)) for m in call.evaluated(replaced, node)]
    return moved if len(moved) > 1 else moved[0]


def _placed(call: Call, xs: list[Activation], pool: Array, number: Array) -> Value:
    """The entries that are named: of the activations, one after another, and of the pool, in which 0 comes first."""
    if not numpy.array_equal(number, numpy.rint(number)):
        call.unsupported("changes entries, where its rule moves them", "correct the rule")
    number = numpy.rint(number).astype(numpy.int64)
    total, shape = sum(prod(x.shape) for x in xs), tuple(number.shape)
    if not (number > 0).any():
        return pool[-number.clip(max=0)]
    joined = xs[0].name
    if len(xs) > 1:
        joined = call.raw(ops.Concat(1), *(call.viewed(x, (prod(x.shape),)) for x in xs))
    if number.size == total and (number.reshape(-1) == numpy.arange(1, total + 1)).all():
        return call.known(joined, shape)
    index = torch.tensor(number.clip(min=1) - 1).reshape(natural(shape))
    gathered = call.known(call.raw(ops.Gather(index), joined), shape)
    if (number > 0).all():
        return gathered
    mask, offset = call.against((number > 0) * 1.0, shape), call.against(pool[-number.clip(max=0)], shape)
    return call.apply(ops.Scale(mask, offset), gathered)
