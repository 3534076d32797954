"""What can go wrong in an op's polyhedral form, in rows on windows, and in the ops of two arguments."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from absdomain.kinds import Curvature, Diagonal, Elementwise, Joint, Line, Piece, PiecewiseLinear
from absdomain.linear import Bounds, Rows
from absdomain.linear.patches import Columns, Frame
from absdomain.ops import GELU, Abs, Conv, HardTanh, Max, Pow, Product, Reciprocal, ReLU, Sigmoid, Sin, Sqrt
from tests.laws.mutant import Mutant, normal, op

CONV = Conv(normal(2, 2, 3, 3), normal(2), (1, 1), (1, 1))


def without_intercepts(shipped: Any) -> Any:
    def pieces(self: PiecewiseLinear, boxes: tuple[Bounds, ...]) -> tuple[Piece, ...]:
        return tuple(Piece(Line(p.line.slopes, 0 * p.line.intercept), p.domain) for p in shipped(self, boxes))

    return pieces


def three_corners(shipped: Any) -> Any:
    return lambda self, slopes, boxes: shipped(self, slopes, boxes)[:3]


def first_sample_only(shipped: Any) -> Any:
    return lambda self, t: t[:1] if len(t) > 1 else t


def ends_alone(shipped: Any) -> Any:
    return lambda self, slope, box: (box.lower, box.upper)


def ends_finite(shipped: Any) -> Any:
    return lambda self, box: self(box.lower).isfinite() & self(box.upper).isfinite()


def one_side(shipped: Any) -> Any:
    def critical(self: Elementwise, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return tuple(shipped(self, slope, box))[:1]

    return critical


MUTANTS = [
    Mutant("pieces: lines through the origin", PiecewiseLinear, "pieces", without_intercepts, op(HardTanh(), (3,))),
    Mutant("pieces: the last is left out", PiecewiseLinear, "pieces", lambda f: lambda self, boxes: f(self, boxes)[:-1],
           op(Abs(), (3,))),
    Mutant("max: the chord is the only facet", Max, "facets", lambda f: lambda self, boxes: (self.chord(boxes),),
           op(Max(-1), (2, 3))),
    Mutant("rows: the maximum is the minimum", Rows, "maximum", lambda f: lambda self, box: self.minimum(box),
           op(ReLU(), (3,))),
    Mutant("rows: a sum keeps the first", Rows, "__add__", lambda f: lambda self, other: self, op(ReLU(), (3,))),
    Mutant("elementwise: the adjoint's sign", Diagonal, "adjoint",
           lambda f: lambda self, rows, *shapes: f(self, rows.negated(), *shapes), op(ReLU(), (3,))),
    Mutant("windows: cleaning skipped", Rows, "cleaned", lambda f: lambda self: self, op(CONV, (2, 7, 7))),
    *[Mutant(f"windows: cleaning skipped, small plane {seed}", Rows, "cleaned", lambda f: lambda self: self,
             op(CONV, (2, 5, 5), seed=seed)) for seed in range(4)],
    Mutant("windows: the padding is forgotten", Frame, "before",
           lambda f: lambda self, stride, padding: f(self, stride, (0,) * len(padding)), op(CONV, (2, 7, 7))),
    Mutant("windows: of the first sample", Columns, "own", first_sample_only, op(ReLU(), (2, 4, 4))),
    Mutant("product: three corners", Product, "_corners", three_corners, op(Product(), (3,), (3,))),
    Mutant("product: the transpose's arguments swapped", Joint, "transpose",
           lambda f: lambda self, w, y, *shapes: f(self, w, y, *shapes)[::-1], op(Product(), (3,), (3,))),
    Mutant("product: the modulus keeps the signs", Joint, "modulus", lambda f: lambda self, *rs: self(*rs),
           op(Product(), (3,), (3,))),
    Mutant("sigmoid: no stationary point", Sigmoid, "critical", ends_alone, op(Sigmoid(), (3,))),
    Mutant("gelu: one stationary point", GELU, "critical", one_side, op(GELU(), (3,))),
    Mutant("gelu: inflection points in the wrong place", GELU, "curvature",
           lambda f: Curvature((-0.5, 0.5), f.bends), op(GELU(), (3,))),
    Mutant("sine: no stationary point", Sin, "critical", ends_alone, op(Sin(), (3,))),
    Mutant("power: a pole counts as defined", Pow, "defined", ends_finite, op(Reciprocal(), (3,))),
    Mutant("square root: its domain has no end", Pow, "curvature",
           lambda f: property(lambda self: Curvature(bends=(-1,))), op(Sqrt(), (3,))),
    Mutant("power: no stationary point", Pow, "critical", ends_alone, op(Pow(3.0), (3,))),
]  # fmt: skip
