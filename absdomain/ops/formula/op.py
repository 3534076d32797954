"""An elementwise operation whose value, derivative, kinks and inflection points are derived from a formula."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import sympy
import torch
from torch import Tensor

from absdomain.kinds import Bracketed, Curvature, Slopes
from absdomain.kinds.stationary import bracket
from absdomain.linear import Bounds
from absdomain.ops.formula.branches import Branch, branches
from absdomain.ops.formula.enclosure import Enclosure, enclosing
from absdomain.ops.formula.error import Reckoned, Reckoning, held, largest, reckoning
from absdomain.ops.formula.functions import Curve, compiled
from absdomain.ops.formula.given import ends, of_symbol, places
from absdomain.ops.formula.signs import Signs, Unproved, signs

_EDGE = 2.0**-44  # of a piece: no tangent is taken nearer to its end (absdomain.kinds.stationary)
_NEARBY = 2  # units of roundoff between a number and its float
_STEEP = 1e6  # a slope instead of one that floats cannot tell: a hint
_NEAR = 1e-9  # relative: an inflection that is given may be rounded; the place itself is found


@dataclass(frozen=True, eq=False)
class Arc:
    """f on [low, high): a branch of the formula, as functions of torch."""

    low: float
    high: float
    value: Curve = field(repr=False)
    derivative: Curve = field(repr=False)
    holds: Enclosure = field(repr=False)  # of the value
    moves: Enclosure = field(repr=False)  # of the derivative
    errs: Reckoning = field(repr=False)  # the value's rounding
    sways: Reckoning = field(repr=False)  # the derivative's
    exact: bool  # whether low is the place where the arc begins, and not a float near it


@dataclass(frozen=True, eq=False, repr=False)
class Formula(Bracketed):
    """x -> expression(x), elementwise; made by `from_sympy`.

    Bounds are taken of the formula's enclosures, which hold its value where floats overflow or underflow on the way.
    """

    expression: sympy.Expr
    arcs: tuple[Arc, ...]
    bent: Curvature
    inflections: tuple[sympy.Expr, ...] | None = None  # as they were given
    lemma = "formula"

    @property
    def curvature(self) -> Curvature:
        """The breaks are the ends of the branches, and the points where f'' changes its sign."""
        return self.bent

    def __call__(self, *xs: Tensor) -> Tensor:
        return self._joined(xs[0], [arc.value for arc in self.arcs])

    def derivative(self, x: Tensor) -> Tensor:
        return self._joined(x, [arc.derivative for arc in self.arcs])

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        return _told(super().chord(boxes))

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        below, above = super().tight_slopes(boxes)
        return _told(below), _told(above)

    def defined(self, box: Bounds) -> Tensor | None:
        """Where the box lies in the domain; where f is infinite there, its enclosure says so."""
        low, high = self.bent.domain
        return None if (low, high) == (-torch.inf, torch.inf) else (box.lower >= low) & (box.upper <= high)

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """The least and the greatest f' at the ends and on both sides of the breaks, less and plus its own rounding."""
        with torch.no_grad():
            sides = self._sides(boxes[0])
            rates = self._reckoned(Bounds(sides, sides), [arc.sways for arc in self.arcs]).range
            unknown = rates.lower.isnan() | rates.upper.isnan() | (rates.lower > rates.upper)  # outside the domain
            low, high = rates.lower.masked_fill(unknown, -torch.inf), rates.upper.masked_fill(unknown, torch.inf)
            return (Bounds(low.amin(0), high.amax(0)),)

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """By running error analysis: how far the floats f(x) may be from f(x) for floats x of the box, in units of u.

        The tangents that a band is made of miss by the error of f' along the box, which is counted, too.
        """
        (box,) = boxes
        found = self._reckoned(box, [arc.errs for arc in self.arcs]).error
        marks = torch.stack(self._marks(box))
        low, high = marks[:-1], marks[1:]
        inside = _EDGE * (high - low)  # tangents are taken there: at the end itself f' may be infinite
        sway = self._reckoned(Bounds(low + inside, high - inside), [arc.sways for arc in self.arcs]).error
        turned = torch.where(high > low, sway * (high - low), 0.0).amax(0)
        return (found + turned + self._misplaced(box)).nan_to_num(nan=torch.inf, posinf=torch.inf)

    def _misplaced(self, box: Bounds) -> Tensor:
        """What comes of choosing the wrong one of two arcs, whose common end is a float near their place."""
        total = torch.zeros_like(box.lower)
        for before, after in pairwise(self.arcs):
            if after.exact:
                continue
            place = torch.full_like(box.lower, after.low)
            room = _NEARBY * torch.finfo(place.dtype).eps * place.abs()
            near = Bounds(place - room, place + room)
            steep = sum((largest(arc.moves(near)) for arc in (before, after)), start=torch.zeros_like(place))
            meets = (box.lower <= near.upper) & (box.upper >= near.lower)
            total = total + torch.where(meets, _NEARBY * place.abs() * steep, 0.0)
        return total

    def _bound(self, slope: Tensor, box: Bounds, side: int) -> Tensor:
        """By tangents; where they overflow, by interval arithmetic over the whole box."""
        least = self._gap(torch.stack(self._marks(box)), slope, side).amin(0)
        pieces = self._pieces(box, (side,))
        if pieces is not None:
            least = torch.minimum(least, self._least(slope, *pieces[:2], side).amin(0))
        if bool(least.isfinite().all()):
            return least
        with torch.no_grad():
            whole, line = self._enclosed(box), torch.maximum(side * slope * box.lower, side * slope * box.upper)
            crude = ((whole.lower if side > 0 else -whole.upper) - line).nan_to_num(-torch.inf, torch.inf, -torch.inf)
            return torch.where(least.isfinite(), least, crude)

    def _gap(self, x: Tensor, slope: Tensor, side: int) -> Tensor:
        """A lower bound of side (f(x) - slope x), with the gradient of f(x) where that is what floats say."""
        with torch.no_grad():
            held = self._enclosed(Bounds(x, x))
            known = held.lower == held.upper
        value = self(torch.where(known, x, x.detach()))
        return side * (torch.where(known, value, held.lower if side > 0 else held.upper) - slope * x)

    def _least(self, slope: Tensor, low: Tensor, high: Tensor, bend: int) -> Tensor:
        """Lower bounds of bend (f(x) - slope x) over the pieces [low, high], on which it is convex.

        It lies above its tangents at p <= q. Before p the one at p is least at low, after q the one at q at high, and
        between them each at the other's place: so much holds for any p and q, and any bounds of f and f' there.
        """
        p, q = bracket(self.derivative, slope, low, high, bend)
        points = torch.lerp(low, high, torch.stack([p, q]))
        at_p, at_q = self._gap(points, slope, bend)
        with torch.no_grad():
            moves = self._enclosed(Bounds(points, points), slope=True)
            falls, rises = slope - moves.lower, moves.upper - slope
            (falls_p, falls_q), (rises_p, rises_q) = (falls, rises) if bend > 0 else (rises, falls)
            width = high - low
            before, after = _run(rises_p, p * width), _run(falls_q, (1 - q) * width)
            # an end of the piece itself, which may be a kink, has no tangent that one may trust
            first = torch.where(p == 0, torch.inf, _run(falls_p, (q - p) * width))
            last = torch.where(q == 1, torch.inf, _run(rises_q, (q - p) * width))
        return torch.minimum(torch.maximum(at_p - first, at_q - last), torch.minimum(at_p - before, at_q - after))

    def _enclosed(self, x: Bounds, *, slope: bool = False) -> Bounds:
        """Bounds of f over the x, or of f': the hull of those of the arcs that it meets."""
        curves = [arc.moves if slope else arc.holds for arc in self.arcs]
        if len(curves) == 1:
            return curves[0](x)
        lower, upper = torch.full_like(x.lower, torch.inf), torch.full_like(x.lower, -torch.inf)
        for part, meets, curve in self._parts(x, curves):
            found = curve(part)
            lower = torch.where(meets, torch.minimum(lower, found.lower), lower)
            upper = torch.where(meets, torch.maximum(upper, found.upper), upper)
        return Bounds(lower, upper)

    def _reckoned(self, x: Bounds, curves: Sequence[Reckoning]) -> Reckoned:
        """The numbers over the x and their errors: the hull, and the largest, of the arcs that it meets."""
        lower, upper = torch.full_like(x.lower, torch.inf), torch.full_like(x.lower, -torch.inf)
        error = torch.zeros_like(x.lower)
        for part, meets, curve in self._parts(x, curves):
            found = curve(part)
            lower = torch.where(meets, torch.minimum(lower, found.range.lower), lower)
            upper = torch.where(meets, torch.maximum(upper, found.range.upper), upper)
            error = torch.where(meets, torch.maximum(error, found.error), error)
        return Reckoned(Bounds(lower, upper), error)

    def _parts(self, x: Bounds, curves: Sequence[Any]) -> Iterator[tuple[Bounds, Tensor, Any]]:
        """For each arc the part of x on it, where there is one, and the arc's curve."""
        for arc, curve in zip(self.arcs, curves, strict=True):
            lower = x.lower.clamp(arc.low, arc.high)
            upper = lower if x.upper is x.lower else x.upper.clamp(arc.low, arc.high)
            yield Bounds(lower, upper), (x.upper >= arc.low) & (x.lower <= arc.high), curve

    def _joined(self, x: Tensor, curves: Sequence[Curve]) -> Tensor:
        """Each curve on its own arc; it is not read outside, where it may be infinite. NaN stays NaN."""
        if len(curves) == 1:
            return curves[0](x)
        total = torch.full_like(x, torch.nan)
        for arc, curve in zip(self.arcs, curves, strict=True):
            total = torch.where((x >= arc.low) & (x <= arc.high), curve(x.clamp(arc.low, arc.high)), total)
        return total

    def __reduce__(self) -> tuple[Any, ...]:
        """Its functions are compiled: the formula is derived again."""
        return _again, (self.expression, self.inflections, self.bent.domain)

    def __repr__(self) -> str:
        limits = "" if self.bent.domain == (-torch.inf, torch.inf) else f", domain={self.bent.domain}"
        helped = "" if self.inflections is None else f", inflections=sympy.sympify({str(list(self.inflections))!r})"
        return f"from_sympy(sympy.sympify({str(self.expression)!r}){helped}{limits})"


def from_sympy(
    expression: sympy.Expr,
    *,
    inflections: Sequence[float] | None = None,
    domain: tuple[float, float] = (-torch.inf, torch.inf),
) -> Formula:
    """The elementwise op x -> expression(x), for a sympy expression in one symbol: everything else is derived.

    inflections: where f'' changes its sign, all such places, if they cannot be found; that it keeps its sign between
    them is shown, or the formula refused. domain: the x for which the formula is meant; a box that leaves it has an
    infinite band. The breaks are the ends of the formula's branches and the points where f'' changes its sign, each to
    the last bit. Raises ValueError where f is not continuous, a function is not known, or no sign of f'' can be shown.
    """
    x = sympy.Symbol("x", real=True)
    given = of_symbol(expression, x)
    low, high = ends(domain)
    parts = branches(given, x, low, high)
    known = None if inflections is None else tuple(places(inflections))
    bent = [_bent(part, x, known) for part in parts]
    marks = [float(part.low) for part in parts] + [float(parts[-1].high)]
    breaks, bends = _joined(marks, bent)
    arcs = tuple(_arc(a, b, part, x) for (a, b), part in zip(pairwise(marks), parts, strict=True))
    return Formula(expression, arcs, Curvature(breaks, bends, domain=(float(low), float(high))), known)


def _again(expression: sympy.Expr, inflections: Any, domain: tuple[float, float]) -> Formula:
    return from_sympy(expression, inflections=inflections, domain=domain)


def _arc(low: float, high: float, branch: Branch, x: Any) -> Arc:
    f, rate = branch.given, sympy.diff(branch.given, x)
    return Arc(
        low, high, compiled(f), compiled(rate), holds=enclosing(f), moves=enclosing(rate), errs=reckoning(f),
        sways=reckoning(rate), exact=held(branch.low),
    )  # fmt: skip


def _told(slopes: Slopes) -> Slopes:
    """Slopes of which none is infinite or NaN, as the quotient of two overflows is."""
    return tuple(s.nan_to_num(0.0, _STEEP, -_STEEP) for s in slopes)


def _run(rate: Tensor, way: Tensor) -> Tensor:
    """How far one comes down at this rate, if at all; nothing on a way of length 0."""
    return torch.where(way == 0, 0.0, rate.relu() * way)


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
