"""The checker's bounds are never above the exact optimum, which rational arithmetic finds: networks of one input."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from absdomain_check.affine import Dense
from absdomain_check.ball import Ball
from absdomain_check.bounds import Bounds, Rows
from absdomain_check.checking import Job, Walk
from absdomain_check.exact import Exact
from absdomain_check.form import LINES, Tree, numbers, packed
from absdomain_check.network import RELU, Network
from absdomain_check.property import Case, Row

MANY = settings().max_examples > 50
Line = tuple[Fraction, Fraction]  # a, b of a x + b


def network(rng: Random, hidden: tuple[int, ...]) -> Network:
    """One input, relus, one output; weights are 8ths."""
    net = Network()
    last, sizes = net.add((), 1), (1, *hidden, 1)
    for k, (n, m) in enumerate(pairwise(sizes)):
        w = np.array([[rng.randint(-12, 12) / 8 for _ in range(m)] for _ in range(n)])
        b = np.array([rng.randint(-8, 8) / 8 for _ in range(m)])
        last = net.add((last,), m, Dense((n,), m, w, b))
        last = net.add((last,), m, curve=RELU) if k < len(hidden) else last
    return net


def pieces(net: Network, low: Fraction, high: Fraction) -> list[tuple[Fraction, Fraction, list[Line], Line]]:
    """Parts of [low, high] where everything is affine: ends, all arguments of relus, and the output."""
    parts: list[tuple[Fraction, Fraction, list[Line], list[Line]]] = [(low, high, [], [(Fraction(1), Fraction(0))])]
    for node in net.nodes[1:]:
        if node.affine is not None:
            w, b = node.affine.weight, node.affine.bias
            assert w is not None and b is not None
            parts = [
                (lo, hi, seen, [
                    (sum((Fraction(w[i, j]) * x[i][0] for i in range(len(x))), Fraction(0)),
                     sum((Fraction(w[i, j]) * x[i][1] for i in range(len(x))), Fraction(b[j])))
                    for j in range(w.shape[1])
                ])
                for lo, hi, seen, x in parts
            ]  # fmt: skip
            continue
        fresh = []
        for lo, hi, seen, z in parts:
            zeros = sorted({-b / a for a, b in z if a and lo < -b / a < hi})
            for left, right in zip((lo, *zeros), (*zeros, hi), strict=True):
                middle = (left + right) / 2
                relu = [(a, b) if a * middle + b > 0 else (Fraction(0), Fraction(0)) for a, b in z]
                fresh.append((left, right, [*seen, *z], relu))
        parts = fresh
    return [(lo, hi, seen, x[0]) for lo, hi, seen, x in parts]


def least(parts: list[tuple[Fraction, Fraction, list[Line], Line]], signs: dict[int, int]) -> Fraction | None:
    """The least output where the arguments of relus have these signs; None: there is no such input."""
    values = []
    for low, high, seen, (a, b) in parts:
        lo, hi = low, high
        for entry, sign in signs.items():
            p, q = seen[entry]
            p, q = sign * p, sign * q  # p x + q >= 0
            if p > 0:
                lo = max(lo, -q / p)
            elif p < 0:
                hi = min(hi, -q / p)
            elif q < 0:
                lo = hi + 1
        if lo <= hi:
            values += [a * lo + b, a * hi + b]
    return min(values, default=None)


def compared(seed: int) -> int:
    """Bounds with random slopes, multipliers and signs; how many were compared."""
    rng, count = Random(seed), 0
    hidden = tuple(rng.randint(1, 4) for _ in range(rng.randint(1, 3)))
    net = network(rng, hidden)
    ends = sorted(Fraction(rng.randint(-24, 24), 8) for _ in range(2))
    parts, total = pieces(net, *ends), sum(hidden)
    case = Case(((ends[0], ends[1]),), ((Row((), ((0, Fraction(1)),), Fraction(0)),),))
    body = {"plan": {str(i): None for i, node in enumerate(net.nodes) if node.curve and rng.random() < 0.7},
            "unstable": packed(numbers([0] * total)), "tree": packed(bytes([0]))}  # fmt: skip
    for grade in (Ball(), Exact()):
        own = {**body, "end": rng.randrange(len(net.nodes) - 1), "slopes": rng.choice((None, 0, 70, 255))}
        walk = Walk(Bounds(net, grade), case.conjunctions, own)
        boxes = walk.bounds.boxes((np.array([[float(ends[0])]]), np.array([[float(ends[1])]])), walk.plan, walk.usual)
        for _ in range(3):
            signs = {e: rng.choice((-1, 1)) for e in rng.sample(range(total), rng.randint(0, min(3, total)))}
            optimum = least(parts, signs)
            if optimum is None:
                continue
            leaf = Tree(LINES, path=tuple(signs.items()))
            leaf.slopes = bytes(rng.randrange(256) for _ in range(total - len(signs)))
            halves = np.array([rng.choice((0.0, 0.25, 1.0)) for _ in signs])
            leaf.multipliers = bytes([rng.randint(125, 130)]) + halves.astype("<f2").tobytes()
            (low,) = walk.lows([Job(leaf, 0)], boxes)
            assert Fraction(float(low)) <= optimum, (seed, grade.name, signs)
            count += 1
    return count


@given(st.integers(0, 10**9))
@settings(max_examples=500 if MANY else 15)
def test_no_bound_is_above_the_optimum(seed: int) -> None:
    compared(seed)


@pytest.mark.slow
def test_no_bound_is_above_the_optimum_of_500_problems() -> None:
    assert sum(map(compared, range(500))) > 1000


def test_a_point_box_without_signs_is_bounded_by_its_value_nearly() -> None:
    """Bounds are not only low: over a point they are the value, up to roundoff."""
    net = network(Random(5), (4, 3))
    (piece,) = pieces(net, Fraction(1, 3), Fraction(1, 3))[:1]
    x = np.array([[float(Fraction(1, 3))]])
    for grade in (Ball(), Exact()):
        bounds = Bounds(net, grade)
        rows = Rows.of([[Row((), ((0, Fraction(1)),), Fraction(0))]], 1, 1)
        _, low = bounds.linear(rows, bounds.boxes((x, x), {}), {}, {})
        assert abs(float(low[0, 0]) - net.evaluate(x)[-1][0, 0]) < 1e-9
    assert piece[0] == Fraction(1, 3)


def test_boxes_of_a_batch_are_those_of_each_alone() -> None:
    """Otherwise `exact`, which takes one box at a time, would refuse leaves that `ball` has proved (ACAS-Xu did)."""
    changed = 0
    for seed in range(20):
        net = network(Random(seed), (4, 4, 4))
        bounds, plan = Bounds(net, Ball()), [i for i, node in enumerate(net.nodes) if node.curve]
        lower, upper = np.array([[-2.0], [0.5], [-0.25]]), np.array([[2.0], [1.0], [0.0]])
        together = bounds.boxes((lower, upper), plan)
        for place in range(len(lower)):
            alone = bounds.boxes((lower[[place]], upper[[place]]), plan)
            for (low, high), (own_low, own_high) in zip(together, alone, strict=True):
                np.testing.assert_allclose(low[[place]], own_low, rtol=0, atol=1e-12)
                np.testing.assert_allclose(high[[place]], own_high, rtol=0, atol=1e-12)
        plain = bounds.boxes((lower, upper))
        changed += any(bool((a[0] != b[0]).any()) for a, b in zip(together, plain, strict=True))
    assert changed > 10  # rows do sharpen some
