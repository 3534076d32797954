"""The boxes, slopes and formulas at which each smooth operation's band is held against the true extrema."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import inf
from typing import Any

import sympy
import torch
from torch import Tensor

from absdomain.linear import Bounds
from absdomain.ops import ELU, GELU, Cos, Exp, GELUTanh, HardSwish, Log, Pow, Sigmoid, SiLU, Sin, Softplus, Tanh
from absdomain.ops.formula import from_sympy
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import Check
from absdomain.proofs.lemmas.enclosures import Pieces, X, rates, tight

BOXES = ((-2.0, 3.0), (-4.0, -1.0), (0.5, 4.0), (1.0, 1.0))
RIGHT = ((0.5, 3.0), (1.0, 1.0), (2.0, 7.0))  # boxes of positive numbers
WIDE = (*BOXES, (-9.0, 15.0), (20.0, 21.0))
WAVES = (*WIDE, (10.0, 17.0), (-17.0, -10.0), (0.0, 11.0), (5.0, 9.0), (3.0, 16.0), (-16.0, 5.0), (4.0, 12.0))
SLOPES = (0.0, 0.125, 0.75, -0.5, -1.5, 1.5)
POINTS = (-2.0, 0.25, 2.0)
POWERS = (2.0, 3.0, 5.0, -1.0, -2.0, 0.5)


def whole(e: Any) -> Pieces:
    """One expression on the whole line."""
    return ((-inf, inf, e),)


def floored(e: Any, floor: float) -> Pieces:
    """e(max(x, floor))."""
    return ((-inf, floor, e.subs(X, sympy.Rational(floor))), (floor, inf, e))


def ceiled(e: Any, ceiling: float) -> Pieces:
    """e(min(x, ceiling))."""
    return ((-inf, ceiling, e), (ceiling, inf, e.subs(X, sympy.Rational(ceiling))))


def elu(alpha: Any, scale: Any) -> Pieces:
    """scale alpha (exp(x) - 1) below 0, scale x above."""
    return ((-inf, 0.0, scale * alpha * (sympy.exp(X) - 1)), (0.0, inf, scale * X))


def softplus(beta: Any, edge: float) -> Pieces:
    """log(1 + exp(beta x)) / beta up to the edge, x beyond."""
    return ((-inf, edge, sympy.log(1 + sympy.exp(beta * X)) / beta), (edge, inf, X))


def power(exponent: float) -> tuple[Check, ...]:
    """The band of a power over boxes of both signs; infinite where the box leaves the domain, a pole among it."""
    e = X ** sympy.Rational(Fraction(exponent).numerator, Fraction(exponent).denominator)
    op, on_both = Pow(exponent), exponent == int(exponent)
    boxes = RIGHT if exponent < 0 or not on_both else BOXES
    left = ((-3.0, -0.5), (-1.0, -1.0)) if on_both else ()
    found = (tight(op, whole(e), (*boxes, *left), SLOPES), rates(op, whole(e), (0.5, 2.0, *(p for p, _ in left))))
    return (*found, tight(op, (), ((-1.0, 2.0), (-1.0, 0.5)), SLOPES)) if exponent < 0 or not on_both else found


def far_out(op: Sin | Cos) -> Check:
    """Where a float's spacing is a good part of a period, the band is that of -1 <= f <= 1."""

    def check(world: World) -> None:
        for low, high in ((1e9, 1e9 + 8), (-1e9 - 8, -1e9), (-1e9, 1.0), (1.0, 1e9)):
            for slope in (0.0, 0.5, -2.0):
                box = Bounds(*(torch.tensor([[end]], dtype=torch.float64) for end in (low, high)))
                found = op.band((torch.full_like(box.lower, slope),), (box,))
                ends = slope * low, slope * high
                world.check(float(found.lower) == -1 - max(ends), f"{op} over [{low}, {high}], lower end")
                world.check(float(found.upper) == 1 - min(ends), f"{op} over [{low}, {high}], upper end")

    return check


class Minus(Exp):
    """-exp(x), which falls."""

    increasing = False

    def __call__(self, *xs: Tensor) -> Tensor:
        return -super().__call__(*xs)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return super().critical(-slope, box)


def overflows(world: World) -> None:
    """Where f is larger than every float, a bound below it is the largest float, beside a line too; never inf."""
    low, high = (torch.full((1, 1), end, dtype=torch.float64) for end in (800.0, 900.0))
    most, op, box = torch.finfo(torch.float64).max, Exp(), Bounds(low, high)
    for slope, lower in ((0.0, most), (1.0, most), (-1.0, most)):
        for name, band in (("exp", op.band((torch.full_like(low, slope),), (box,))), ("-exp", _mirrored(slope, box))):
            world.check(float(band.lower) == lower, f"{name} at slope {slope}: the lower end is {band.lower}")
            world.check(float(band.upper) == inf, f"{name} at slope {slope}: the upper end is {band.upper}")
    for image, ends in ((op.image((box,)), (most, inf)), (Minus().image((box,)), (-inf, -most))):
        world.check((float(image.lower), float(image.upper)) == ends, f"the image of exp or -exp is {image}")


def _mirrored(slope: float, box: Bounds) -> Bounds:
    """The band of -exp, turned over."""
    band = Minus().band((torch.full_like(box.lower, -slope),), (box,))
    return Bounds(-band.upper, -band.lower)


def edges(world: World) -> None:
    """The two sides of softplus' threshold are told apart by more than a rounding of beta x, and by little more."""
    slope = torch.zeros(1, 1, dtype=torch.float64)
    _, below, above = (float(p) for p in Softplus(2.0, 3.0).critical(slope, Bounds(slope, slope)))
    unit = 1.5 * 2.0**-52
    world.check(2 * unit <= 1.5 - below <= 8 * unit, f"the last point below 1.5 is {below!r}")
    world.check(2 * unit <= above - 1.5 <= 8 * unit, f"the first point above 1.5 is {above!r}")


_x = sympy.Symbol("x", real=True)
BENT = from_sympy(sympy.Max(_x, _x**2))
BENT_PIECES = ((-inf, 0.0, X**2), (0.0, 1.0, X), (1.0, inf, X**2))
WALL = from_sympy(1 / (1 - _x), domain=(-inf, 1.0))
BOWL = from_sympy(_x**2, domain=(0.25, 8.0))
SIGMOID = whole(1 / (1 + sympy.exp(-X)))
SILU = whole(X / (1 + sympy.exp(-X)))
NORMAL = whole(X * (1 + sympy.erf(X / sympy.sqrt(2))) / 2)
TANH = whole(X * (1 + sympy.tanh(sympy.sqrt(2 / sympy.pi) * (X + sympy.Rational(44715, 10**6) * X**3))) / 2)
SWISH = ((-inf, -3.0, sympy.Integer(0)), (-3.0, 3.0, X * (X + 3) / 6), (3.0, inf, X))
LOG, HALF = sympy.log(X), sympy.Rational(1, 2)


def made(world: World) -> None:
    """A formula of three branches, and one that is meant for a part of the line, as they are made."""
    tight(from_sympy(sympy.Max(_x, _x**2)), BENT_PIECES, BOXES, SLOPES)(world)
    tight(from_sympy(_x**2, domain=(0.25, 8.0)), whole(X**2), RIGHT, SLOPES)(world)
    kept = from_sympy(_x**3, inflections=(0,)).inflections
    world.check(kept == (0,), f"inflections that are given are kept, to make the op again: {kept}")


EXTREMA: Mapping[str, tuple[Check, ...]] = {
    "smooth": (
        overflows, tight(Exp(), whole(sympy.exp(X)), BOXES, SLOPES), tight(Log(), whole(LOG), RIGHT, SLOPES),
        tight(Log(), (), ((-1.0, 2.0), (0.0, 2.0)), SLOPES), tight(BOWL, whole(X**2), RIGHT, SLOPES),
        tight(BOWL, (), ((-1.0, 2.0), (5.0, 9.0)), SLOPES), tight(Pow(3.0), whole(X**3), BOXES, SLOPES),
        tight(Pow(2.0), whole(X**2), BOXES, SLOPES), tight(WALL, (), ((0.0, 2.0), (1.5, 2.0)), SLOPES),
        tight(WALL, ((-inf, 1.0, 1 / (1 - X)),), ((-2.0, 0.5),), SLOPES),
    ),
    "sigmoid": (tight(Sigmoid(), SIGMOID, BOXES, (*SLOPES, -0.0)),),
    "tanh": (tight(Tanh(), whole(sympy.tanh(X)), BOXES, (*SLOPES, -0.0)),),
    "exp": (
        tight(Exp(), whole(sympy.exp(X)), BOXES, SLOPES), tight(Exp(0.75), ceiled(sympy.exp(X), 0.75), BOXES, SLOPES),
        rates(Exp(0.75), ceiled(sympy.exp(X), 0.75), (-1.0, 0.5, 2.0)),
    ),
    "log": (
        tight(Log(), whole(LOG), RIGHT, SLOPES), tight(Log(), (), ((-1.0, 2.0), (-2.0, -1.0)), SLOPES),
        rates(Log(), whole(LOG), (0.5, 2.0)), tight(Log(0.75), floored(LOG, 0.75), (*BOXES, *RIGHT), SLOPES),
        rates(Log(0.75), floored(LOG, 0.75), (-1.0, 0.5, 2.0)),
    ),
    "softplus": (
        edges, tight(Softplus(), softplus(1, 20.0), BOXES, SLOPES), rates(Softplus(2.0, 3.0), softplus(2, 1.5), POINTS),
        tight(Softplus(2.0, 3.0), softplus(2, 1.5), (*BOXES, (1.25, 1.75)), SLOPES),
        tight(Softplus(1.0, 1000.0), softplus(1, 1000.0), ((710.0, 720.0),), SLOPES),
    ),
    "elu": (
        tight(ELU(0.5, 2.0), elu(HALF, 2), BOXES, SLOPES), rates(ELU(0.5, 2.0), elu(HALF, 2), POINTS),
        tight(ELU(3.0), elu(3, 1), (*BOXES, (-0.25, 0.5)), SLOPES),
    ),
    "pow": (
        *(check for exponent in POWERS for check in power(exponent)),
        tight(Pow(-1.0, 0.75), floored(1 / X, 0.75), (*BOXES, *RIGHT), SLOPES),
        rates(Pow(-1.0, 0.75), floored(1 / X, 0.75), (-1.0, 0.5, 2.0)),
    ),
    "sin": (tight(Sin(), whole(sympy.sin(X)), WAVES, SLOPES), far_out(Sin())),
    "cos": (tight(Cos(), whole(sympy.cos(X)), WAVES, SLOPES), far_out(Cos())),
    "formula": (made, rates(BENT, BENT_PIECES, POINTS)),
    "silu": (tight(SiLU(), SILU, WIDE, SLOPES),),
    "gelu": (tight(GELU(), NORMAL, WIDE, SLOPES),),
    "gelu_tanh": (tight(GELUTanh(), TANH, BOXES, SLOPES),),
    "hard_swish": (tight(HardSwish(), SWISH, WIDE, SLOPES), rates(HardSwish(), SWISH, (-4.0, -1.0, 2.0, 5.0))),
    "tangents": (
        tight(SiLU(), SILU, WIDE, SLOPES), tight(BENT, BENT_PIECES, BOXES, SLOPES),
        tight(BOWL, whole(X**2), RIGHT, SLOPES),
    ),
}  # fmt: skip
