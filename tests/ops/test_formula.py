"""An op that is declared by a formula alone keeps every law, and what cannot be derived is refused with the reason."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from random import Random

import pytest
import sympy
import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain import Linf, ops
from absdomain.domains import Box, DeepPoly
from absdomain.graph import Graph, Node, freeze
from absdomain.kinds import Bracketed, Op, Shape
from absdomain.laws import check_domain, check_op, domains
from absdomain.laws.domains import DomainLaw
from absdomain.laws.examples import Example, example
from absdomain.laws.problems import AnyDomain
from absdomain.linear import Bounds
from absdomain.ops import Dense
from absdomain.ops.formula import from_sympy
from absdomain.ops.formula.signs import Unproved, signs

x = sympy.Symbol("x")
oo = sympy.oo
SPLINE = sympy.Piecewise(
    (0, x < -1), ((x + 1) ** 3 / 6, x < 0), ((1 + 3 * x + 3 * x**2 - 3 * x**3) / 6, x < 1),
    ((4 - 6 * (x - 1) ** 2 + 3 * (x - 1) ** 3) / 6, x < 2), ((3 - x) ** 3 / 6, x < 3), (0, True),
)  # fmt: skip


def spline(t: Tensor) -> Tensor:
    """The cubic B-spline on the knots -1, ..., 3, as a sum of cubes."""
    return sum(c * (t + 1 - i).relu() ** 3 for i, c in enumerate((1, -4, 6, -4, 1))) / 6


FORMULAS: dict[str, tuple[sympy.Expr, Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "softplus": (sympy.log(1 + sympy.exp(x)), lambda t: F.softplus(t, threshold=1e3), (1,)),
    "mish": (x * sympy.tanh(sympy.log(1 + sympy.exp(x))), F.mish, (-1, 1, -1)),
    "spline": (SPLINE, spline, (0, 1, 1, -1, -1, 1, 1, 0)),
    "quick GELU": (x / (1 + sympy.exp(-1.702 * x)), lambda t: t * (1.702 * t).sigmoid(), (-1, 1, -1)),
    "GELU": (x * (1 + sympy.erf(x / sympy.sqrt(2))) / 2, F.gelu, (-1, 1, -1)),
    "SiLU": (x / (1 + sympy.exp(-x)), F.silu, (-1, 1, -1)),
    "softsign": (x / (1 + sympy.Abs(x)), F.softsign, (1, -1)),
    "hardswish": (x * sympy.Min(sympy.Max(x + 3, 0), 6) / 6, F.hardswish, (0, 1, 0)),
    "ELU": (sympy.Piecewise((x, x > 0), (sympy.exp(x) - 1, True)), F.elu, (1, 0)),
    "bell": (sympy.exp(-(x**2)), lambda t: (-t * t).exp(), (1, -1, 1)),
    "arc tangent": (sympy.atan(x), torch.atan, (1, -1)),
    "tanh shrink": (x - sympy.tanh(x), F.tanhshrink, (-1, 1)),
    "two kinks": (sympy.sqrt(x**2 + 1) - sympy.Abs(x - 1), lambda t: (t * t + 1).sqrt() - (t - 1).abs(), (1, 1)),
    "power of 2": (2**x, torch.exp2, (1,)),
    "fourth power": (x**4 / 10, lambda t: t**4 / 10, (1,)),
    "line": (2 * x + 1, lambda t: 2 * t + 1, (0,)),
}  # fmt: skip


FEW = ("softplus", "mish", "spline", "quick GELU", "softsign", "ELU", "fourth power", "line")


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FEW else pytest.mark.slow) for n in FORMULAS])
def test_a_formula_is_an_op(name: str) -> None:
    expression, reference, bends = FORMULAS[name]
    op = from_sympy(expression)
    assert isinstance(op, Bracketed)
    assert op.curvature.bends == bends
    check_op(op, (2, 3), reference=reference)


HALF_LINES: dict[str, tuple[sympy.Expr, tuple[float, float], Callable[[Tensor], Tensor]]] = {
    "log": (sympy.log(x), (0, math.inf), torch.log),
    "1 / x": (1 / x, (-math.inf, 0), torch.reciprocal),
    "sine": (sympy.sin(x), (-20, 20), torch.sin),
    "a bounded wave": (sympy.cos(x / 2) * x, (-20, 16), lambda t: (t / 2).cos() * t),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", HALF_LINES)
def test_a_formula_may_have_a_domain(name: str) -> None:
    expression, domain, reference = HALF_LINES[name]
    op = from_sympy(expression, domain=domain)
    low, high = domain
    check_op(op, (2, 3), reference=reference, within=(low + 1e-3, high - 1e-3))  # derivatives look to both sides
    edge = low if math.isfinite(low) else high
    across = Bounds(torch.tensor([[edge - 0.5]]).double(), torch.tensor([[edge + 0.5]]).double())
    band = op.image((across,))
    assert (band.lower.item(), band.upper.item()) == (-math.inf, math.inf)


def test_the_band_of_a_formula_is_that_of_the_op_written_by_hand() -> None:
    lower = torch.tensor([[-1e3, -3.0, -0.8, 0.1, 2.0, -30.0, 1.4, -1.5, -700.0]], dtype=torch.float64)
    upper = torch.tensor([[1e3, 4.0, -0.7, 0.1, 900.0, -20.0, 1.5, 1.5, 0.0]], dtype=torch.float64)
    box = Bounds(lower, upper)
    for name, other in (("GELU", ops.GELU()), ("SiLU", ops.SiLU()), ("hardswish", ops.HardSwish())):
        op = from_sympy(FORMULAS[name][0])
        for slope in (0.0, 0.3, 1.0, -0.05, 1.1):
            s = torch.full_like(lower, slope)
            mine, theirs = op.band((s,), (box,)), other.band((s,), (box,))
            torch.testing.assert_close(mine.lower, theirs.lower, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(mine.upper, theirs.upper, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("op", [
    ops.SiLU(), ops.GELU(), pytest.param(ops.GELUTanh(), marks=pytest.mark.slow),
], ids=repr)  # fmt: skip
def test_the_inflection_points_written_by_hand_are_those_of_the_formula(op: Bracketed) -> None:
    inner = sympy.sqrt(2 / sympy.pi) * (x + sympy.Rational("0.044715") * x**3)
    given = {"SiLU": FORMULAS["SiLU"][0], "GELU": FORMULAS["GELU"][0], "GELUTanh": x / (1 + sympy.exp(-2 * inner))}
    derived = from_sympy(given[type(op).__name__])
    assert isinstance(derived, Bracketed)
    assert derived.curvature.bends == op.curvature.bends
    assert derived.curvature.breaks == pytest.approx(op.curvature.breaks, rel=1e-15)


WAVE = x**2 / 10**5 + sympy.sin(2 * sympy.pi * 2001 * x + 1) / 1000  # convex, if one looks at points 1 / 2001 apart
BUMP = x**2 + sympy.exp(-(10**8) * (x - sympy.Rational(123457, 10**6)) ** 2) / 100
REFUSED: dict[str, tuple[object, dict[str, object], str]] = {
    "a sine": (sympy.sin(x), {}, r"cannot be shown where sin\(x\) is convex.*large \|x\|.*inflections.*domain"),
    "a pole": (1 / x, {}, r"it is 0 at x = 0\. Give domain"),
    "a logarithm": (sympy.log(x), {}, "it is 0 at x = 0"),
    "a root": (sympy.sqrt(x - 1), {}, "it is 0 at x = 1"),
    "a root of a negative number": (sympy.sqrt(-1 - x**2), {}, "is negative"),
    "a hidden jump": (sympy.atan(1 / x), {}, "it is 0 at x = 0"),
    "a jump": (sympy.Piecewise((x, x > 2), (x - 1, True)), {}, "not continuous at x = 2.0.*1.0.* left.*2.0.* right"),
    "a gap": (sympy.Piecewise((x, x > 0)), {}, "not defined between -oo and 0"),
    "steps": (sympy.floor(x), {}, "floor, which is not known; known are"),
    "gamma": (sympy.gamma(x), {}, "gamma, which is not known"),
    "a power of itself": (x**x, {"domain": (1, 2)}, "which is not known"),
    "two symbols": (x * sympy.Symbol("y"), {}, "2 symbols"),
    "a number": (sympy.Integer(3), {}, "0 symbols"),
    "a string": ("x**2", {}, "give a sympy expression"),
    "a domain the wrong way round": (x, {"domain": (1, 0)}, "in order"),
    "a missing inflection": (sympy.sin(x), {"inflections": [0], "domain": (-4, 4)}, r"x = -3\.14.* given \(0\); add"),
    "a rough inflection": (sympy.sin(x), {"inflections": [0, 3.14], "domain": (-1, 4)}, r"sign at x = 3\.14159"),
    "too few inflections for the line": (sympy.sin(x), {"inflections": [0]}, "cannot be shown"),
    "a wrong inflection": (x**3, {"inflections": [1]}, r"sign at x = 0, .* given \(1\)"),
    "a wave between points of a grid": (WAVE, {"inflections": [], "domain": (0, 0.01)}, "sign at x = 0.000170"),
    "a narrow bump": (BUMP, {"inflections": []}, r"sign at x = 0\.1233\d+, which .* \(none here\)"),
    "an imaginary number": (sympy.I * x, {}, r"I\*x has I, which is not a real number"),
    "an infinite number": (sympy.zoo * x, {}, "has zoo, which is not a real number"),
    "an inflection that is a word": (x**3, {"inflections": ["a"]}, "inflections has 'a'; give real numbers"),
    "an inflection that is no number": (x**3, {"inflections": [math.nan]}, "inflections has nan"),
    "an infinite inflection": (x**3, {"inflections": [math.inf]}, "inflections has oo; give finite"),
    "a domain with one end": (x**2, {"domain": (1,)}, r"domain is \(1,\); give two numbers"),
    "a domain of words": (x**2, {"domain": ("0", "1")}, "domain has '0'; give real numbers"),
    "a point apart": (sympy.Piecewise((5, sympy.Eq(x, 0)), (x, True)), {}, "x = 0.* 0 beside it and 5.0* at the point"),
    "a condition that sympy cannot solve": (sympy.Max(x, sympy.exp(x) - 2), {}, "cannot solve the conditions.*Give"),
}  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_derived_is_refused(name: str) -> None:
    expression, options, message = REFUSED[name]
    make: Callable[..., Op] = from_sympy
    with pytest.raises(ValueError, match=message):
        make(expression, **options)


def test_inflections_that_are_given_are_used() -> None:
    places = [k * sympy.pi for k in range(-5, 6)]
    given = from_sympy(sympy.sin(x), inflections=places, domain=(-17, 17))
    assert isinstance(given, Bracketed)
    assert given.curvature.breaks == tuple(float(p) for p in places)
    assert given.curvature.bends == (-1, 1) * 6
    check_op(given, (3,), reference=torch.sin, within=(-16.9, 16.9))


@pytest.mark.parametrize(("expression", "options", "breaks"), [
    (x**3 / 6 + sympy.sin(x), {"inflections": [0]}, (0.0,)),  # f'' = x - sin(x) has a threefold root
    (sympy.sin(x), {"inflections": [900 * sympy.pi], "domain": (2825, 2830)}, (2827.4333882308138,)),
    (sympy.sin(x), {"inflections": [2827.4333882], "domain": (2825, 2830)}, (2827.4333882308138,)),  # rounded
    (x**3, {"inflections": [0, 50]}, (0.0,)),
    (sympy.cosh(x) - sympy.sin(x), {"domain": (50, 100)}, ()),
    (sympy.Piecewise((1, sympy.Eq(x, 0)), (sympy.exp(x), True)), {}, (0.0,)),
])  # fmt: skip
def test_inflections_are_shown_whoever_gives_them(
    expression: sympy.Expr, options: dict[str, object], breaks: tuple[float, ...]
) -> None:
    make: Callable[..., Op] = from_sympy
    op = make(expression, **options)
    assert isinstance(op, Bracketed)
    assert op.curvature.breaks == breaks
    again = eval(repr(op), {"from_sympy": from_sympy, "sympy": sympy, "inf": math.inf})
    assert again.curvature.breaks == breaks


y = sympy.Symbol("y", real=True)


@pytest.mark.parametrize(("h", "roots", "found"), [
    (y**3 - 2 * y, [-math.sqrt(2), 0, math.sqrt(2)], (-1, 1, -1, 1)),
    ((y - 1) ** 2 * (y + 3), [-3], (-1, 1)),
    (sympy.exp(2 * y) - 3 * sympy.exp(y) + 2, [0, math.log(2)], (1, -1, 1)),
    (sympy.exp(y) - 2 - y, [-1.8414056604369606, 1.1461932206205825], (1, -1, 1)),
    (sympy.cos(y) + y / 2 + 3, [-7.2064457905145165], (-1, 1)),
    (y * sympy.exp(-y) - sympy.Rational(1, 10), [0.11183255915896297, 3.5771520639572972], (-1, 1, -1)),
    (sympy.exp(-(y**2)), [], (1,)), (1 - sympy.tanh(y), [], (1,)),
])  # fmt: skip
def test_signs_are_found_and_roots_isolated(h: sympy.Expr, roots: list[float], found: tuple[int, ...]) -> None:
    shown = signs(h.rewrite(sympy.exp) if h.has(sympy.tanh) else h, y, -oo, oo)
    assert shown.signs == found
    assert [float(r) for r in shown.roots] == pytest.approx(roots, abs=1e-14)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("h", [sympy.sin(y), sympy.sin(1 / y), 1 / (sympy.exp(y) - 2)])
def test_a_sign_that_is_not_shown_is_not_told(h: sympy.Expr) -> None:
    with pytest.raises(Unproved):
        signs(h, y, sympy.Rational(-1, 3) if h.has(1 / y) else -oo, oo)


def softplus(rng: Random, shape: Shape) -> Op | None:
    """By its formula."""
    return from_sympy(FORMULAS["softplus"][0])


def with_formulas(domain: AnyDomain, rng: Random) -> Example:
    """Graphs of formulas and affine ops."""
    from absdomain.laws.drawing import add, conv2d, dense

    def wave(rng: Random, shape: Shape) -> Op | None:
        return OPS[rng.choice(("mish", "spline", "quick GELU"))]

    return example(rng, makers=(dense, dense, conv2d, add, wave, wave), first=wave)


OPS = {name: from_sympy(FORMULAS[name][0]) for name in ("mish", "spline", "quick GELU")}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("domain", [Box(), DeepPoly(), Box() & DeepPoly()], ids=str)
def test_domains_are_sound_on_graphs_of_formulas(domain: AnyDomain) -> None:
    laws = [DomainLaw(law.check, with_formulas) for law in (domains.LAWS[0], domains.LAWS[1])]
    check_domain(domain, examples=6, laws=laws)


def test_a_formula_has_a_repr_and_lives_in_a_frozen_graph() -> None:
    op = from_sympy(FORMULAS["mish"][0])
    assert repr(op) == "from_sympy(sympy.sympify('x*tanh(log(exp(x) + 1))'))"
    again = eval(repr(op), {"from_sympy": from_sympy, "sympy": sympy})
    weights = torch.randn(2, 3, dtype=torch.float64)
    graph = Graph.of([Node("x", None, (), (3,))]).then(op, "mish").then(Dense(weights), "head")
    points = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(freeze(graph)(points), F.linear(F.mish(points), weights))
    torch.testing.assert_close(again(points), F.mish(points))
    trace = DeepPoly().propagate(freeze(graph), Linf(points, 0.1))
    assert (trace.lower <= graph(points)).all() and (graph(points) <= trace.upper).all()


def test_sympy_is_loaded_for_a_formula_only() -> None:
    code = "import sys, absdomain, absdomain.ops, absdomain.domains; assert 'absdomain.ops.formula' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_formula_does_not_overflow_where_its_value_does_not() -> None:
    far = torch.tensor([[-1e4, 1e4]], dtype=torch.float64)
    for name in ("softplus", "mish", "quick GELU", "SiLU"):
        op = from_sympy(FORMULAS[name][0])
        assert isinstance(op, Bracketed)
        torch.testing.assert_close(op(far), torch.tensor([[0.0, 1e4]], dtype=torch.float64))
        torch.testing.assert_close(op.derivative(far), torch.tensor([[0.0, 1.0]], dtype=torch.float64))
