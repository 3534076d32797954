"""The checker's arithmetic `ball`: what rounding may take from a row is paid, at once, on a machine of any precision.

Shipped numpy code runs on numbers of `kernel.machine`, of which every operation may round. `ball.U` is its unit
roundoff u, a symbol, so that what is proved holds for the checker's 2^-53 as for any other u <= 1/64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from absdomain.proofs.kernel.machine import Entries, Machine, Model, value
from absdomain.proofs.kernel.polynomial import Poly
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.paying import Paying, known, machine
from absdomain_check import curves
from absdomain_check.affine import Affine, Dense, Scale
from absdomain_check.ball import Ball, gamma, largest, up
from absdomain_check.bounds import Bounds
from absdomain_check.network import RELU, Network

Made = Callable[[Model], Affine]


def reached(kind: type[Ball] = Ball) -> Check:
    """`reach` is at least |A| s, whatever the roundings of its own sums."""

    def check(world: World) -> None:
        with machine(world) as model:
            g, paying = known(model, 6), Paying(model)
            weight = model.numbers("w", 2, 1)
            sizes = np.array([[model.positive("s0"), model.positive("s1")]], dtype=object)
            found = value(kind().reach(Dense((2,), 1, weight), [sizes])[0, 0])
            exact = Poly.of(0)
            for w, s in zip(weight[:, 0], sizes[0], strict=True):
                pair = paying.size(w), s.value
                exact = exact + pair[0] * pair[1]
                paying.allowed(pair, g, 6)
            paying.errors((g,))
            paying.claim(found - exact, "reach")

    return check


def dotted(*shape: int, kind: type[Ball] = Ball) -> Check:
    """The computed <c, v> is within gamma_n |c||v| of the exact one, n = 2, for vectors v that rows share or have."""

    def check(world: World) -> None:
        with machine(world) as model:
            g, paying, grade = known(model, 2), Paying(model), kind()
            c, v = model.numbers("c", 1, 1, 2), model.numbers("v", *shape)
            c = np.repeat(c, v.shape[1] if v.ndim == 3 else 1, 1)
            found, exact, most = value(grade.dot(c, v)[0, -1]), Poly.of(0), Poly.of(0)
            for a, b in zip(c[0, -1], v.reshape(-1, 2)[-1], strict=True):
                sizes = paying.size(a), paying.size(b)
                paying.allowed(sizes, g, 2)
                exact, most = exact + value(a) * value(b), most + sizes[0] * sizes[1]
            paying.errors()
            for sign in (1, -1):
                paying.claim(value(grade.unit(2)) * most + sign * (found - exact), "a sum of two products")

    return check


class _Given(Ball):
    """`reach` is any number that is at least |A| s: its own claim."""

    def __init__(self, model: Model, kind: type[Ball]) -> None:
        super().__init__()
        self.model, self.kind = model, kind
        self.reaches: list[Poly] = []

    def unit(self, n: int) -> Any:
        return self.kind.unit(self, n)

    def errors(self, op: Affine, boxes: list[Any]) -> Any:
        return self.kind.errors(self, op, boxes)

    def reach(self, op: Affine, sizes: list[Entries]) -> Any:
        assert op.weight is not None
        found = np.empty((1, op.size), dtype=object)
        for j, w in enumerate(op.weight.flat):
            least = abs(w).value * value(sizes[0][0, 0])
            more = self.model.positive(f"r{j}").value
            self.reaches.append(least + more)
            found[0, j] = self.model.paid(least + more)
        return found

    def least(self, k: Any, debt: Any) -> Any:
        return k, debt


def _signed(model: Model, name: str) -> tuple[Entries, int]:
    """A row of one entry whose sign is known, each of the three in a run of its own: (1, 1, 1), and the sign."""
    p, row = model.world.real(name), np.empty((1, 1, 1), dtype=object)
    sign = 1 if model.world.holds(p, strict=True) else -1 if model.world.holds(-p, strict=True) else 0
    row[0, 0, 0] = Machine(model, p, sign * p) if sign else model.of(Poly.of(0))
    return row, sign


def _bounds(grade: Ball) -> Bounds:
    net = Network()
    net.add((), 1)
    return Bounds(net, grade)


def dense(model: Model) -> Affine:
    """W z + b of one entry: two outputs."""
    return Dense((1,), 2, model.numbers("w", 1, 2), model.numbers("b", 2))


def scale(model: Model) -> Affine:
    """A diagonal that is known up to a spread, and its bias as well."""
    spreads = (np.array([model.positive(name)], dtype=object) for name in ("v", "v'"))
    return Scale((1,), 1, model.numbers("w", 1), model.numbers("b", 1), *spreads)


def paid_back(make: Made, kind: type[Ball] = Ball) -> Check:
    """<c, A z + b> >= <c', z> + d - paid for the row c', the constant d and the debt that `_affine` computes.

    For all A and b within their spreads.
    """

    def check(world: World) -> None:
        with machine(world) as model:
            op = make(model)
            g, g_bias, paying = known(model, op.fan), known(model, op.size + 2), Paying(model)
            grade = _Given(model, kind)
            c = model.numbers("c", 1, 1, op.size)
            ((part,),), more, paid = _bounds(grade)._affine(op, c, [paying.box])
            assert op.weight is not None and op.bias is not None
            exact, sizes = Poly.of(0), [paying.size(one) for one in c.flat]
            for j, size in enumerate(sizes):
                w, b = op.weight.flat[j], op.bias[j]
                slope, height = w.value, b.value
                if op.spread is not None and op.bias_spread is not None:
                    slope = slope + _spread(paying, size, op.spread[j], "off", paying.most)
                    height = height + _spread(paying, size, op.bias_spread[j], "off'")
                exact = exact + c.flat[j].value * (slope * paying.z + height)
                triple, pair = (size, paying.size(w), paying.most), (size, paying.size(b))
                paying.allowed(triple, g, op.fan)
                paying.allowed(pair, g_bias, op.size + 2)
                if grade.reaches:
                    world.derive(grade.reaches[j] - triple[1] * paying.most, "reach")
                    for factors in ((), (model.u,)):
                        world.times(size, g, grade.reaches[j] - triple[1] * paying.most, *factors)
            paying.errors(*((size,) for size in sizes if op.spread is not None))
            paying.claim(exact - value(part[0, 0, 0]) * paying.z - value(more[0, 0]) + value(paid[0, 0]), "residual")

    return check


def _spread(paying: Paying, size: Poly, spread: Machine, name: str, *most: Poly) -> Poly:
    """Any number within a spread, and what is recalled of it."""
    world, found = paying.world, paying.world.real(name)
    for sign in (1, -1):
        world.assume(spread.value + sign * found)
    c = world.real("c000")
    for sign in (1, -1):
        for end in (size + c, size - c):
            factors = (spread.value + sign * found, end)
            if most:
                for z in (most[0] + paying.z, most[0] - paying.z):
                    world.times(*factors, z)
            else:
                world.times(*factors)
    for u in ((), (paying.model.u,), (paying.model.u, paying.model.u)):
        world.times(size, spread.value, *u, *most)
        world.times(size, spread.value, *u, 1 - 64 * paying.model.u, *most)
    return found


@contextmanager
def _any_lines(model: Model, y: Poly, paying: Paying, wide: bool, height: bool) -> Iterator[tuple[Machine, ...]]:
    """The curve is between any two lines a z + s and b z + t with 0 <= a, b <= 1; s may be left out, as 0."""
    a, b = model.positive("a"), model.positive("b")
    s, t = model.number("s") if height else model.of(Poly.of(0)), model.number("t")
    for slope in (a, b):
        model.world.assume(1 - slope.value)
    model.world.assume(y - a.value * paying.z - s.value)
    model.world.assume(b.value * paying.z + t.value - y)
    shape = (1, 1, 1) if wide else (1, 1)
    laid = [np.array([one], dtype=object).reshape(shape) for one in (a, s, b, t)]
    lines = (laid[0], laid[1] if height else None), (laid[2], laid[3])
    with patch.object(curves, "lines", lambda *given: lines):
        yield a, s, b, t


def bent(wide: bool, height: bool, held: bool, kind: type[Ball] = Ball) -> Check:
    """<c, y> >= <c', z> + d - paid of `_curve` for all y between the lines, c' in parts.

    A multiplier, where its sign holds, is a part of its own, the number itself.
    """

    def check(world: World) -> None:
        with machine(world) as model:
            g, g_height, paying = known(model, 4), known(model, 5), Paying(model)
            y = world.real("y")
            c, sign = _signed(model, "c")
            h = model.numbers("h", 1, 1) if held else None
            if h is not None:
                world.assume(value(h[0, 0]) * paying.z)
            with _any_lines(model, y, paying, wide, height) as (a, s, b, t):
                curve = _bounds(kind())._curve
                (parts,), more, paid = curve(RELU, c, paying.box, None, h)
            size = paying.size(c[0, 0, 0])
            line, end = (a, s) if sign > 0 else (b, t)
            world.times(size, (1 if sign > 0 else -1) * (y - line.value * paying.z - end.value))
            for slope in (a, b):
                world.times(size, model.u, 1 - slope.value, paying.most)
                world.times(size, model.u, model.u, 1 - slope.value, paying.most)
            paying.allowed((size, paying.most), g, 4)
            for one in (s, t):
                paying.allowed((size, paying.size(one)), g_height, 5)
            paying.errors((size, g_height))
            row = sum((value(part[0, 0, 0]) for part in parts), Poly.of(0))
            value_of = value(c[0, 0, 0]) * y - row * paying.z
            paying.claim(value_of - value(more[0, 0]) + value(paid[0, 0]), "the curve's rounding is paid")

    return check


def joined(kind: type[Ball] = Ball) -> Check:
    """<p + q, z> >= <c', z> - paid for the sum c' of two rows that `_total` computes; one alone is not rounded."""

    def check(world: World) -> None:
        with machine(world) as model:
            g, paying, total = known(model, 2), Paying(model), kind().total
            parts = [model.numbers(name, 1, 1, 1) for name in "pq"]
            found, paid = total(parts, paying.box)
            for one in parts:
                paying.allowed((paying.size(one[0, 0, 0]), paying.most), g, 2)
            paying.errors()
            exact = sum((value(one[0, 0, 0]) for one in parts), Poly.of(0))
            paying.claim((exact - value(found[0, 0, 0])) * paying.z + value(paid[0, 0]), "the sum's rounding is paid")
            alone, nothing = total(parts[:1], paying.box)
            world.prove_zero(value(alone[0, 0, 0]) - value(parts[0][0, 0, 0]), "one row is itself")
            world.prove_zero(value(nothing[0, 0]), "and costs nothing")

    return check


def ended(kind: type[Ball] = Ball) -> Check:
    """<c, z> + k - debt >= k' - debt' for what `least` hands to the grade, whose last step is `Ball.least`."""

    def check(world: World) -> None:
        with machine(world) as model:
            g, paying, grade = known(model, 4), Paying(model), _Given(model, kind)
            (c, sign), k = _signed(model, "c"), model.numbers("k", 1, 1)
            debt = np.array([[model.paid(model.positive("debt").value)]], dtype=object)
            found, paid = _bounds(grade).least({0: c}, k, debt, [paying.box])
            low, size = paying.box[0 if sign > 0 else 1][0, 0], paying.size(c[0, 0, 0])
            world.times(size, (1 if sign > 0 else -1) * (paying.z - low.value))
            world.derive(paying.most - paying.size(low), "the largest is at least each end's")
            paying.allowed((size, paying.most), g, 4)
            for factors in ((model.u,), (model.u, model.u)):
                world.times(size, paying.most - paying.size(low), *factors)
            paying.allowed((paying.size(found[0, 0]),), g, 4)
            paying.errors((g,))
            exact = value(c[0, 0, 0]) * paying.z + value(k[0, 0]) - value(debt[0, 0])
            paying.claim(exact - value(found[0, 0]) + value(paid[0, 0]), "the end's rounding is paid")

    return check


class _Free(Ball):
    """Rounding costs nothing."""

    def unit(self, n: int) -> Any:
        return 0

    def errors(self, op: Affine, boxes: list[Any]) -> Any:
        return None


class _Short(Ball):
    """The sum |A| s as it is computed."""

    def reach(self, op: Affine, sizes: list[Entries]) -> Any:
        found = self.magnitude(op)
        return found.forward(found.weight, sizes, np.matmul)


class _Unbiased(Ball):
    """Products with the bias cost nothing."""

    def errors(self, op: Affine, boxes: list[Any]) -> Any:
        return up(gamma(op.fan) * self.reach(op, [largest(box) for box in boxes]))


_POINT: dict[str, str | int] = {"u": "1/64", "low": 1, "high": 1, "z": 1}
_ROW: dict[str, str | int] = _POINT | {"c000": 3, "c001": 0, "w00": 3, "w01": 0, "b1": 0, "r0": 0, "r1": 0}
_LINES: dict[str, str | int] = {"a": "1/2", "s": 0, "b": 0, "t": 5, "y": "1/2"}

LEMMAS = (
    Lemma(
        "ball",
        "on a machine of any unit roundoff u <= 1/64: <c, y> >= <c', z> + d - paid for the row c', the constant d and "
        "the debt that the checker computes of a row c, back through an affine operation (known up to spreads), "
        "through lines around a curve with a multiplier, at a node that several read, and at the ends; reach is at "
        "least |A| s",
        (
            gamma,
            up,
            largest,
            Ball.unit,
            Ball.number,
            Ball.lift,
            Ball.total,
            Ball.dot,
            Ball.transpose,
            Ball.magnitude,
            Ball.reach,
            Ball.errors,
            Bounds._affine,
            Bounds._curve,
            Bounds.least,
        ),
        (
            reached(), dotted(1, 2), dotted(1, 2, 2), paid_back(dense), paid_back(scale), bent(False, True, False),
            bent(True, False, True), joined(), ended(),
        ),
        (
            Twin("a computed sum |A| s is taken as it is", reached(_Short),
                 _POINT | {"w00": 3, "w10": 0, "s0": 3, "s1": 0, "d0": -1}),
            Twin("a sum of products costs nothing", dotted(1, 2, kind=_Free),
                 _POINT | {"c000": 3, "c001": 0, "v00": 3, "v01": 0, "d0": -1}),
            Twin("rows cost nothing", paid_back(dense, _Free), _ROW | {"b0": 0, "d0": 1}),
            Twin("products with the bias cost nothing", paid_back(dense, _Unbiased),
                 _ROW | {"w00": 0, "b0": 3, "d0": 1}),
            Twin("lines cost nothing", bent(False, True, False, _Free), _POINT | _LINES | {"c": 3, "d0": 1}),
            Twin("sums of rows cost nothing", joined(_Free), _POINT | {"p000": 1, "q000": 1, "d0": 1}),
            Twin("the ends cost nothing", ended(_Free), _POINT | {"c": 3, "k00": 0, "debt": 0, "d0": 1, "low": "1/2"}
                 | {"z": "1/2"}),
        ),
        SYMBOLS,
        assumes="the standard model of floating-point arithmetic (Higham 2002, section 2.2), for every order of sums "
        "by his section 3.1; that allowances are reckoned exactly, which `Ball.least` pays by a factor",
        leaves="results below the normal numbers, overflow, `image`, `chord`, the last step of `least`, the loop of "
        "`back`: tests against exact rationals (tests/checker/test_primitives.py); sums of more than two terms",
    ),
)  # fmt: skip
