"""ONNX operators: (builder, values of the inputs, attributes, opset) -> the value, or a list of them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any

import numpy as np

from absdomain_check.affine import Array, Conv
from absdomain_check.errors import Unreadable
from absdomain_check.layout import LAYOUTS, Attributes
from absdomain_check.network import RELU, TANH, Builder, Value, flat, places, real, sized

U = 2.0**-53


def _product(a: Array, b: Array) -> Array:
    """a b, entry by entry, where no product is rounded. Errors: Unreadable elsewhere."""
    x, y = np.broadcast_arrays(real(a), real(b))
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
    return _divided(build, wide, real(y.known()))


def _divided(build: Builder, x: Value, by: Array) -> Value:
    """x / by, whose quotient 1 / by is within 2 u of its float."""
    if not (np.abs(by) > 2.0**-500).all() or not (np.abs(by) < 2.0**500).all():
        raise Unreadable("a division by 0, or by a number beyond 2^500")
    inverse = 1 / by
    exact = np.abs(np.frexp(by)[0]) == 0.5
    return build.scale(x, inverse, None, np.where(exact, 0.0, 2 * U * np.abs(inverse)))


def _matmul(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    x, y = v
    if y.array is not None:
        w = real(y.array)
        if len(x.shape) == 1 and w.ndim >= 1:
            found = build.dense(Value((1, *x.shape), x.node), w.reshape(len(w), -1))
            return Value(found.shape[1:] if w.ndim == 2 else (), found.node)
        if w.ndim == 1:
            found = build.dense(x, w[:, None])
            return Value(found.shape[:-1], found.node)
        if w.ndim != 2:
            raise Unreadable("a product with a batch of matrices")
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


def _windows(a: Attributes, sizes: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[list[int], ...]:
    """(strides, dilations, pads before, pads after, output sizes); without ceil_mode."""
    n = len(sizes)
    strides, dilations = (list(a.get(name, [1] * n)) for name in ("strides", "dilations"))
    auto = a.get("auto_pad", "NOTSET")
    if a.get("ceil_mode", 0) or min(strides + dilations + list(kernel)) < 1 or len(kernel) != n:
        raise Unreadable("windows with ceil_mode, or of a wrong shape")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        need = [max(0, (-(-x // s) - 1) * s + e - x) for x, s, e in zip(sizes, strides, spans, strict=True)]
        before = [(p + (auto == "SAME_LOWER")) // 2 for p in need]
        after = [p - q for p, q in zip(need, before, strict=True)]
    else:
        pads = list(a.get("pads", [0] * (2 * n))) if auto == "NOTSET" else [0] * (2 * n)
        before, after = pads[:n], pads[n:]
    if min(before + after) < 0 or max(before + after) > 1 << 16:
        raise Unreadable(f"windows are padded by {before}, {after}")
    rows = zip(sizes, before, after, spans, strides, strict=True)
    return strides, dilations, before, after, [(x + p + q - e) // s + 1 for x, p, q, e, s in rows]


def _conv(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    x, w = v[0], real(v[1].known())
    lines = w.ndim == 3  # over one axis: a plane of height 1
    if x.shape[0] != 1 or w.ndim not in (3, 4) or len(x.shape) != w.ndim:
        raise Unreadable(f"a convolution of {x.shape} by {w.shape}; one image, over one or two axes, is read")
    if tuple(a.get("kernel_shape", w.shape[2:])) != w.shape[2:]:
        raise Unreadable(f"a convolution by {w.shape} with windows of {a['kernel_shape']}")
    bias = real(v[2].known()) if len(v) > 2 and v[2].known().size else None
    return _convolved(build, x, w, bias, a, lines, a.get("group", 1))


def _convolved(
    build: Builder, x: Value, w: Array, bias: Array | None, a: Attributes, lines: bool, groups: int
) -> Value:
    strides, dilations, before, after, sizes = _windows(a, x.shape[2:], w.shape[2:])
    if lines:
        strides, dilations, sizes = [1, *strides], [1, *dilations], [1, *sizes]
        before, after, w = [0, *before], [0, *after], w[:, :, None]
    if len(sizes) != 2:
        raise Unreadable(f"a convolution over {len(sizes)} axes")
    image = (x.shape[1], *([1, x.shape[2]] if lines else x.shape[2:]))
    if groups < 1 or x.shape[1] != groups * w.shape[1] or len(w) % groups or min(sizes) < 1:
        raise Unreadable(f"a convolution of {x.shape} by {w.shape} in {groups} groups")
    out = (len(w), *sizes)
    sized((image[0], image[1] + before[0] + after[0], image[2] + before[1] + after[1]))
    b = None if bias is None else flat(bias.reshape(-1, 1, 1), out)
    layout: dict[str, Any] = {
        "image": image, "out": out, "strides": tuple(strides), "pads": (*before, *after),
        "dilations": tuple(dilations), "groups": groups,
    }  # fmt: skip
    op = Conv((prod(x.shape),), sized(out), w, b, **layout)
    return build.op([x], op, (1, len(w), *(sizes[1:] if lines else sizes)))


def _average_pool(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    """Sums over windows, divided by how many entries each reads."""
    x, kernel = v[0], tuple(a["kernel_shape"])
    ones = np.ones((x.shape[1], 1, *kernel))
    sums = _convolved(build, x, ones, None, a, len(kernel) == 1, x.shape[1])
    if a.get("count_include_pad", 0):
        return _divided(build, sums, np.array(float(prod(kernel))))
    plain = Builder()
    one = Value((1, 1, *x.shape[2:]), plain.net.add((), prod(x.shape[2:])))
    counted = _convolved(plain, one, ones[:1], None, a, len(kernel) == 1, 1)
    counts = plain.net.evaluate(np.ones((1, prod(one.shape))))[-1]
    return _divided(build, sums, counts.reshape(1, 1, *counted.shape[2:]))


def _max_pool(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    """The maximum of each window, in rounds of pairs; a place in the padding counts as another one of its window."""
    x, kernel = v[0], tuple(a["kernel_shape"])
    strides, dilations, before, _, sizes = _windows(a, x.shape[2:], kernel)
    axes = []
    for k, s, d, p, size, n in zip(kernel, strides, dilations, before, sizes, x.shape[2:], strict=True):
        at = np.arange(size)[:, None] * s + np.arange(k) * d - p
        inside = (at >= 0) & (at < n)
        if not inside.any(1).all():
            raise Unreadable("a window of padding alone")
        axes.append(np.where(inside, at, np.take_along_axis(at, inside.argmax(1)[:, None], 1)))
    sized((*x.shape, *kernel))
    grid = places(x)
    found = [
        grid[np.ix_(*map(np.arange, x.shape[:2]), *(at[:, j] for at, j in zip(axes, place, strict=True)))]
        for place in product(*map(range, kernel))
    ]
    return _greatest(build, x, np.stack(found))


def _greatest(build: Builder, x: Value, index: Array) -> Value:
    """max over the first axis of x[index]: max(a, b) = b + relu(a - b), half against half."""
    current = build.pick(x, index)
    while (count := current.shape[0]) > 1:
        half, at = count // 2, places(current)
        a, b = build.pick(current, at[:half]), build.pick(current, at[half : 2 * half])
        top = build.total([b, build.curve(build.total([a, b], (1, -1)), RELU)], (1, 1))
        current = build.join([top, build.pick(current, at[2 * half :])], 0) if count % 2 else top
    return Value(current.shape[1:], current.node)


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
        return _divided(build, Value(shape, found.node), np.array(float(count))) if mean else Value(shape, found.node)

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
    "Conv": _conv, "AveragePool": _average_pool, "MaxPool": _max_pool, "GlobalAveragePool": _global_average,
    "BatchNormalization": _batch_norm, "ReduceMean": _reduce(True), "ReduceSum": _reduce(False),
    "Relu": _relu, "LeakyRelu": _leaky, "Abs": _abs, "Clip": _clip, "Max": _greater(1), "Min": _greater(-1),
    "Tanh": _tanh, "Sigmoid": _sigmoid, **LAYOUTS,
}  # fmt: skip
