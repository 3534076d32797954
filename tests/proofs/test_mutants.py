"""Changing a shipped function fails its lemma."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch

from absdomain.branching import target
from absdomain.domain import Domain, Guided, Meet, Mix
from absdomain.domains import zonotope
from absdomain.domains.box import Box
from absdomain.domains.dual import Dual
from absdomain.domains.symbolic_gap import Gap, SymbolicGap
from absdomain.graph import Graph
from absdomain.kinds import Affine, Elementwise, Line, Nonlinear, Piece, PiecewiseLinear, Smooth, stationary
from absdomain.linear import Bounds, Ends, Rows
from absdomain.ops import (  # fmt: skip
    ELU,
    GELU,
    Abs,
    Add,
    Cos,
    Dense,
    Exp,
    Gather,
    GELUTanh,
    HardSwish,
    LeakyReLU,
    Log,
    LogSoftmax,
    MatMul,
    Max,
    Pow,
    PReLU,
    Product,
    ReLU,
    Sigmoid,
    Sign,
    SiLU,
    Sin,
    Softplus,
    Tanh,
)
from absdomain.ops.formula import Formula
from absdomain.ops.inverse import Acosh, Asin, Logit, Tan
from absdomain.ops.rounded import Rounded
from absdomain.proofs.kernel.world import Unproved, explore
from absdomain.proofs.lemma import Lemma, lemmas
from absdomain.reference import MatchedSpace
from absdomain.region import L1, L2, Interval
from absdomain.relations import ascent, backward
from absdomain.trainers import directions, losses
from absdomain_check.ball import Ball

Patch = Callable[[Any], Any]  # the shipped function -> the mutant


@dataclass(frozen=True)
class Mutant:
    """A shipped function with one mistake, and the lemma that must fail."""

    mistake: str
    lemma: str
    owner: Any
    attribute: str
    patch: Patch


def negated(shipped: Any) -> Any:
    return lambda *args: -shipped(*args)


def ends_only(shipped: Any) -> Any:
    return lambda self, slope, box: ()


def without_the_clamp(shipped: Any) -> Any:
    return lambda self, below, above, boxes: (Line(below, None), shipped(self, below, above, boxes)[1])


def upper_line_through_the_origin(shipped: Any) -> Any:
    def lines(self: ReLU, below: Any, above: Any, boxes: Any) -> tuple[Line, Line]:
        low, high = shipped(self, below, above, boxes)
        return low, Line(high.slopes, torch.zeros_like(high.slopes[0]))

    return lines


def slope_one_below(shipped: Any) -> Any:
    def lines(self: ReLU, below: Any, above: Any, boxes: Any) -> tuple[Line, Line]:
        return shipped(self, (torch.ones_like(below[0]),), above, boxes)

    return lines


def without_intercepts(shipped: Any) -> Any:
    def pieces(self: PiecewiseLinear, boxes: tuple[Bounds, ...]) -> tuple[Piece, ...]:
        return tuple(Piece(Line(p.line.slopes, p.line.intercept + 1), p.domain) for p in shipped(self, boxes))

    return pieces


def sup_of_the_leader(shipped: Any) -> Any:
    def sup(self: Max, given: Any, boxes: tuple[Bounds, ...]) -> Any:
        (a,), (box,) = given, boxes
        return torch.maximum((1 - a) * box.lower, (1 - a) * box.upper).amax(self.axis)

    return sup


def inf_at_the_floor(shipped: Any) -> Any:
    def inf(self: Max, given: Any, boxes: tuple[Bounds, ...]) -> Any:
        (box,) = boxes
        return shipped(self, given, (Bounds(box.lower, box.lower),))

    return inf


def lines_swapped(shipped: Any) -> Any:
    return lambda self, rows, below, above: shipped(self, rows, above, below)


def centre_alone(shipped: Any) -> Any:
    def image(op: Affine, *boxes: Bounds) -> Bounds:
        found = shipped(op, *boxes)
        return Bounds(found.centre, found.centre)

    return image


def scaled(factor: float) -> Patch:
    return lambda shipped: lambda *args, **named: factor * shipped(*args, **named)


def first_part(shipped: Any) -> Any:
    return lambda self, e, where=None, ends=Ends.BOTH: Bounds(
        self.parts[0].bounds(e[0], where).upper, shipped(self, e, where).upper
    )


def halved(shipped: Any) -> Any:
    return lambda self, op, args, asked=None: tuple(Bounds(b.centre, b.upper) for b in shipped(self, op, args, asked))


def extrapolated(shipped: Any) -> Any:
    return lambda self, ends: (1 + self.weight) * ends[0] - self.weight * ends[1] if len(ends) == 2 else ends[0]


def no_constant(shipped: Any) -> Any:
    return lambda self, rows, *shapes: (shipped(self, rows, *shapes)[0], None)


def arguments_reversed(shipped: Any) -> Any:
    return lambda self, op, *args: shipped(self, op, *args[::-1])


def first_value_twice(shipped: Any) -> Any:
    def value(self: Graph, x: Any) -> Any:
        values = [x]
        for step in self.schedule:
            values.append(step.op(*(values[step.args[0]] for _ in step.args)))
        return values[-1]

    return value


def nominal_of_the_radius(shipped: Any) -> Any:
    return lambda self, op, *args: Gap(op(*(e.v for e in args)), shipped(self, op, *args).v)


def conjugate_forgotten(shipped: Any) -> Any:
    def relax(self: Dual, op: Nonlinear, args: Any, boxes: Any) -> Any:
        layer = shipped(self, op, args, boxes)
        old = layer.dual.pull
        return type(layer)(backward.relaxed(layer.dual.args, layer.dual.shape, lambda rows: (old(rows)[0], None)), None)

    return relax


def fan_out_overwritten(shipped: Any) -> Any:
    return lambda self, other: other


def fresh_symbols_dropped(shipped: Any) -> Any:
    return lambda e, radius, rounding, symbols: e


def swapped(shipped: Any) -> Any:
    return lambda *args, **named: shipped(*args, **named)[::-1]


def another_break(shipped: Any) -> Any:
    return replace(shipped, breaks=tuple(1.1 * place for place in shipped.breaks))


def always(value: Any) -> Patch:
    return lambda shipped: value


def overflowing(f: Any) -> Any:
    """The least of the values, infinite ones among them."""
    return lambda self, points, slope, side: reduce(torch.minimum, [side * (self(p) - slope * p) for p in points])


MUTANTS = (
    Mutant("half of the errors", "ball", Ball, "errors", lambda shipped: lambda *args: shipped(*args) / 2),
    Mutant("the rounding of a sum is forgotten", "ball", Ball, "total",
           always(lambda self, parts, box: (sum(parts[1:], parts[0]), np.zeros((1, 1))))),
    Mutant("no kink", "relu", ReLU, "kinks", always(())),
    Mutant("the lower slope is trusted", "relu", ReLU, "lines", without_the_clamp),
    Mutant("no intercept", "relu", ReLU, "lines", upper_line_through_the_origin),
    Mutant("relu upside down", "relu", ReLU, "__call__", negated),
    Mutant("settled always", "relu", Nonlinear, "settled",
           always(lambda self, boxes: (torch.ones(1, 1, dtype=torch.bool),))),
    Mutant("no kink", "leaky_relu", LeakyReLU, "kinks", always(())),
    Mutant("the slope is forgotten", "leaky_relu", PiecewiseLinear, "critical", ends_only),
    Mutant("no fold", "abs", Abs, "kinks", always(())),
    Mutant("no critical points", "clamp", PiecewiseLinear, "critical", ends_only),
    Mutant("sup drops a term", "max", Max, "sup", sup_of_the_leader),
    Mutant("inf at the lower ends", "max", Max, "inf", inf_at_the_floor),
    Mutant("two corners", "product", Product, "_corners",
           lambda f: lambda self, given, boxes: f(self, given, boxes)[::3]),
    Mutant("inf is the largest", "elementwise", Elementwise, "inf",
           always(lambda self, given, boxes: torch.stack(self._gaps(given[0], boxes[0])).amax(0))),
    Mutant("the tangents are not lowered", "tangents", stationary, "least",
           always(lambda f, d, s, low, high, bend: bend * (f(low + stationary.bracket(d, s, low, high, bend)[0]
                                                              * (high - low)) - s * low))),
    Mutant("half of the solution", "sigmoid", Sigmoid, "critical",
           lambda f: lambda self, s, box: tuple(x / 2 for x in f(self, s, box))),
    Mutant("another derivative", "tanh", Tanh, "derivative", scaled(2)),
    Mutant("the solution for 2 s", "exp", Exp, "critical", lambda f: lambda self, s, box: f(self, 2 * s, box)),
    Mutant("another derivative", "log", Log, "derivative", scaled(2)),
    Mutant("another derivative", "softplus", Softplus, "derivative", scaled(2)),
    Mutant("another derivative", "elu", ELU, "derivative", scaled(2)),
    Mutant("the solution for 2 s", "pow", Pow, "critical", lambda f: lambda self, s, box: f(self, 2 * s, box)),
    Mutant("the other wave", "sin", Sin, "stationary", always(lambda self, s: Cos().stationary(s))),
    Mutant("the other wave", "cos", Cos, "stationary", always(lambda self, s: Sin().stationary(s))),
    Mutant("another derivative", "silu", SiLU, "derivative", scaled(2)),
    Mutant("another break", "silu", SiLU, "curvature", another_break),
    Mutant("another derivative", "gelu", GELU, "derivative", scaled(2)),
    Mutant("another break", "gelu_tanh", GELUTanh, "curvature", another_break),
    Mutant("another derivative", "formula", Formula, "derivative", scaled(2)),
    Mutant("another vertex", "hard_swish", HardSwish, "critical",
           lambda f: lambda self, s, box: f(self, s + 1, box)),
    Mutant("half of the modulus", "affine", Affine, "modulus", scaled(0.5)),
    Mutant("the hull is its centre", "affine", Affine, "image", centre_alone),
    Mutant("the modulus keeps signs", "affine", Affine, "magnitude", lambda f: property(lambda self: self.weight)),
    Mutant("the constant is forgotten", "affine", Affine, "pull", no_constant),
    Mutant("dense transposed with a sign", "affine", Dense, "linear", negated),
    Mutant("add pulls the first argument alone", "affine", Add, "adjoint",
           lambda f: lambda self, rows, *shapes: (rows, *[Rows.of(0 * rows.data)] * (len(shapes) - 1))),
    Mutant("gather pulls twice as much", "affine", Gather, "transpose",
           lambda f: lambda self, w, y, *shapes: tuple(2 * part for part in f(self, w, y, *shapes))),
    Mutant("batch norm without eps", "fusion", Dense, "scaled",
           lambda f: lambda self, w, b: Dense(w.reshape(-1, 1) * self.weight, b.expand(2))),
    Mutant("half of the dual norm", "regions", L1, "dual_norm",
           lambda f: staticmethod(lambda c: f(c) / 2)),
    Mutant("half of the dual norm", "regions", L2, "dual_norm",
           lambda f: staticmethod(lambda c: f(c) / 2)),
    Mutant("the image is a point", "box", Box, "relax",
           lambda f: lambda self, op, args, within: Bounds(*(2 * [f(self, op, args, within).lower]))),
    Mutant("fan-outs overwrite", "back-substitution", Rows, "__add__", fan_out_overwritten),
    Mutant("lines swapped by sign", "deeppoly", Nonlinear, "split", lines_swapped),
    Mutant("lines swapped by sign", "deeppoly", Elementwise, "split", lines_swapped),
    Mutant("the conjugate is forgotten", "dual", Dual, "relax", conjugate_forgotten),
    Mutant("the upper end for the lower", "meet", Meet, "bounds", first_part),
    Mutant("half of the box", "guided", Guided, "boxes", halved),
    Mutant("extrapolated", "mix", Mix, "_mixed", extrapolated),
    Mutant("no fresh symbol", "zonotope", zonotope, "_with_fresh", fresh_symbols_dropped),
    Mutant("arguments reversed", "composition", Domain, "transfer", arguments_reversed),
    Mutant("the first argument twice", "composition", Graph, "__call__", first_value_twice),
    Mutant("the bias is forgotten", "elision", Dense, "followed_by",
           always(lambda self, C, d: Dense(C @ self.weight, d))),
    Mutant("the loss at m instead of -m", "robust_cross_entropy", losses, "robust_cross_entropy",
           lambda f: lambda lower: f(-lower)),
    Mutant("slope 1 below", "zero_slope", ReLU, "lines", slope_one_below),
    Mutant("no intercept", "parallel_is_dual", ReLU, "lines", upper_line_through_the_origin),
    Mutant("alpha unclamped and doubled", "alpha_is_dual_feasible", ReLU, "lines", upper_line_through_the_origin),
    Mutant("facets' bands too narrow", "lp", Elementwise, "sup", scaled(0.5)),
    Mutant("pieces without intercepts", "exact", PiecewiseLinear, "pieces", without_intercepts),
    Mutant("the conjugate is forgotten", "worked_bounds", Dual, "relax", conjugate_forgotten),
    Mutant("a point outside the ball", "robustra", Interval, "argmin", scaled(2)),
    Mutant("the half-space forgotten", "robustra", MatchedSpace, "multipliers", scaled(0)),
    Mutant("z and v exchanged", "symbolic_gap", SymbolicGap, "affine", nominal_of_the_radius),
    Mutant("the weights exchanged", "advibp", directions, "weights", swapped),
    Mutant("the log of the sum forgotten", "log_softmax", LogSoftmax, "__call__",
           lambda f: lambda self, a, x: 2 * f(self, a, x)),
    Mutant("half of the derivative", "slope_range", Sigmoid, "derivative", scaled(0.5)),
    Mutant("an overflow is a bound", "smooth", Smooth, "_least_of", overflowing),
    Mutant("windows that are not cleaned", "windows", Rows, "cleaned", always(lambda self: self)),
    Mutant("more rows than those of the property", "branching", target, "_sets",
           lambda f: lambda groups: (2 * f(groups)[0], f(groups)[1])),
    Mutant("another lower end", "matmul", MatMul, "inf", lambda f: lambda self, s, boxes: f(self, s, boxes) / 2 + 1),
    Mutant("the mirrored function", "prelu", PReLU, "__call__", lambda f: lambda self, x: f(self, -x)),
    Mutant("half the derivative", "asin", Asin, "derivative", scaled(0.5)),
    Mutant("half the derivative", "acosh", Acosh, "derivative", scaled(0.5)),
    Mutant("half the derivative", "logit", Logit, "derivative", scaled(0.5)),
    Mutant("half the derivative", "tan", Tan, "derivative", scaled(0.5)),
    Mutant("upwards alone", "rounded", Rounded, "inf", lambda f: lambda self, *args: f(self, *args) + self.radius),
    Mutant("twice the sign", "steps", Sign, "__call__", lambda f: lambda self, x: 2 * f(self, x)),
    Mutant("the last slopes are kept, not the best", "ascent", ascent, "_better",
           always(lambda highest, bound, best, moved: (bound, moved))),
)  # fmt: skip


SLOW = {  # a failing search tries every case
    "max: sup drops a term",
    "robustra: a point outside the ball",
    "robustra: the half-space forgotten",
    "gelu_tanh: another break",
}


def cases() -> list[Any]:
    names = [f"{m.lemma}: {m.mistake}" for m in MUTANTS]
    marks = [[pytest.mark.slow] if name in SLOW else [] for name in names]
    return [pytest.param(m, id=name, marks=mark) for m, name, mark in zip(MUTANTS, names, marks, strict=True)]


@pytest.mark.sampled(5)
@pytest.mark.parametrize("mutant", cases())
def test_a_changed_function_fails_its_lemma(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = inspect.getattr_static(mutant.owner, mutant.attribute)
    plain = shipped.__func__ if isinstance(shipped, staticmethod) else shipped
    monkeypatch.setattr(mutant.owner, mutant.attribute, mutant.patch(plain))
    assert refuses(lemmas()[mutant.lemma]), f"{mutant.lemma} does not see it: {mutant.mistake}"


def refuses(lemma: Lemma) -> bool:
    """Whether a claim of the lemma is not shown; an error of another kind may be the patch's own."""
    for check in lemma.checks:
        try:
            explore(check)
        except Unproved:
            return True
        except Exception:
            continue
    return False


def test_every_lemma_is_tried_with_a_mutant() -> None:
    missing = set(lemmas()) - {mutant.lemma for mutant in MUTANTS}
    assert not missing, f"no mutant for {sorted(missing)}"
