"""ONNX operators of windows: convolutions, their transposes, and pools."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

import numpy as np

from absdomain_check.affine import Array, Conv, Transposed
from absdomain_check.errors import Unreadable
from absdomain_check.layout import Attributes
from absdomain_check.network import RELU, Builder, Value, flat, places, real, sized


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


def _conv_transpose(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    """The transpose of the convolution that makes x of the output, with `output_padding` entries that it does not read.

    An output has (n - 1) s + (k - 1) d + 1 entries along an axis, and as many more, less those of the pads.
    """
    x, w = v[0], real(v[1].known())
    if x.shape[0] != 1 or w.ndim != 4 or len(x.shape) != 4 or a.get("auto_pad", "NOTSET") != "NOTSET":
        raise Unreadable(f"a transposed convolution of {x.shape} by {w.shape}; one image, with its pads, is read")
    if tuple(a.get("kernel_shape", w.shape[2:])) != w.shape[2:]:
        raise Unreadable(f"a transposed convolution by {w.shape} with windows of {a['kernel_shape']}")
    strides, dilations = (tuple(a.get(name, [1, 1])) for name in ("strides", "dilations"))
    pads, more, groups = tuple(a.get("pads", [0] * 4)), tuple(a.get("output_padding", [0, 0])), a.get("group", 1)
    layout = (*strides, *dilations, *pads, *more)
    if len(pads) != 4 or min(layout) < 0 or max(layout) > 1 << 16 or 0 in strides + dilations + w.shape:
        raise Unreadable(f"a transposed convolution by {w.shape}, strides, dilations, pads and more: {layout}")
    if any(p >= s for p, s in zip(more, strides, strict=True)):
        raise Unreadable(f"output_padding {more} for strides {strides}")
    if groups < 1 or x.shape[1] != len(w) or len(w) % groups:
        raise Unreadable(f"a transposed convolution of {x.shape} by {w.shape} in {groups} groups")
    spans = zip(x.shape[2:], strides, dilations, w.shape[2:], more, pads[:2], pads[2:], strict=True)
    sizes = [(n - 1) * s + (k - 1) * d + 1 + p - q - r for n, s, d, k, p, q, r in spans]
    image, out = (groups * w.shape[1], *sizes), x.shape[1:]
    if min(sizes) < 1:
        raise Unreadable(f"a transposed convolution of {x.shape} to {image}")
    sized((image[0], image[1] + pads[0] + pads[2], image[2] + pads[1] + pads[3]))
    bias = flat(real(v[2].known()).reshape(-1, 1, 1), image) if len(v) > 2 and v[2].known().size else None
    shapes: dict[str, Any] = {"image": image, "out": out, "strides": strides, "pads": pads, "dilations": dilations}
    of = Conv((prod(image),), prod(out), w, groups=groups, **shapes)
    return build.op([x], Transposed((prod(out),), sized(image), w, bias, of=of), (1, *image))


def _pooled(x: Value, a: Attributes, kernel: tuple[int, ...]) -> None:
    """Errors: Unreadable for windows that are not read as everyone reads them."""
    if len(x.shape) != len(kernel) + 2 or x.shape[0] != 1:
        raise Unreadable(f"a pool of {x.shape} by {kernel}; one image is read")
    if a.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER") and set(a.get("dilations", [1])) != {1}:
        raise Unreadable("a pool with auto_pad and dilations, which programs pad differently")


def _average_pool(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    """Sums over windows, divided by how many entries each reads."""
    x, kernel = v[0], tuple(a["kernel_shape"])
    _pooled(x, a, kernel)
    ones = np.ones((x.shape[1], 1, *kernel))
    sums = _convolved(build, x, ones, None, a, len(kernel) == 1, x.shape[1])
    if a.get("count_include_pad", 0):
        return build.divided(sums, np.array(float(prod(kernel))))
    plain = Builder()
    one = Value((1, 1, *x.shape[2:]), plain.net.add((), prod(x.shape[2:])))
    counted = _convolved(plain, one, ones[:1], None, a, len(kernel) == 1, 1)
    counts = plain.net.evaluate(np.ones((1, prod(one.shape))))[-1]
    return build.divided(sums, counts.reshape(1, 1, *counted.shape[2:]))


def _max_pool(build: Builder, v: list[Value], a: Attributes, opset: int) -> Value:
    """The maximum of each window, in rounds of pairs; a place in the padding counts as another one of its window."""
    x, kernel = v[0], tuple(a["kernel_shape"])
    _pooled(x, a, kernel)
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


WINDOWS: dict[str, Callable[..., Any]] = {
    "Conv": _conv, "ConvTranspose": _conv_transpose, "AveragePool": _average_pool, "MaxPool": _max_pool,
}  # fmt: skip
