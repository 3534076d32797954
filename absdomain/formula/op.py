"""An elementwise operation whose value, derivative, kinks and inflection points are derived from a formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import sympy
import torch
from torch import Tensor

from absdomain.formula.branches import Branch, branches
from absdomain.formula.functions import Curve, compiled
from absdomain.formula.given import ends, of_symbol, places
from absdomain.formula.signs import Signs, Unproved, signs
from absdomain.kinds import Bracketed

_NEAR = 1e-9  # relative: an inflection that is given may be rounded; the place itself is found


@dataclass(frozen=True, eq=False)
class Arc:
    """f on [low, high): a branch of the formula, as functions of torch."""

    low: float
    high: float
    value: Curve = field(repr=False)
    derivative: Curve = field(repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class Formula(Bracketed):
    """x -> expression(x), elementwise; made by `Elementwise.from_sympy`."""

    expression: sympy.Expr
    arcs: tuple[Arc, ...]
    breaks: tuple[float, ...]  # type: ignore[misc]
    bends: tuple[int, ...]  # type: ignore[misc]
    domain: tuple[float, float]  # type: ignore[misc]
    inflections: tuple[sympy.Expr, ...] | None = None  # as they were given
    lemma = "formula"

    def __call__(self, *xs: Tensor) -> Tensor:
        return self._joined(xs[0], [arc.value for arc in self.arcs])

    def derivative(self, x: Tensor) -> Tensor:
        return self._joined(x, [arc.derivative for arc in self.arcs])

    def _joined(self, x: Tensor, curves: Sequence[Curve]) -> Tensor:
        """Each curve on its own arc; it is not read outside, where it may be infinite. NaN stays NaN."""
        if len(curves) == 1:
            return curves[0](x)
        total = torch.full_like(x, torch.nan)
        for arc, curve in zip(self.arcs, curves, strict=True):
            total = torch.where((x >= arc.low) & (x <= arc.high), curve(x.clamp(arc.low, arc.high)), total)
        return total

    def __repr__(self) -> str:
        limits = "" if self.domain == (-torch.inf, torch.inf) else f", domain={self.domain}"
        helped = "" if self.inflections is None else f", inflections=sympy.sympify({str(list(self.inflections))!r})"
        return f"Elementwise.from_sympy(sympy.sympify({str(self.expression)!r}){helped}{limits})"


def formula(
    expression: sympy.Expr,
    *,
    inflections: Sequence[float] | None = None,
    domain: tuple[float, float] = (-torch.inf, torch.inf),
) -> Formula:
    """The elementwise op x -> expression(x); see `Elementwise.from_sympy`.

    The breaks are the ends of the formula's branches and the points where f'' changes its sign, each to the last bit.
    Inflections that are given are not believed: that f'' keeps its sign between them is shown, stretch by stretch.
    Raises ValueError where f is not continuous, a function is not known, or the sign of f'' cannot be shown.
    """
    x = sympy.Symbol("x", real=True)
    given = of_symbol(expression, x)
    low, high = ends(domain)
    parts = branches(given, x, low, high)
    known = None if inflections is None else tuple(places(inflections))
    bent = [_bent(part, x, known) for part in parts]
    marks = [float(part.low) for part in parts] + [float(parts[-1].high)]
    breaks, bends = _joined(marks, bent)
    arcs = tuple(
        Arc(a, b, compiled(part.given), compiled(sympy.diff(part.given, x)))
        for (a, b), part in zip(pairwise(marks), parts, strict=True)
    )
    return Formula(expression, arcs, breaks, bends, (float(low), float(high)), known)


def _bent(branch: Branch, x: Any, known: tuple[Any, ...] | None) -> Signs:
    """The signs of f'' on a branch: shown between the inflections that are given, which must be all."""
    second = sympy.diff(branch.exact, x, 2)
    inside = [p for p in known or () if branch.low < p < branch.high]
    try:
        found = signs(second, x, branch.low, branch.high, inside)
    except Unproved as error:
        raise ValueError(
            f"from_sympy: it cannot be shown where {branch.exact} is convex: {error}. Give inflections=[...], all and "
            "exactly (sympy.pi, not 3.14), or domain=(low, high) to bound the range"
        ) from error
    given = [float(p) for p in inside]
    for root in found.roots if known is not None else ():
        at = float(root)
        if not any(abs(at - p) <= _NEAR * (1 + abs(at)) for p in given):
            raise ValueError(
                f"from_sympy: f'' changes its sign at {x} = {at:.10g}, which is not among the inflections "
                f"that are given ({', '.join(map(str, inside)) or 'none here'}); add it"
            )
    return found


def _joined(ends: list[float], bent: list[Signs]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The breaks and bends of all branches, one after another; pieces that are narrower than a float are dropped."""
    marks: list[float] = []
    bends: list[int] = []
    for (low, high), part in zip(pairwise(ends), bent, strict=True):
        places = [low, *(float(root) for root in part.roots), high]
        for (a, b), sign in zip(pairwise(places), part.signs, strict=True):
            if a < b:
                marks.append(a)
                bends.append(sign)
    return tuple(marks[1:]), tuple(bends)
