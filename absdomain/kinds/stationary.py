"""{ x : f'(x) = s } on a piece where f' is monotone: bracketed, and the bracket closed by tangents."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Curve = Callable[[Tensor], Tensor]

_EDGE = 2.0**-44  # of a piece: an extremum that is nearer to an end counts as being there
_FINE = 2.0**-50  # of |f' - s| times the piece: what the tangents of a bracket may miss
_STEPS = 60  # a dozen are enough for most boxes; every fourth is a bisection


def bracket(derivative: Curve, slope: Tensor, low: Tensor, high: Tensor, bend: Tensor | int) -> tuple[Tensor, Tensor]:
    """Fractions p <= q of [low, high] between which bend (f(x) - slope x) is least, detached.

    bend f is convex there: 1 for a convex f, -1 for a concave one. The derivative is read strictly inside the piece,
    since at a kink it has two values. False position with halved ends (Dowell and Jarratt 1971), and bisection.
    """
    with torch.no_grad():

        def rise(x: Tensor) -> Tensor:
            return bend * (derivative(x) - slope)

        p, q = torch.full_like(low + slope, _EDGE), torch.full_like(low + slope, 1 - _EDGE)
        at_p = rise(torch.maximum(torch.lerp(low, high, p), torch.nextafter(low, high)))
        at_q = rise(torch.minimum(torch.lerp(low, high, q), torch.nextafter(high, low)))
        first, last = at_p > 0, at_q <= 0  # the least value is that of an end
        enough, over = _FINE * (at_p.abs() + at_q.abs()), first | last
        weighted_p, weighted_q, before = at_p, at_q, first
        for step in range(_STEPS):
            t = (p + q) / 2
            if step % 4:
                false = p - weighted_p * (q - p) / (weighted_q - weighted_p)
                t = torch.where((p < false) & (false < q), false, t)
            value = rise(torch.lerp(low, high, t))
            falls = value <= 0
            again = torch.where(falls == before, 0.5, 1.0)  # an end that stays put counts half
            weighted_p = torch.where(falls, value, weighted_p * again)
            weighted_q = torch.where(falls, weighted_q * again, value)
            before = falls
            p, at_p = torch.where(falls, t, p), torch.where(falls, value, at_p)
            q, at_q = torch.where(falls, q, t), torch.where(falls, at_q, value)
            if bool((over | (torch.minimum(at_p.abs(), at_q.abs()) * (q - p) <= enough)).all()):
                break
        p = torch.where(first, 0.0, torch.where(last, 1 - _EDGE, p))
        return p, torch.where(first, _EDGE, torch.where(last, 1.0, q))


def least(f: Curve, derivative: Curve, slope: Tensor, low: Tensor, high: Tensor, bend: int) -> Tensor:
    """A lower bound of bend (f(x) - slope x) over [low, high], where bend f is convex.

    The function lies above its tangent at each end of the bracket, and the tangent is least at the other end: sound for
    any bracket, however wide, between whose ends the minimum lies. An end of the piece itself has no tangent that one
    may trust. Differentiable: at a stationary point the fraction's own derivative does not count, and elsewhere the
    bracket is an end of the piece.
    """
    p, q = bracket(derivative, slope, low, high, bend)
    bounds = []
    for t, way, end in ((p, -1, 0.0), (q, 1, 1.0)):
        x = torch.lerp(low, high, t)
        with torch.no_grad():
            steep = bend * (derivative(x) - slope) * way
            drop = torch.where(t == end, torch.inf, steep.relu() * (q - p) * (high - low))
        bounds.append(bend * (f(x) - slope * x) - drop)
    return torch.maximum(*bounds)
