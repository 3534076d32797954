"""Comparisons, and what is chosen by them or by a constant mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from absdomain import ops
from absdomain.kinds.live import Live
from absdomain.lowering.aten.arguments import constant, expanded, expression
from absdomain.lowering.aten.arithmetic import product, scaled, times, total
from absdomain.lowering.aten.masking import low, without
from absdomain.lowering.table import Activation, Call, Mask, Value, lowers

_STEPS: dict[str, tuple[int, float]] = {  # the sign of x - y, and the step's value at 0
    "gt": (1, 0.0), "ge": (1, 1.0), "lt": (-1, 0.0), "le": (-1, 1.0),
}  # fmt: skip


@lowers(*(f"aten.{name}.{kind}" for name in _STEPS for kind in ("Scalar", "Tensor")))
def _compared(call: Call, x: Value, y: Value) -> Mask:
    """x > y as a step of x - y; the ops are added where it is read, since a graph has no truth values."""
    sign, at_zero = _STEPS[call.target.split(".")[1]]

    def made(reader: Call) -> Activation:
        gap = total(reader, scaled(reader, x, sign), scaled(reader, y, -sign))
        return reader.apply(ops.Heaviside(at_zero), gap)

    return Mask(made)


@lowers(*(f"aten.{name}.{kind}" for name in ("eq", "ne") for kind in ("Scalar", "Tensor")))
def _equal(call: Call, x: Value, y: Value) -> Mask:
    call.unsupported("holds at single points, of which floats do not tell", "compare by > or <, or with a distance")


@lowers(
    "aten.logical_and.default", "aten.__and__.Tensor", "aten.bitwise_and.Tensor", "aten.logical_or.default",
    "aten.__or__.Tensor", "aten.bitwise_or.Tensor", "aten.logical_xor.default", "aten.__xor__.Tensor",
    "aten.bitwise_xor.Tensor",
)  # fmt: skip
def _joined(call: Call, x: Value, y: Value) -> Mask:
    """a b, a + b - a b, or a + b - 2 a b of two masks, one of which may be constant."""
    name = call.target.split(".")[1].strip("_").split("_")[-1]
    if not all(isinstance(v, Mask | Live) for v in (x, y)):
        call.unsupported("is of numbers", "compare them first")

    def made(reader: Call) -> Activation:
        one, two = (v.made(reader) if isinstance(v, Mask) else _zero_or_one(reader, v) for v in (x, y))
        both = times(reader, one, two)
        if name == "and":
            return both
        return total(reader, total(reader, one, two), scaled(reader, both, -1 if name == "or" else -2))

    return Mask(made)


def _zero_or_one(call: Call, mask: Live) -> Value:
    number = call.node.meta["val"].dtype
    return expression(call, lambda m: m.to(number), mask)


@lowers("aten.logical_not.default", "aten.bitwise_not.default")
def _not(call: Call, mask: Value) -> Mask:
    if not isinstance(mask, Mask):
        call.unsupported("is of numbers", "compare them first: x != 0 has no band")
    return Mask(lambda reader: _inverted(reader, mask.made(reader)))


def _inverted(call: Call, x: Activation) -> Activation:
    """1 - x."""
    one = torch.ones((), dtype=torch.float64)
    return call.apply(ops.Scale(-one, one), x)


@lowers("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar")
def _where(call: Call, mask: Value, x: Value, y: Value) -> Activation:
    """y + m (x - y), with m the mask's 0 and 1."""
    return _chosen(call, mask, x, y)


@lowers("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def _filled(call: Call, x: Value, mask: Value, value: Value) -> Activation:
    return _chosen(call, mask, value, x)


def _chosen(call: Call, mask: Value, x: Value, y: Value) -> Activation:
    for value, other, chosen in ((x, y, True), (y, x, False)):
        if isinstance(mask, Live) and isinstance(other, Activation) and low(value) is not None:
            present = mask.read()
            return without(call, expanded(call, other), present if chosen else ~present)
        _finite(call, value)
    if isinstance(mask, Mask):
        step = mask.made(call)
        gap = total(call, x, scaled(call, y, -1)) if isinstance(x, Activation) or isinstance(y, Activation) else None
        if gap is None:  # two constants
            gap = call.apply(ops.Scale(_difference(call, x, y), None), expanded(call, step))
            return total(call, gap, y)
        return total(call, product(call, step, gap), y)
    if not isinstance(mask, Live):
        call.unsupported("is chosen by a number", "choose by a comparison, or by a constant mask")
    parts = [_masked(call, value, keep, mask) for value, keep in ((x, True), (y, False))]
    return total(call, *parts)


def _masked(call: Call, value: Value, keep: bool, mask: Live) -> Value:
    """A value where the mask is so, and 0 elsewhere."""
    factor: Callable[[Tensor], Tensor] = (lambda m: m) if keep else (lambda m: ~m)
    number = call.node.meta["val"].dtype
    if isinstance(value, Activation):
        own = expression(call, lambda m: factor(m).to(number), mask)
        return call.apply(ops.Scale(constant(call, own), None), expanded(call, value))
    held = constant(call, value)
    rank = len(call.shape) + 1

    def read() -> Tensor:
        present = factor(mask.read())
        level = held.read() if isinstance(held, Live) else held
        chosen = torch.where(present, level.to(number), torch.zeros((), dtype=number))
        return chosen[0] if chosen.dim() == rank else chosen

    return Live(read)


def _difference(call: Call, x: Value, y: Value) -> Any:
    one, two = constant(call, x), constant(call, y)
    return Live(lambda: _read(one) - _read(two))


def _read(value: Any) -> Tensor:
    present: Tensor = value.read() if isinstance(value, Live) else value
    return present


def _finite(call: Call, value: Value) -> None:
    present = value.read() if isinstance(value, Live) else value
    level = present if isinstance(present, Tensor) else torch.tensor(present if isinstance(present, float | int) else 0)
    if not bool(level.isfinite().all()):
        call.unsupported("fills in infinite numbers", "fill in a large one, as -1e4 before a softmax")


@lowers("aten.heaviside.default")
def _heaviside(call: Call, x: Value, level: Value) -> Activation:
    found = level.read() if isinstance(level, Live) else None
    if found is None or found.numel() != 1 or not 0 <= float(found) <= 1:
        call.unsupported("has no constant between 0 and 1 for its value at 0", "give it one number")
    return call.apply(ops.Heaviside(float(found)), expanded(call, x))


@lowers("aten.threshold.default")
def _threshold(call: Call, x: Value, level: float, value: float) -> Activation:
    """x where x > level, else the value: without a jump where they are one number."""
    if level == value:
        return call.apply(ops.Clamp(low=float(level)), x)
    shifted = call.apply(ops.Scale(None, torch.tensor(-float(level), dtype=torch.float64)), x)
    return _chosen(call, Mask(lambda reader: reader.apply(ops.Heaviside(), shifted)), x, value)


@lowers("aten.tril.default", "aten.triu.default")
def _triangle(call: Call, x: Value, diagonal: int = 0) -> Activation:
    target: Any = call.node.target
    if len(call.shape) < 2:
        call.unsupported("has samples for rows", "keep axis 0 for the batch")
    return call.apply(ops.Scale(target(torch.ones(call.shape, dtype=torch.float64), diagonal), None), x)


@lowers("aten.argmax.default", "aten.argmin.default")
def _place(call: Call, x: Value, *args: Any, **kwargs: Any) -> Activation:
    call.unsupported("gives a place and no number", "bound margins of its argument, as absdomain.margins does")


@lowers("aten._assert_tensor_metadata.default")
def _asserted(call: Call, *args: Any, **kwargs: Any) -> None:
    """A statement of the exporter's, of which nothing follows."""
