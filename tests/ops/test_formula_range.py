"""Formulas at numbers of all sizes: what overflows or underflows on the way is no value, and rounding is told."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import sympy
import torch
from mpmath import mp
from torch import Tensor

from absdomain import Graph, Linf, Node
from absdomain.linear import Bounds
from absdomain.ops.formula import Formula, from_sympy
from absdomain.rounding import allowance

x = sympy.Symbol("x", real=True)
HALF_LINE = (0, sympy.oo)
FORMULAS: dict[str, tuple[sympy.Expr, tuple[Any, Any]]] = {
    "a root of a square": (sympy.sqrt(x**2 + x), HALF_LINE),
    "a logarithm of a square": (sympy.log(x**2 + x), HALF_LINE),
    "half a cosh": (sympy.cosh(x) - sympy.exp(x) / 2, (-sympy.oo, sympy.oo)),
    "cosh less sinh": (sympy.cosh(x) - sympy.sinh(x), (-sympy.oo, sympy.oo)),
    "a quotient of squares": (x**2 / (x**2 + 1), (-sympy.oo, sympy.oo)),
    "a reciprocal of a square": (1 / (x**2 + 1), (-sympy.oo, sympy.oo)),
    "an underflow, logarithm": (sympy.log(x**4), HALF_LINE),
    "an underflow, reciprocal": (1 / (x * x), HALF_LINE),
    "a wide sigmoid": (1 / (2 + sympy.exp(-x)), (-sympy.oo, sympy.oo)),
    "exponentials that undo each other": (sympy.exp(-x, evaluate=False) * (sympy.exp(x) + 1), (-50, sympy.oo)),
    "tanh by exponentials": ((sympy.exp(x) - sympy.exp(-x)) / (sympy.exp(x) + sympy.exp(-x)), (-sympy.oo, sympy.oo)),
    "softplus": (sympy.log(1 + sympy.exp(x)), (-sympy.oo, sympy.oo)),
    "softplus by another": (sympy.log(2 + sympy.exp(x)), (-sympy.oo, sympy.oo)),
    "mish": (x * sympy.tanh(sympy.log(1 + sympy.exp(x))), (-sympy.oo, sympy.oo)),
    "GELU": (x * (1 + sympy.erf(x / sympy.sqrt(2))) / 2, (-sympy.oo, sympy.oo)),
    "a bell": (sympy.exp(-(x**2)), (-sympy.oo, sympy.oo)),
    "a root less its argument": (sympy.sqrt(x**2 + 1) - x, (-sympy.oo, sympy.oo)),
    "softsign": (x / (1 + sympy.Abs(x)), (-sympy.oo, sympy.oo)),
    "a fifth power, tiny": (x**5 * sympy.Rational(1, 10**200), (-sympy.oo, sympy.oo)),
    "a kink beside a third": (sympy.Piecewise((3 * x - 1, x < sympy.Rational(1, 3)), (0, True)), (-sympy.oo, sympy.oo)),
    "a root, to a power": (x ** sympy.Rational(3, 2) - x, HALF_LINE),
    "powers of 2": (2**x - 1, (-sympy.oo, sympy.oo)),
}  # fmt: skip
SIZES = {
    torch.float64: (5e-324, 1e-310, 1e-200, 1e-160, 1e-20, 1e-3, 0.3, 1.0, 3.0, 30.0, 300.0, 709.9, 800.0, 1e5, 1e20,
                    1e160, 1e300),
    torch.float32: (1e-45, 1e-40, 1e-25, 1e-20, 1e-3, 0.3, 1.0, 3.0, 15.0, 60.0, 88.8, 100.0, 1e5, 1e12, 1e20, 1e37),
}  # fmt: skip


@cache
def op(name: str) -> Formula:
    """The op of a formula; derived once."""
    expression, domain = FORMULAS[name]
    return from_sympy(expression, domain=domain)


def boxes(dtype: torch.dtype, domain: tuple[float, float]) -> Bounds:
    """Points, boxes of relative widths from next to nothing to ten times, boxes around 0 and from 0 on."""
    size = torch.tensor(SIZES[dtype], dtype=dtype)
    size = torch.cat([size, -size])
    pairs = [
        (size, size),
        (size, size * 1.001),
        (size, 3 * size),
        (size, size * 10),
        (size * 0, size),
        (-size, 2 * size),
    ]
    low = torch.cat([torch.minimum(a, b) for a, b in pairs]).clamp(*domain)
    high = torch.cat([torch.maximum(a, b) for a, b in pairs]).clamp(*domain)
    return Bounds(low.unsqueeze(0), high.unsqueeze(0))


@cache
def truth(name: str, at: float) -> Any:
    """The formula at a number, to hundreds of digits."""
    with mp.workdps(700):
        try:
            return sympy.lambdify(x, FORMULAS[name][0], "mpmath")(mp.mpf(at))
        except ZeroDivisionError:  # at the end of its domain
            return None


def check(name: str, box: Bounds, slope: Tensor) -> int:
    """The band holds f - s x at points of the boxes, but for the forward error and the rounding of s x."""
    f, u = op(name), torch.finfo(box.lower.dtype).eps / 2
    band, error = f.band((slope,), (box,)), f.forward_error((box,))
    assert not any(bool(t.isnan().any()) for t in (band.lower, band.upper, error))
    tried = 0
    for share in (0.0, 0.37, 1.0):
        points = torch.lerp(box.lower, box.upper, share).clamp(box.lower, box.upper)
        entries = zip(points[0].tolist(), slope[0].tolist(), band.lower[0].tolist(), band.upper[0].tolist(),
                      error[0].tolist(), box.lower[0].tolist(), box.upper[0].tolist(), strict=True)  # fmt: skip
        for p, s, low, high, e, a, b in entries:
            value = truth(name, p)
            if value is None or not mp.isfinite(e):
                continue
            tried += 1
            with mp.workdps(700):
                gap, room = value - mp.mpf(s) * p, u * (e + 8 * abs(s) * max(abs(a), abs(b)) + 2 * abs(value))
                assert low <= gap + room, (
                    f"{name} at {p!r} in [{a!r}, {b!r}], slope {s!r}: {low!r} > {mp.nstr(gap, 20)}"
                )
                assert high >= gap - room, (
                    f"{name} at {p!r} in [{a!r}, {b!r}], slope {s!r}: {high!r} < {mp.nstr(gap, 20)}"
                )
    return tried


FEW = ("a root of a square", "a logarithm of a square", "half a cosh", "cosh less sinh", "a reciprocal of a square",
       "an underflow, reciprocal", "a wide sigmoid", "softplus", "a kink beside a third")  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FEW else pytest.mark.slow) for n in FORMULAS])
def test_the_band_holds_the_formula_at_all_sizes(name: str, dtype: torch.dtype) -> None:
    box = boxes(dtype, op(name).curvature.domain)
    chord = op(name).chord((box,))[0]
    tried = sum(check(name, box, slope) for slope in (chord, torch.zeros_like(chord), torch.full_like(chord, -0.75)))
    assert tried >= 100


@pytest.mark.parametrize(("name", "at", "dtype"), [
    ("a root of a square", 1e160, torch.float64), ("a root of a square", 1e20, torch.float32),
    ("a logarithm of a square", 1e160, torch.float64), ("half a cosh", 709.9, torch.float64),
    ("an underflow, logarithm", 1e-100, torch.float64), ("a reciprocal of a square", 1e200, torch.float64),
])  # fmt: skip
def test_an_overflow_on_the_way_is_no_value(name: str, at: float, dtype: torch.dtype) -> None:
    """Floats say inf, or 0, where the value is neither: the band has both ends outside, and the error is infinite."""
    point = torch.tensor([[at]], dtype=dtype)
    box = Bounds(point, point)
    band, value = op(name).image((box,)), truth(name, point.item())
    assert band.lower.item() < value < band.upper.item()
    assert op(name).forward_error((box,)).item() in (torch.inf, pytest.approx(0, abs=1e-290))


def test_the_error_of_a_difference_is_that_of_its_terms() -> None:
    point = torch.tensor([[30.0]], dtype=torch.float64)
    error = op("cosh less sinh").forward_error((Bounds(point, point),))
    assert math.exp(30) < error.item() < 100 * math.exp(30)


def test_an_allowance_counts_what_the_formula_loses() -> None:
    """x -> cosh(x) - sinh(x) is 0 to floats at 40, and off by u e^40: a thousand times its rounding is no bound."""
    nodes = [Node("x", None, (), (1,)), Node("f", op("cosh less sinh"), (0,), (1,))]
    region = Linf(torch.full((1, 1), 40.0, dtype=torch.float64), 0.0)
    assert allowance(Graph.of(nodes), region).item() > math.exp(40) * 2**-53
