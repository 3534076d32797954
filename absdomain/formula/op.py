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
from absdomain.formula.signs import Signs, Unproved, signs
from absdomain.kinds import Bracketed

_GRID = 2001  # points at which inflection points that are given are held against f''


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
        return f"Elementwise.from_sympy(sympy.sympify({str(self.expression)!r}){limits})"


def formula(
    expression: sympy.Expr,
    *,
    inflections: Sequence[float] | None = None,
    domain: tuple[float, float] = (-torch.inf, torch.inf),
) -> Formula:
    """The elementwise op x -> expression(x); see `Elementwise.from_sympy`.

    The breaks are the ends of the formula's branches and the points where f'' changes its sign, each to the last bit.
    Raises ValueError where f is not continuous, a function is not known, or the sign of f'' cannot be shown.
    """
    if not isinstance(expression, sympy.Expr):
        raise ValueError(f"from_sympy: {expression!r} is a {type(expression).__name__}; give a sympy expression, for "
                         "example of x = sympy.Symbol('x')")  # fmt: skip
    symbols = expression.free_symbols
    if len(symbols) != 1:
        raise ValueError(f"from_sympy: {expression} has {len(symbols)} symbols; it must have one")
    low, high = domain
    if not low < high:
        raise ValueError(f"from_sympy: the domain is ({low}, {high}); its ends must be in order")
    x = sympy.Symbol("x", real=True)
    parts = branches(expression.subs(symbols.pop(), x), x, sympy.sympify(low), sympy.sympify(high))
    bent = [_bent(part, x, inflections) for part in parts]
    ends = [float(part.low) for part in parts] + [float(parts[-1].high)]
    marks, bends = _joined(ends, bent)
    arcs = tuple(
        Arc(a, b, compiled(part.given), compiled(sympy.diff(part.given, x)))
        for (a, b), part in zip(pairwise(ends), parts, strict=True)
    )
    return Formula(expression, arcs, marks, bends, (float(low), float(high)))


def _bent(branch: Branch, x: Any, inflections: Sequence[float] | None) -> Signs:
    """The signs of f'' on a branch."""
    second = sympy.diff(branch.exact, x, 2)
    try:
        if inflections is not None:
            return _given(second, branch, x, sorted(inflections))
        return signs(second, x, branch.low, branch.high)
    except Unproved as error:
        raise ValueError(
            f"from_sympy: it cannot be shown where {branch.exact} is convex: {error}. Give inflections=[...] if you "
            "know them, or domain=(low, high) to bound the range"
        ) from error


def _given(second: Any, branch: Branch, x: Any, inflections: Sequence[float]) -> Signs:
    """The signs between the inflection points of the user, whose word is taken after a look at many points.

    Far out nothing can be looked at: there the sign must be shown.
    """
    roots = [sympy.N(p, 17) for p in inflections if branch.low < p < branch.high]
    near = [*roots, *(end for end in (branch.low, branch.high) if end.is_finite)] or [sympy.Integer(0)]
    left, right = (min(near) - 1, max(near) + 1)
    f = sympy.lambdify(x, second, "mpmath")
    ends = [max(branch.low, left), *roots, min(branch.high, right)]
    found = [_seen(f, float(a), float(b)) for a, b in pairwise(ends)]
    for a, b, seen in ((branch.low, left, found[0]), (right, branch.high, found[-1])):
        if not (a.is_finite and b.is_finite) and signs(second, x, a, b).signs not in ((seen,), (0,)):
            raise Unproved(f"f'' changes its sign between {a} and {b}, beyond the inflections that are given")
    return Signs(tuple(roots), tuple(found))


def _seen(second: Any, a: float, b: float) -> int:
    """The sign of f'' at many points between a and b."""
    values = [(p, second(p)) for p in (a + (b - a) * (i + 0.5) / _GRID for i in range(_GRID))]
    most = max(abs(v) for _, v in values)
    seen = {1 if v > 0 else -1: p for p, v in values if abs(v) > 1e-12 * most}
    if len(seen) > 1:
        raise ValueError(f"from_sympy: f'' is positive at {seen[1]:.6g} and negative at {seen[-1]:.6g}, but the "
                         "inflections that are given have none between them")  # fmt: skip
    return next(iter(seen), 0)


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
