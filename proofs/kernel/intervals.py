"""Signs of formulas by interval arithmetic: outward rounding, bisection until every part has its sign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpmath import iv, mp

from absdomain.proofs.kernel.world import World

_PARTS = 4_000  # parts that are looked at before the sign counts as not shown
_SLIT = 1e-9  # half the width of the interval in which a break may lie


def positive(f: Callable[[Any], Any], low: float, high: float) -> bool:
    """Whether f > 0 on [low, high], by interval extensions of f on ever smaller parts."""
    pending = [(mp.mpf(low), mp.mpf(high))]
    for _ in range(_PARTS):
        if not pending:
            return True
        a, b = pending.pop()
        value = f(iv.mpf([a, b]))
        if value.b <= 0:
            return False
        if value.a <= 0:
            middle = (a + b) / 2
            pending += [(a, middle), (middle, b)]
    return False


def falls_once(world: World, f: Callable[[Any], Any], slope: Callable[[Any], Any], edge: float, far: float) -> None:
    """On [0, far] f > 0 before the edge and f < 0 after it: shown but for a slit around it, in which f falls."""
    world.check(positive(f, 0, edge - _SLIT), f"positive before {edge}")
    world.check(positive(lambda x: -slope(x), edge - _SLIT, edge + _SLIT), f"falling around {edge}")
    world.check(positive(lambda x: -f(x), edge + _SLIT, far), f"negative from {edge} to {far}")


def hyperbolic(u: Any) -> Any:
    """tanh, as an interval."""
    e = iv.exp(-2 * u)
    return (1 - e) / (1 + e)


def silu_factor(x: Any) -> Any:
    """2 - x tanh(x / 2), which has the sign of silu''."""
    return 2 - x * hyperbolic(x / 2)


def silu_factor_slope(x: Any) -> Any:
    """Its derivative."""
    t = hyperbolic(x / 2)
    return -t - x * (1 - t * t) / 2


_K = iv.sqrt(2 / iv.pi)
_CUBIC = iv.mpf(44715) / 10**6


def tanh_gelu_factor(x: Any) -> Any:
    """u' + x u'' / 2 - x u'^2 tanh u for u = k (x + c x^3), which has the sign of f'' for x (1 + tanh u) / 2."""
    square = x * x
    rate = _K * (1 + 3 * _CUBIC * square)
    return _K * (1 + 6 * _CUBIC * square) - x * rate * rate * hyperbolic(_K * x * (1 + _CUBIC * square))


def tanh_gelu_factor_slope(x: Any) -> Any:
    """Its derivative."""
    square = x * x
    rate, bend = _K * (1 + 3 * _CUBIC * square), 6 * _K * _CUBIC * x
    t = hyperbolic(_K * x * (1 + _CUBIC * square))
    return 12 * _K * _CUBIC * x - (rate * rate + 2 * x * rate * bend) * t - x * rate**3 * (1 - t * t)


def far_out(world: World, edge: float) -> None:
    """Beyond the edge the factor of the tanh form is negative: tanh u >= T there, and what is left is a polynomial.

    k (1 + 6 c y) < T x k^2 (1 + 3 c y)^2 with y = x^2, for all x >= edge: as 1 + 6 c y <= (1 + 3 c y)^2, it is enough
    that 1 < T k x.
    """
    start = iv.mpf(edge)
    least = hyperbolic(_K * start * (1 + _CUBIC * start * start))
    world.check(bool((least * _K * start).a > 1), f"T k x > 1 from {edge} on")
