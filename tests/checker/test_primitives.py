"""The checker's arithmetic against exact rationals: what it calls a bound is one; and mutants of it are caught."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx

from absdomain_check import ball, checking, curves, exact, form
from absdomain_check.affine import Affine, Conv, Dense, Join, Pick, Scale, Total, Transposed
from absdomain_check.ball import Ball
from absdomain_check.bounds import Bounds, Rows, outward
from absdomain_check.errors import Refused
from absdomain_check.exact import Exact
from absdomain_check.network import RELU, TANH, Network

Array = np.ndarray[Any, Any]
GRADES = (Ball(), Exact())
KINDS = ("plain", "cancelling", "subnormal", "huge")


def drawn(rng: Random, kind: str, *shape: int) -> Array:
    """Floats that are hard on sums: of like and unlike sizes, of both signs, that cancel, are tiny, or overflow."""
    sizes = {"plain": (-3, 3), "cancelling": (-60, 60), "subnormal": (-1074, -1000), "huge": (480, 520)}[kind]
    values = np.array(
        [rng.choice((-1, 1)) * rng.random() * 2.0 ** rng.randint(*sizes) for _ in range(int(np.prod(shape)))]
    )
    if kind == "cancelling":  # pairs whose sum is far below either
        for i in range(0, len(values) - 1, 2):
            if rng.random() < 0.7:
                values[i + 1] = -values[i] * (1 + rng.choice((0.0, 2.0**-52, 2.0**-30)))
    return values.reshape(shape)


def operations(rng: Random, kind: str) -> Iterator[Affine]:
    """One of each kind, with small sizes."""
    yield Dense((6,), 4, drawn(rng, kind, 3, 2), drawn(rng, kind, 4))
    yield Dense((5,), 1, drawn(rng, kind, 5, 1), drawn(rng, kind, 1))
    layout: dict[str, Any] = {"image": (2, 3, 3), "out": (2, 2, 2), "strides": (2, 1), "pads": (1, 0, 0, 0)}
    layout |= {"dilations": (1, 1), "groups": rng.choice((1, 2))}
    yield Conv((18,), 8, drawn(rng, kind, 2, 2 // layout["groups"], 2, 2), drawn(rng, kind, 8), **layout)
    of = Conv((4,), 16, np.ones((4, 1, 3, 3)), None, image=(1, 2, 2), out=(4, 2, 2), pads=(1, 1, 1, 1))
    yield Transposed((16,), 4, drawn(rng, kind, 4, 1, 3, 3), drawn(rng, kind, 4), of=of)
    yield Pick((3,), 6, index=np.array([2, -1, 0, 2, 2, 1]), bias=drawn(rng, kind, 6))
    spread = np.abs(drawn(rng, kind, 4))
    yield Scale((4,), 4, drawn(rng, kind, 4), drawn(rng, kind, 4), spread, spread * 2.0**-7)
    yield Scale((4,), 4, None, drawn(rng, kind, 4))
    yield Total((3, 3, 3), 3, signs=(1, -1, 1))
    yield Join((2, 3), 5, places=(np.array([4, 0]), np.array([1, 2, 3])))


def fractions(x: Array) -> list[Fraction]:
    return [Fraction(float(v)) for v in x.flat]


def matrix(op: Affine) -> list[Array]:
    """A_i of the operation, of fractions, by its action on unit vectors in integers; (size, sizes[i]) each."""
    w = None if op.weight is None else np.array(fractions(op.weight), dtype=object).reshape(op.weight.shape)
    found = []
    for i, size in enumerate(op.sizes):
        xs = [np.zeros((size, n), dtype=object) for n in op.sizes]
        xs[i][np.arange(size), np.arange(size)] = 1
        found.append(op.forward(w, xs, np.dot).T)
    return found


def exactly(op: Affine, xs: list[list[Fraction]], way: int) -> list[Fraction]:
    """A' x + b' for the A', b' at one end (-1, 1) of their spreads, or in their middle (0)."""
    y = sum(
        (A @ np.array(x, dtype=object) for A, x in zip(matrix(op), xs, strict=True)), np.zeros(op.size, dtype=object)
    )
    if op.bias is not None:
        y = y + np.array(fractions(op.bias), dtype=object)
    if op.spread is not None:
        y = y + way * np.array(fractions(op.spread), dtype=object) * np.array(xs[0], dtype=object)
    if op.bias_spread is not None:
        y = y + way * np.array(fractions(op.bias_spread), dtype=object)
    return list(y)


def boxes_of(rng: Random, op: Affine, kind: str) -> tuple[list[tuple[Array, Array]], list[list[Fraction]]]:
    """Boxes of the arguments, and a corner of them."""
    found, corner = [], []
    for n in op.sizes:
        a = drawn(rng, kind, 1, n)
        b = a if rng.random() < 0.3 else drawn(rng, kind, 1, n)  # a point: nothing hides what was rounded
        found.append((np.minimum(a, b), np.maximum(a, b)))
        corner.append(fractions(np.where([rng.random() < 0.5 for _ in range(n)], *found[-1])))
    return found, corner


def check_images(count: int, grades: tuple[Ball, ...] = GRADES, kinds: tuple[str, ...] = KINDS) -> None:
    """A x + b is in the image of the box, exactly, at corners."""
    for number in range(count):
        rng = Random(number)
        kind = kinds[number % len(kinds)]
        for op in operations(rng, kind):
            boxes, x = boxes_of(rng, op, kind)
            for grade in grades:
                try:
                    lower, upper = grade.image(op, boxes)
                except Refused:
                    assert kind == "huge"
                    continue
                for way in (-1, 0, 1):
                    y = exactly(op, x, way)
                    assert all(
                        Fraction(a) <= v <= Fraction(b) for a, v, b in zip(lower[0], y, upper[0], strict=True)
                    ), (op, kind)


def net_of(op: Affine, curve: str = "") -> Network:
    """Arguments that are picked from one input, the operation, and a curve behind it."""
    net = Network()
    net.add((), sum(op.sizes))
    starts = np.cumsum([0, *op.sizes])
    args = [
        net.add((0,), n, Pick((sum(op.sizes),), n, index=np.arange(start, start + n)))
        for n, start in zip(op.sizes, starts, strict=False)
    ]
    last = net.add(tuple(args), op.size, op)
    if curve:
        last = net.add((last,), op.size, curve=curve)
    net.add((last, last), op.size, Total((op.size, op.size), op.size, signs=(1, 1)))
    return net


def check_rows(count: int, grades: tuple[Ball, ...] = GRADES, kinds: tuple[str, ...] = KINDS) -> None:
    """<c, relu(A x + b) 2> is at least the bound, exactly, whatever the slopes, and multipliers where signs hold."""
    for number in range(count):
        rng = Random(1000 + number)
        kind = kinds[number % len(kinds)]
        for op in operations(rng, kind):
            net, (boxes, x) = net_of(op, RELU), boxes_of(rng, op, kind)
            whole = tuple(np.concatenate([box[side] for box in boxes], 1) for side in (0, 1))
            c = drawn(rng, "cancelling", 1, 2, op.size)
            curve = len(net.nodes) - 2
            slopes = {curve: np.array([[[rng.choice((0.0, 0.5, 1.0)) for _ in range(op.size)]]])}
            for grade in grades:
                bounds = Bounds(net, grade)
                try:
                    held, found = bounds.boxes((whole[0], whole[1]), {curve}), None
                    found = bounds.minimum(len(net.nodes) - 1, c, held, slopes)
                    ended = bounds.back(len(net.nodes) - 1, c, held, slopes, {}, curve)
                    found = np.maximum(found, bounds.least(*ended, held))  # at the box of relu's values
                except Refused:
                    assert kind == "huge"
                    continue
                for way in (-1, 0, 1):
                    z = exactly(op, x, way)
                    signs = np.array([[0.25 * (1 if v >= 0 else -1) for v in z]])
                    line = bounds.back(len(net.nodes) - 1, c, held, slopes, {curve: signs})
                    both = np.maximum(found, bounds.least(*line, held)) if way == 0 else found
                    for k in range(2):
                        value = sum(
                            Fraction(float(a)) * 2 * max(v, Fraction(0)) for a, v in zip(c[0, k], z, strict=True)
                        )
                        low = both[0, k]
                        assert low == -np.inf or Fraction(float(low)) <= value, (type(op).__name__, kind, grade.name)
    assert found is None or np.isfinite(found).any() or kind == "huge"


def check_lines(count: int) -> None:
    """Both curves are between their lines and in their image; relu exactly, tanh in ball arithmetic."""
    for number in range(count):
        rng = Random(2000 + number)
        kind = ("plain", "cancelling", "subnormal")[number % 3]
        a, b = drawn(rng, kind, 1, 4), drawn(rng, kind, 1, 4)
        box = np.minimum(a, b), np.maximum(a, b)
        given = np.array([[rng.choice((0.0, 0.25, 1.0, np.nan)) for _ in range(4)]])
        for grade, curve in product(GRADES, (RELU, TANH)):
            (s, t), (u, v) = curves.lines(grade, curve, box, given)
            image = curves.image(curve, box)
            for j in range(4):
                for x in (box[0][0, j], box[1][0, j], 0.0, box[0][0, j] / 2 + box[1][0, j] / 2):
                    if not box[0][0, j] <= x <= box[1][0, j]:
                        continue
                    y = max(Fraction(x), Fraction(0)) if curve == RELU else tanh(x)
                    low = rational(s, j) * Fraction(x) + (Fraction(0) if t is None else rational(t, j))
                    high = rational(u, j) * Fraction(x) + rational(v, j)
                    tie = Fraction(0) if curve == RELU else Fraction(1, 10**25)
                    assert low - tie <= y <= high + tie, (curve, x, grade.name)
                    assert Fraction(image[0][0, j]) - tie <= y <= Fraction(image[1][0, j]) + tie
                    assert 0 <= rational(s, j) <= 1 and 0 <= rational(u, j) <= 1
                    if grade.name == "exact":
                        assert rational(s, j).denominator <= 2**16 and rational(u, j).denominator <= 2**16


def tanh(x: float) -> Fraction:
    """tanh of a float, to 1e-25."""
    ctx.prec = 200
    middle = arb(x).tanh().mid().man_exp()
    return Fraction(int(middle[0])) * Fraction(2) ** int(middle[1])


def rational(x: Any, j: int) -> Fraction:
    """An entry of the first row."""
    return Fraction(float(np.broadcast_to(x, (1, 4))[0, j]))


def check_roundings() -> None:
    """Fractions are rounded to their side, and multipliers, slopes and halves are what the form says."""
    for a in (Fraction(1, 3), Fraction(-1, 3), Fraction(1, 2), Fraction(10**400, 3 * 10**390), Fraction(-7)):
        assert Fraction(outward(a, -1)) <= a <= Fraction(outward(a, 1))
        assert (outward(a, -1) == outward(a, 1)) == (a.denominator & (a.denominator - 1) == 0)
    assert form.slopes_of(bytes(range(256))).min() == 0 and form.slopes_of(bytes(range(256))).max() == 1
    for wrong in (b"\x80\x00\xbc", b"\x80\x00\x7e", b"\x80\x00\x7c", b"\x80\x00\x80"):  # -1, NaN, inf, -0
        with pytest.raises(Refused):
            form.multipliers_of(wrong)
    part = checking.Part(
        form.Tree(form.HALVE, 1, [form.Tree(), form.Tree()]), np.array([0.0, -1.0]), np.array([1.0, 3.0]), (0,)
    )
    left, right = checking.halves(part)
    assert left.lower.tolist() == [0, -1] and right.upper.tolist() == [1, 3] and right.lower[1] <= left.upper[1]


def check_orders() -> None:
    """Entries come from where the index says, and rows go back to there: <c, A x> = <c A, x>, in whole numbers."""
    for number in range(4):
        rng = Random(4000 + number)
        for op in operations(rng, "plain"):
            op = op if op.weight is None else replace(op, weight=np.rint(4 * op.weight))
            xs = [np.array([[rng.randint(-9, 9) for _ in range(n)]], dtype=float) for n in op.sizes]
            c = np.array([[rng.randint(-9, 9) for _ in range(op.size)]], dtype=float)
            y, parts = op.forward(op.weight, xs, np.matmul), op.transpose(op.weight, c, np.matmul)
            assert (c * y).sum() == sum((part * x).sum() for part, x in zip(parts, xs, strict=True))
            if isinstance(op, Pick):
                assert y[0].tolist() == [xs[0][0, i] if i >= 0 else 0 for i in op.index]


def check_digits(count: int) -> None:
    """Digits are short, and add up; sums of products of them are exact; what is gathered is on its side of the sum."""
    for number in range(count):
        rng = Random(5000 + number)
        kinds = "plain", "cancelling", "subnormal"
        c, v = drawn(rng, kinds[number % 3], 1, 2, 9), drawn(rng, kinds[number // 3 % 3], 1, 9)
        digits = exact.split(c, -1)
        assert all((np.abs(d) <= 2**17).all() and (d == np.rint(d)).all() for d, _ in digits)
        for k in range(2):
            own = fractions(c[0, k])
            for j, x in enumerate(own):
                parts = [(Fraction(d[0, k, j]), int(np.broadcast_to(e, (1, 2, 1))[0, k, 0])) for d, e in digits]
                assert sum(d * Fraction(2) ** e for d, e in parts) == x
            found = Exact().dot(c, v)[0, k]
            assert Fraction(int(found.p), int(found.q)) == sum(a * b for a, b in zip(own, fractions(v), strict=True))
        terms = [(c[0], 0), (c[0, :, ::-1], 3)]
        low, high = (exact.gathered(terms, rounding)[0] for rounding in (exact.below, exact.above))
        near, unit, changed = exact.gathered(terms, exact.nearest)
        for place in np.ndindex(2, 9):
            total = Fraction(c[0][place]) + 8 * Fraction(c[0, :, ::-1][place])
            assert Fraction(low[place]) <= total <= Fraction(high[place])
            assert abs(Fraction(near[place]) - total) <= Fraction(unit[place[0], 0]) * int(changed[place[0], 0]) / 2
            assert abs(near[place] / unit[place[0], 0]) < 2**35
        tiny = drawn(rng, "plain", 1, 3) * np.array([1.0, 2.0**-1060, 2.0**100])
        assert exact.gathered([(np.array([[2.0**100, 2.0**-1060]]), 0)], exact.nearest)[2] == 1
        assert exact.gathered([(np.array([[2.0**100, 2.0**90]]), 0)], exact.nearest)[2] == 0
        for side, rounding in ((-1, exact.below), (1, exact.above)):
            end = exact.gathered([(tiny, 0)], rounding)[0]
            assert all(side * Fraction(a) >= side * x for a, x in zip(end[0], fractions(tiny), strict=True))


def check_counts() -> None:
    """`terms` and `fan` are at least how many entries a row and a column of A have."""
    for number in range(4):
        for op in operations(Random(6000 + number), "plain"):
            ones = op if op.weight is None else replace(op, weight=np.ones_like(op.weight))
            for A in matrix(ones.magnitude()):
                assert not op.terms or (A.sum(1) <= op.terms).all()
                assert not op.fan or (A.sum(0) <= op.fan).all()


def check_lengths() -> None:
    """Sums that may not be exact are refused."""
    digits = [(np.full((1, 2), 2.0**17), 0)]
    exact.multiplied(lambda d, w: d @ w.T, 2, digits, digits)
    with pytest.raises(Refused):
        exact.multiplied(lambda d, w: d @ w.T, 2**19 + 1, digits, digits)
    with pytest.raises(Refused):
        exact.multiplied(lambda d, w: d @ w.T, 2**18 + 1, digits * 2, digits * 2)


def check_cuts(count: int) -> None:
    """No point of a box at which a row is at most 0 is cut off."""
    for number in range(count):
        rng = Random(3000 + number)
        net = net_of(Dense((2,), 2, drawn(rng, "plain", 2, 2), drawn(rng, "plain", 2)), RELU)
        whole = np.full((1, 2), -1.0), np.full((1, 2), 1.0)
        row = drawn(rng, "plain", 1, 1, 2)
        for grade in GRADES:
            bounds = Bounds(net, grade)
            rows = Rows(np.zeros((1, 1, 2)), row, np.zeros((1, 1)), np.zeros((1, 1, 2)), np.zeros((1, 1, 2)))
            low, high = bounds.cutter(rows, bounds.boxes(whole, {}), {}, 0).cut(np.array([0]), 2)
            x = np.array([[rng.uniform(-1, 1), rng.uniform(-1, 1)] for _ in range(200)])
            unsafe = x[(net.evaluate(x)[-1] @ row[0, 0]) <= -1e-9]
            assert ((low <= unsafe) & (unsafe <= high)).all()


BATTERY: tuple[tuple[str, Callable[[int], None], int], ...] = (
    ("images", check_images, 8),
    ("rows", check_rows, 4),
    ("lines", check_lines, 15),
    ("cuts", check_cuts, 10),
    ("digits", check_digits, 9),
)


@pytest.mark.parametrize(("name", "battery", "count"), BATTERY, ids=[name for name, _, _ in BATTERY])
def test_bounds_hold_exactly(name: str, battery: Callable[[int], None], count: int) -> None:
    battery(count)


def test_roundings() -> None:
    check_roundings()


def test_terms_and_fans_count_what_is_added() -> None:
    check_counts()


def test_sums_that_are_too_long_are_refused() -> None:
    check_lengths()


def test_rows_go_back_to_where_entries_came_from() -> None:
    check_orders()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "battery"), [(name, battery) for name, battery, _ in BATTERY])
def test_bounds_hold_exactly_in_many_cases(name: str, battery: Callable[[int], None]) -> None:
    """Eight operations each: over 10,000 cases."""
    battery(1300)


def wrong_reach(self: Ball, op: Affine, sizes: list[Array]) -> Array:
    return 0.5 * original_reach(self, op, sizes)


def wrong_transpose(self: Ball, op: Affine, c: Array) -> list[Array]:
    return [[part * (1 - 2.0**-40)] for (part,) in original_transpose(self, op, c)]


def wrong_lines(grade: Any, curve: str, box: Any, below: Any) -> Any:
    (a, s), (b, t) = original_lines(grade, curve, box, below)
    return (a, s), (b, t * 0.99)


def wrong_tanh(grade: Any, low: float, high: float) -> tuple[float, float]:
    a, s = original_below(grade, low, high)
    return a, s + 1e-9


def forgetful(self: Exact, parts: Any, box: Any) -> Any:
    total, debt = original_total(self, parts, box)
    return total, debt * 0


def wrong_halves(part: checking.Part) -> list[checking.Part]:
    left, right = original_halves(part)
    return [left, replace(right, lower=right.lower + 1e-3)]


original_reach, original_transpose, original_lines = Ball.reach, Ball.transpose, curves.lines
original_below, original_halves, original_split = curves._below, checking.halves, exact.split
original_conv, original_least, original_total = Conv.transpose, Bounds.least, Exact.total
original_products, original_gathered = exact.multiplied, exact.gathered


def in_ball(count: int) -> Callable[[], None]:
    return lambda: check_rows(count, GRADES[:1], KINDS[:2])


def in_exact(count: int) -> Callable[[], None]:
    return lambda: check_images(count, (Exact(),), KINDS[:3])


def rows_in_exact(count: int) -> Callable[[], None]:
    return lambda: check_rows(count, (Exact(),), KINDS[:3])


MUTANTS: tuple[tuple[str, Any, str, Any, Callable[[], None]], ...] = (
    ("no errors of rows", Ball, "errors", lambda self, op, boxes: None, in_ball(8)),
    ("ends whose boxes are forgotten", Bounds, "least",
     lambda self, ends, k, debt, boxes: original_least(self, {i: c for i, c in ends.items() if not i}, k, debt, boxes),
     in_ball(8)),
    ("half a reach", Ball, "reach", wrong_reach, lambda: check_images(4, GRADES[:1])),
    ("a transpose that loses", Ball, "transpose", wrong_transpose, in_ball(8)),
    ("no roundoff", ball, "gamma", lambda n: 0.0, lambda: check_images(8, GRADES[:1], KINDS[:2])),
    ("no debt", Ball, "least", lambda self, k, debt: np.where(np.isfinite(k), k, -np.inf), in_ball(12)),
    ("a positive part for a negative one", Ball, "dot", lambda self, c, v: np.abs(c).sum(-1), in_ball(2)),
    ("a low chord", curves, "lines", wrong_lines, lambda: check_lines(6)),
    ("a high tangent", curves, "_below", wrong_tanh, lambda: check_lines(6)),
    ("an image that forgets 0", curves, "image", lambda curve, box: box, lambda: check_lines(6)),
    ("ends rounded inwards", exact, "below", lambda y, x: np.ceil(y), in_exact(8)),
    ("tiny numbers that become 0", exact, "below", lambda y, x: np.floor(y), lambda: check_digits(30)),
    ("no spread in exact", Exact, "errors", lambda self, op, boxes: None, in_exact(8)),
    ("rows that are rounded for nothing", Exact, "total", forgetful, rows_in_exact(8)),
    ("long slopes", Exact, "slope", lambda self, x: x, lambda: check_lines(15)),
    ("the last digit is lost", exact, "split", lambda x, axes: original_split(x, axes)[:-1], lambda: check_digits(4)),
    ("terms that are said to be exact", exact, "nearest", lambda y, x: np.rint(y) + 0.5 * (y != np.rint(y)),
     lambda: check_digits(4)),
    ("long rows", exact, "gathered", lambda terms, rounding: original_gathered(terms, rounding, 60),
     lambda: check_digits(4)),
    ("the last products are lost", exact, "multiplied",
     lambda *given: original_products(*given)[:-1], lambda: check_digits(4)),
    ("sums without an end", exact, "multiplied",
     lambda apply, count, xs, ws: original_products(apply, 1, xs, ws), check_lengths),
    ("halves with a gap", checking, "halves", wrong_halves, check_roundings),
    ("any multipliers", form, "multipliers_of", lambda data: np.frombuffer(data[1:], "<f2"), check_roundings),
    ("products that are off", exact, "multiplied",
     lambda *given: [(2 * y, e) for y, e in original_products(*given)], in_exact(8)),
    ("errors rounded down", ball, "up", lambda x: x * 0.5, lambda: check_images(8, GRADES[:1])),
    ("a pick that takes the next", Pick, "forward",
     lambda self, w, xs, mm: np.roll(xs[0], 1, 1)[:, self.index], check_orders),
    ("a join in another order", Join, "transpose",
     lambda self, w, c, mm: [c[:, : len(p)] for p in self.places], check_orders),
    ("a total without signs", Total, "transpose", lambda self, w, c, mm: [c for _ in self.signs], check_orders),
    ("a scale of 1", Scale, "transpose", lambda self, w, c, mm: [c], check_orders),
    ("a conv without weights", Conv, "transpose",
     lambda self, w, c, mm: original_conv(self, w * 0, c, mm), check_orders),
    ("a transposed convolution with its weights reversed", Transposed, "transpose",
     lambda self, w, c, mm: [self.of.forward(w[:, :, ::-1], [c], mm)], check_orders),
    ("sums of a transposed convolution as those of the convolution", Transposed, "__post_init__",
     lambda self: object.__setattr__(self, "terms", self.of.terms) or object.__setattr__(self, "fan", self.of.fan),
     lambda: check_counts()),
    ("a dense layer reversed", Dense, "transpose",
     lambda self, w, c, mm: [mm(c.reshape(-1, w.shape[1]), w[::-1].T).reshape(len(c), -1)], check_orders),
    ("a cut that is too deep", Ball, "coefficients",
     lambda self, c: (3 * np.abs(c[:, 0]), np.sign(c[:, 0])), lambda: check_cuts(10)),
)  # fmt: skip


@pytest.mark.parametrize(("name", "where", "what", "mutant", "battery"), MUTANTS, ids=[name for name, *_ in MUTANTS])
def test_a_mutant_is_caught(
    monkeypatch: pytest.MonkeyPatch, name: str, where: Any, what: str, mutant: Any, battery: Callable[[], None]
) -> None:
    monkeypatch.setattr(where, what, mutant)
    with pytest.raises((AssertionError, Refused, pytest.fail.Exception)), np.errstate(all="ignore"):
        battery()
