"""Interpolations and cumulative sums: a matrix along one axis after the other."""

from __future__ import annotations

from typing import Any

import numpy

from absdomain import ops
from absdomain.lowering.onnx.rules.layout import rearranged
from absdomain.lowering.onnx.table import Activation, Array, Call, Value, lowers


@lowers("Resize", "Upsample")
def _resize(call: Call, x: Value, *rest: Value) -> Any:
    """Nearest neighbours are entries moved; other ways are found by what they make of unit vectors."""
    if call.attribute("mode", "nearest") == "nearest":
        return rearranged(call, 0, inputs=(x, *rest), numbers=numpy.float32)
    policy, way = (
        call.attribute(key, default)
        for key, default in (("keep_aspect_ratio_policy", "stretch"), ("coordinate_transformation_mode", ""))
    )
    if policy != "stretch" or way == "tf_crop_and_resize":
        call.unsupported(f"has the policy {policy!r} and the mode {way!r}", "use 'stretch', and another mode")
    x = call.active(x)
    held = call.viewed(x, x.shape)
    for axis, (n, m) in enumerate(zip(x.shape, call.shape, strict=True)):
        if n != m or call.operator == "Resize":
            weight = _matrix(call, rest, axis, n, m)
            if not numpy.array_equal(weight, numpy.eye(n)):
                held = call.raw(ops.Along(call.tensor(weight), axis + 1), held)
    return call.known(held, call.shape)


def _matrix(call: Call, rest: tuple[Value, ...], axis: int, n: int, m: int) -> Array:
    """What the node makes of an axis of n entries, as a matrix (m, n)."""
    from onnx import NodeProto

    node = NodeProto()
    node.CopyFrom(call.node)
    del node.input[:], node.output[:], node.attribute[:]
    kept = [a for a in call.node.attribute if a.name not in ("axes", "scales", "keep_aspect_ratio_policy")]
    node.attribute.extend(kept)
    old = call.operator == "Upsample" or call.opset < 11
    sizes = rest[2] if len(rest) > 2 else None
    factor = numpy.array([1.0, _scale(call, rest, axis)], numpy.float32)
    names = ["x", "scales"] if old else ["x", "", "scales"] if sizes is None else ["x", "", "", "sizes"]
    node.input.extend(names)
    node.output.append("y")
    if call.opset < 9:
        node.input.remove("scales")
        node.attribute.extend([_attribute("scales", factor)])
    units = numpy.eye(n, dtype=numpy.float32)  # there are kernels of no other dtype
    given: dict[str, Array | None] = {"x": units, "": None, "scales": factor, "sizes": numpy.array([n, m], numpy.int64)}
    (made,) = call.evaluated(dict(enumerate(given[name] for name in node.input)), node)  # type: ignore[arg-type]
    return made.T


def _attribute(name: str, numbers: Array) -> Any:
    from onnx import helper

    return helper.make_attribute(name, numbers.tolist())


def _scale(call: Call, rest: tuple[Value, ...], axis: int) -> float:
    """The factor by which an axis grows; 1 where the node gives sizes."""
    place = 0 if call.operator == "Upsample" or call.opset < 11 else 1
    given = rest[place] if len(rest) > place else call.attribute("scales")
    if given is None or numpy.size(given) == 0:
        return 1.0
    axes = call.attribute("axes")
    numbers = numpy.asarray(given).tolist()
    if axes is None:
        return float(numbers[axis])
    positive = [a % len(call.shape) for a in axes]
    return float(numbers[positive.index(axis)]) if axis in positive else 1.0


@lowers("CumSum")
def _cumulative(call: Call, x: Value, axis: Value) -> Activation:
    """A triangle of ones."""
    x = call.active(x)
    along = int(call.number(axis, "an axis")) % len(x.shape)
    ones = numpy.tri(x.shape[along], k=-1 if call.attribute("exclusive", 0) else 0)
    weight = ones.T if call.attribute("reverse", 0) else ones
    return call.known(call.raw(ops.Along(call.tensor(weight), along + 1), call.viewed(x, x.shape)), x.shape)
