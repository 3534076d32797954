"""ONNX operators that move entries, of nodes and of constants alike: by what happens to their places."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from absdomain_check.affine import Array
from absdomain_check.errors import Unreadable
from absdomain_check.network import Builder, Value, places, sized

Attributes = dict[str, Any]


def _layout(change: Callable[[Array, list[Value], Attributes, int], Any]) -> Callable[..., Any]:
    def rule(build: Builder, v: list[Value], a: Attributes, opset: int) -> Any:
        x = v[0]
        found = change(places(x) if x.array is None else x.array, v, a, opset)
        parts = [
            Value(t.shape, array=t) if x.array is not None else build.pick(x, t)
            for t in (found if isinstance(found, list) else [found])
        ]
        return parts if isinstance(found, list) else parts[0]

    return rule


def _given(v: list[Value], a: Attributes, name: str, place: int, default: Any = None) -> Any:
    """A list of numbers that newer operators have as an input and older ones as an attribute."""
    if len(v) > place and v[place].known().size:
        return v[place].known().reshape(-1).tolist()
    return a.get(name, default)


def _flatten(t: Array, v: list[Value], a: Attributes, opset: int) -> Array:
    axis = a.get("axis", 1)
    axis = axis + t.ndim if axis < 0 else axis
    return t.reshape(prod(t.shape[:axis]), -1)


def _reshape(t: Array, v: list[Value], a: Attributes, opset: int) -> Array:
    shape = _given(v, a, "shape", 1, [])
    if not a.get("allowzero", 0):
        shape = [t.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return t.reshape(shape)


def _transpose(t: Array, v: list[Value], a: Attributes, opset: int) -> Array:
    return t.transpose(a.get("perm"))


def _squeeze(t: Array, v: list[Value], a: Attributes, opset: int) -> Array:
    axes = _given(v, a, "axes", 1)
    return t.squeeze(None if axes is None else tuple(axes))


def _unsqueeze(t: Array, v: list[Value], a: Attributes, opset: int) -> Array:
    return np.expand_dims(t, tuple(_given(v, a, "axes", 1)))


def _slice(t: Array, v: list[Value], a: Attributes, opset: int) -> Array:
    starts, ends = _given(v, a, "starts", 1), _given(v, a, "ends", 2)
    axes, steps = _given(v, a, "axes", 3, range(len(starts))), _given(v, a, "steps", 4, [1] * len(starts))
    cut = [slice(None)] * t.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = slice(start, None if step < 0 and end < -t.shape[axis] else end, step)
    return t[tuple(cut)]


def _split(t: Array, v: list[Value], a: Attributes, opset: int) -> list[Array]:
    axis, parts = a.get("axis", 0), _given(v, a, "split", 1)
    if parts is None:
        raise Unreadable("a split without lengths")
    if sum(parts) != t.shape[axis]:
        raise Unreadable(f"a split of {t.shape} into {parts}")
    return np.split(t, np.cumsum(parts)[:-1], axis)


def _gather(t: Array, v: list[Value], a: Attributes, opset: int) -> Array:
    return np.take(t, v[1].known().astype(np.int64), axis=a.get("axis", 0))


def _pad(t: Array, v: list[Value], a: Attributes, opset: int) -> Array:
    pads, n = _given(v, a, "pads", 1), t.ndim
    value = v[2].known() if len(v) > 2 and v[2].known().size else np.array(a.get("value", 0.0))
    if v[0].array is not None or a.get("mode", "constant") != "constant" or value.any() or min(pads) < 0:
        raise Unreadable("padding by anything but zeros")
    if len(pads) != 2 * n or (len(v) > 3 and v[3].known().size):
        raise Unreadable("padding of some axes")
    sized(tuple(s + p + q for s, p, q in zip(t.shape, pads[:n], pads[n:], strict=True)))
    return np.pad(t, list(zip(pads[:n], pads[n:], strict=True)), constant_values=-1)


def _same(t: Array, v: list[Value], a: Attributes, opset: int) -> Array:
    return t


def _dropout(t: Array, v: list[Value], a: Attributes, opset: int) -> Array:
    if len(v) > 2 and v[2].known().any():
        raise Unreadable("a dropout in training")
    return t


def _cast(t: Array, v: list[Value], a: Attributes, opset: int) -> Array:
    if v[0].array is not None:
        if a["to"] not in (6, 7) or t.dtype.kind not in "iu":
            raise Unreadable("a cast of constants that are no integers")
    elif a["to"] not in (1, 11):
        raise Unreadable("a cast to something else than float or double")
    return t


def _concat(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    if all(x.array is not None for x in v):
        found = np.concatenate([x.known() for x in v], a["axis"])
        return Value(found.shape, array=found)
    if any(x.array is not None for x in v):
        raise Unreadable("Concat of values and constants")
    return build.join(v, a["axis"] % len(v[0].shape))


def _shape(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    return Value((len(v[0].shape),), array=np.array(v[0].shape, dtype=np.int64))


def _constant(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    kinds = {"value": None, "value_float": np.float32, "value_int": np.int64, "value_floats": np.float32,
             "value_ints": np.int64}  # fmt: skip
    (name,) = a
    found = np.asarray(a[name]) if kinds[name] is None else np.array(a[name], kinds[name])
    return Value(found.shape, array=found)


def _filled(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    shape = tuple(v[0].known().tolist())
    sized(shape)
    found = np.full(shape, a["value"].reshape(-1)[0] if "value" in a else np.float32(0))
    return Value(found.shape, array=found)


LAYOUTS: dict[str, Callable[..., Any]] = {
    "Flatten": _layout(_flatten), "Reshape": _layout(_reshape), "Transpose": _layout(_transpose),
    "Squeeze": _layout(_squeeze), "Unsqueeze": _layout(_unsqueeze), "Slice": _layout(_slice),
    "Split": _layout(_split), "Gather": _layout(_gather), "Pad": _layout(_pad), "Identity": _layout(_same),
    "Dropout": _layout(_dropout), "Cast": _layout(_cast),
    "Concat": _concat, "Shape": _shape, "Constant": _constant, "ConstantOfShape": _filled,
}  # fmt: skip
