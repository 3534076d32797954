"""Einstein's sums: products of any number of tensors, of which letters are summed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod

import numpy

from absdomain import ops
from absdomain.lowering.onnx.rules.weights import times
from absdomain.lowering.onnx.table import Activation, Call, Value, lowers


@lowers("Einsum")
def _einsum(call: Call, *xs: Value) -> Value:
    """One factor after the other; a letter is summed as soon as nothing more reads it."""
    names, out = _letters(call)
    x, name = xs[0], names[0]
    for number, (y, other) in enumerate(zip(xs[1:], names[1:], strict=True), 2):
        x, name = _contracted(call, (x, name), (y, other), set(out).union(*names[number:]))
    x, name = _reduced(call, x, name, out)
    return _ordered(call, x, name, out)


def _letters(call: Call) -> tuple[list[str], str]:
    """Those of each factor and of the output; without an arrow the output has, in order, those that occur once."""
    equation = str(call.attribute("equation")).replace(" ", "")
    left, arrow, out = equation.partition("->")
    if not arrow:
        out = "".join(sorted(c for c in set(left) if left.count(c) == 1 and c.isalpha()))
    names = left.split(",")
    if "." in equation or any(len(set(name)) < len(name) for name in (*names, out)):
        call.unsupported(f"is {equation!r}", "name every axis once, without dots")
    return names, out


def _contracted(
    call: Call, one: tuple[Value, str], two: tuple[Value, str], later: Collection[str]
) -> tuple[Value, str]:
    """The product of two factors, without the letters that nothing later reads."""
    x, name = _reduced(call, *one, {*later, *two[1]})
    y, other = _reduced(call, *two, {*later, *name})
    assert x is not None and y is not None
    sizes = dict(zip(name + other, (*x.shape, *y.shape), strict=True))
    shared, summed = ([c for c in name if c in other and (c in later) == kept] for kept in (True, False))
    rows, columns = [c for c in name if c not in other], [c for c in other if c not in name]
    made = "".join([*shared, *rows, *columns])
    if not isinstance(x, Activation) and not isinstance(y, Activation):
        return numpy.einsum(f"{name},{other}->{made}", x, y), made
    a = _laid(call, x, name, [shared, rows, summed], sizes, len(shared))
    b = _laid(call, y, other, [shared, summed, columns], sizes, len(shared))
    return call.reshaped(times(call, a, b), tuple(sizes[c] for c in made)), made


def _laid(call: Call, x: Value, name: str, groups: Sequence[list[str]], sizes: dict[str, int], apart: int) -> Value:
    """A stack of matrices: the first letters an axis each, each later group one axis."""
    first, *others = groups
    ordered = _ordered(call, x, name, "".join(c for group in groups for c in group))
    shape = (*(sizes[c] for c in first), *(prod(sizes[c] for c in group) for group in others))
    return call.reshaped(ordered, shape) if isinstance(ordered, Activation) else numpy.reshape(ordered, shape)  # type: ignore[arg-type]


def _reduced(call: Call, x: Value, name: str, kept: Collection[str]) -> tuple[Value, str]:
    """x summed over the letters that are not kept."""
    axes = tuple(i for i, c in enumerate(name) if c not in kept)
    left = "".join(c for c in name if c in kept)
    if not axes:
        return x, name
    if not isinstance(x, Activation):
        return numpy.sum(x, axes), left  # type: ignore[arg-type]
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    total = call.raw(ops.Sum(tuple(a + 1 for a in axes), True), call.viewed(x, x.shape))
    return call.known(total, shape), left


def _ordered(call: Call, x: Value, name: str, wanted: str) -> Value:
    """x with its axes in another order."""
    order = tuple(name.index(c) for c in wanted)
    if wanted == name:
        return x
    if not isinstance(x, Activation):
        return numpy.transpose(x, order)  # type: ignore[arg-type]
    held = call.raw(ops.Permute((0, *(a + 1 for a in order))), call.viewed(x, x.shape))
    return call.known(held, tuple(x.shape[a] for a in order))
