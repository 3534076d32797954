"""ONNX operators: (builder, values of the inputs, attributes, opset) -> the value, or a list of them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from absdomain_check.affine import Array
from absdomain_check.errors import Unreadable
from absdomain_check.layout import LAYOUTS, Attributes
from absdomain_check.network import RELU, TANH, Builder, Value, places, real
from absdomain_check.windows import WINDOWS


def _product(a: Array, b: Array) -> Array:
    """a b, entry by entry, where no product is rounded. Errors: Unreadable elsewhere."""
    x, y = np.broadcast_arrays(real(a), real(b))
    with np.errstate(over="ignore"):
        found = x * y
    if any(Fraction(p) * Fraction(q) != Fraction(r) for p, q, r in zip(x.flat, y.flat, found.flat, strict=True)):
        raise Unreadable("a product of constants that is no float64")
    return found


def _add(sign: int) -> Callable[..., Value]:
    def rule(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
        x, y = v
        if x.array is not None and y.array is not None:
            raise Unreadable("a sum of constants")
        if x.node >= 0 and y.node >= 0:
            return build.total([x, y], (1, sign))
        wide = np.broadcast_shapes(x.shape, y.shape)
        if y.array is not None:
            return build.scale(build.pick(x, np.broadcast_to(places(x), wide)), None, sign * real(y.array))
        one = build.pick(y, np.broadcast_to(places(y), wide))
        return build.scale(one, np.array(float(sign)) if sign < 0 else None, real(x.known()))

    return rule


def _mul(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    x, y = v if v[0].node >= 0 else v[::-1]
    return build.scale(build.pick(x, np.broadcast_to(places(x), np.broadcast_shapes(x.shape, y.shape))), y.known())


def _div(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    x, y = v
    wide = build.pick(x, np.broadcast_to(places(x), np.broadcast_shapes(x.shape, y.shape)))
    return build.divided(wide, real(y.known()))


def _matmul(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    x, y = v
    if y.array is not None:
        w = real(y.array)
        if w.ndim not in (1, 2):
            raise Unreadable("a product with a batch of matrices")
        if len(x.shape) == 1:
            found = build.dense(Value((1, *x.shape), x.node), w.reshape(len(w), -1))
            return Value(found.shape[1:] if w.ndim == 2 else (), found.node)
        if w.ndim == 1:
            found = build.dense(x, w[:, None])
            return Value(found.shape[:-1], found.node)
        return build.dense(x, w)
    w = real(x.known())
    if w.ndim != 2 or len(y.shape) < 2:
        raise Unreadable("a product with a batch of matrices, or a vector")
    turned = build.pick(y, np.swapaxes(places(y), -1, -2))
    found = build.dense(turned, w.T)
    return build.pick(found, np.swapaxes(places(found), -1, -2))


def _gemm(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    x, w = v[0], real(v[1].known())
    x = build.pick(x, places(x).T) if a.get("transA", 0) else x
    w = w.T if a.get("transB", 0) else w
    w = _product(w, np.array(a.get("alpha", 1.0))) if a.get("alpha", 1.0) != 1 else w
    bias = real(v[2].known()) if len(v) > 2 and v[2].known().size else None
    beta = a.get("beta", 1.0)
    return build.dense(x, w, bias if bias is None or beta == 1 else _product(bias, np.array(beta)))


def _greater(sign: int) -> Callable[..., Value]:
    """max(x, y) = y + relu(x - y); min(x, y) = y - relu(y - x)."""

    def rule(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
        found = v[0]
        for other in v[1:]:
            x, y = (found, other) if found.node >= 0 else (other, found)
            gap = _add(-1)(build, [x, y] if sign > 0 else [y, x], {}, opset)
            found = _add(sign)(build, [y, build.curve(gap, RELU)], {}, opset)
        return found

    return rule


def _relu(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    return build.curve(v[0], RELU)


def _leaky(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    """a x + (1 - a) relu(x)."""
    slope = float(np.float32(a.get("alpha", 0.01)))
    if Fraction(1 - slope) != 1 - Fraction(slope):
        raise Unreadable(f"LeakyRelu with slope {slope}, of which 1 - slope is no float64")
    rest = build.scale(build.curve(v[0], RELU), np.array(1 - slope))
    return build.total([build.scale(v[0], np.array(slope)), rest], (1, 1))


def _abs(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    """2 relu(x) - x."""
    return build.total([build.scale(build.curve(v[0], RELU), np.array(2.0)), v[0]], (1, -1))


def _clip(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    """min(max(x, low), high)."""
    ends = [np.array(a[name]) if name in a else None for name in ("min", "max")]
    ends = [v[i].array if len(v) > i and v[i].known().size else ends[i - 1] for i in (1, 2)]
    found = v[0]
    for sign, end in zip((1, -1), ends, strict=True):
        if end is not None and not (end == -sign * np.inf).all():
            found = _greater(sign)(build, [found, Value(end.shape, array=end)], {}, opset)
    return found


def _tanh(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    return build.curve(v[0], TANH)


def _sigmoid(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    """(1 + tanh(x / 2)) / 2."""
    half = np.array(0.5)
    return build.scale(build.curve(build.scale(v[0], half), TANH), half, half)


def _batch_norm(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    """a x + b with a = s / sqrt(v + eps) and b = B - a m, of which floats are within the spreads that are said.

    a is four roundings from its float, so within 2^-50 |a|; b within that times |m| and two roundings of |a m| + |B|.
    """
    s, shift, mean, variance = (real(t.known()) for t in v[1:5])
    within = variance + float(np.float32(a.get("epsilon", 1e-5)))
    whole = a.get("spatial", 1) and not a.get("training_mode", 0)
    if not whole or not (within > 2.0**-100).all() or not (within < 2.0**100).all():
        raise Unreadable("a batch norm in training, of each entry, or of variances out of reach")
    scale = s / np.sqrt(within)
    b = shift - scale * mean
    spread = 2.0**-50 * np.abs(scale) + 2.0**-1000
    more = 2.0**-49 * (np.abs(scale * mean) + np.abs(shift)) + 2.0**-1000 * (1 + np.abs(mean))
    lay = (-1, *(1,) * (len(v[0].shape) - 2))
    return build.scale(v[0], *(t.reshape(lay) for t in (scale, b, spread, more)))


def _reduce(mean: bool) -> Callable[..., Value]:
    def rule(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
        x, keeps, noop = v[0], a.get("keepdims", 1), a.get("noop_with_empty_axes", 0)
        axes = a.get("axes") or (v[1].known().tolist() if len(v) > 1 else [])
        if not axes and noop:
            return x
        axes = sorted({range(len(x.shape))[axis] for axis in axes or range(len(x.shape))})
        rest = [i for i in range(len(x.shape)) if i not in axes]
        kept = [1 if i in axes else x.shape[i] for i in range(len(x.shape))]
        count = prod(x.shape[i] for i in axes)
        last = build.pick(x, places(x).transpose(*rest, *axes).reshape(*(x.shape[i] for i in rest), count))
        found = build.dense(last, np.ones((count, 1)))
        shape = tuple(kept) if keeps else tuple(x.shape[i] for i in rest)
        return build.divided(Value(shape, found.node), np.array(float(count))) if mean else Value(shape, found.node)

    return rule


def _global_average(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    return _reduce(True)(build, v, {"axes": list(range(2, len(v[0].shape)))}, opset)


def _neg(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    return build.scale(v[0], np.array(-1.0))


NO_MATTER = {  # attributes that change nothing of the value
    "BatchNormalization": {"momentum"}, "MaxPool": {"storage_order"}, "Dropout": {"ratio", "seed"},
    "Cast": {"saturate"},
}  # fmt: skip
RULES: dict[str, Callable[..., Any]] = {
    "Add": _add(1), "Sub": _add(-1), "Mul": _mul, "Div": _div, "Neg": _neg, "MatMul": _matmul, "Gemm": _gemm,
    "BatchNormalization": _batch_norm, "GlobalAveragePool": _global_average, "ReduceMean": _reduce(True),
    "ReduceSum": _reduce(False), "Relu": _relu, "LeakyRelu": _leaky, "Abs": _abs, "Clip": _clip, "Max": _greater(1),
    "Min": _greater(-1), "Tanh": _tanh, "Sigmoid": _sigmoid, **WINDOWS, **LAYOUTS,
}  # fmt: skip
