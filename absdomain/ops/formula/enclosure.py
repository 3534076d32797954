"""A formula in interval arithmetic: where floats overflow or underflow on the way, an end says so instead of lying.

The floats of a formula are its value but for rounding only while every number on the way is one: sqrt(x^2 + x) is inf
at 1e160, and 1 / (x^2 + 1) is 0. Here a number too large is [largest float, inf], one too small [0, smallest normal
float], and both go on through the formula. Other rounding is left out: at a point both ends are the float value.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import sympy
import torch
from torch import Tensor

from absdomain.linear import Bounds
from absdomain.ops.formula.functions import TORCH, Curve, constant, known, stable

Enclosure = Callable[[Bounds], Bounds]  # of x -> of f(x); what is not known is infinite


def enclosing(expression: Any) -> Enclosure:
    """X -> an interval that holds expression(x) for every x in X, for an expression in one symbol."""
    whole = _enclosing(stable(expression))

    def enclosure(x: Bounds) -> Bounds:
        found = whole(x)  # numbers have no axes
        return Bounds(found.lower.expand_as(x.lower), found.upper.expand_as(x.upper))

    return enclosure


def _enclosing(e: Any) -> Enclosure:
    if e.is_Symbol:
        return lambda x: x
    if e.is_number:
        return partial(number, float(e.evalf(30)))
    parts = [_enclosing(a) for a in e.args]
    if e.is_Add:
        return lambda x: reduce(total, (part(x) for part in parts))
    if e.is_Mul:
        return lambda x: reduce(product, (part(x) for part in parts))
    if e.is_Pow and e.exp.is_number:
        power = int(e.exp) if e.exp.is_Integer else float(e.exp.evalf(30))
        return lambda x: _power(parts[0](x), power)
    if e.is_Pow and e.base.is_positive and e.base.is_number:
        scale = float(sympy.log(e.base).evalf(30))
        return lambda x: _rising(torch.exp, product(number(scale, x), parts[1](x)))
    f, extend = known(e, TORCH), _EXTENDED.get(e.func, _rising)
    return lambda x: extend(f, parts[0](x))


def number(value: float, x: Bounds) -> Bounds:
    """One number, without axes."""
    t = constant(value, x.lower.new_empty(()))
    return _point(t, torch.full_like(t, value == 0, dtype=torch.bool))


def total(a: Bounds, b: Bounds) -> Bounds:
    """a + b. inf - inf is any number; a sum does not underflow."""
    lower = a.lower + b.lower
    if _pointed(a) and _pointed(b) and bool(lower.isfinite().all()):
        return Bounds(lower, lower)
    upper, most = a.upper + b.upper, torch.finfo(lower.dtype).max
    lower = torch.where((a.lower == -torch.inf) | (b.lower == -torch.inf), -torch.inf, lower)
    upper = torch.where((a.upper == torch.inf) | (b.upper == torch.inf), torch.inf, upper)
    return Bounds(lower.clamp(max=most), upper.clamp(min=-most))


def product(a: Bounds, b: Bounds) -> Bounds:
    """a b: the least and the greatest of the four products of ends; 0 times a number however large is 0."""
    if _pointed(a) and _pointed(b):
        return _times(a.lower, b.lower)
    found = [_times(p, q) for p, q in itertools.product((a.lower, a.upper), (b.lower, b.upper))]
    return Bounds(reduce(torch.minimum, [f.lower for f in found]), reduce(torch.maximum, [f.upper for f in found]))


def _times(p: Tensor, q: Tensor) -> Bounds:
    zero = (p == 0) | (q == 0)
    return _point(torch.where(zero, 0.0, p * q), zero)


def _power(u: Bounds, power: float) -> Bounds:
    """A whole power has a pole at 0 if it is negative; of others the base is at least 0, where the formula is one."""

    def f(x: Tensor) -> Tensor:
        return x.pow(power)

    if power % 1 != 0:
        u = _positive(u)
    elif power % 2 == 0:
        u = _magnitude(u)
    if power > 0:
        return _rising(f, u)
    found, inside = _rising(f, Bounds(u.upper, u.lower)), (u.lower < 0) & (u.upper > 0)
    if _pointed(found) and not bool((u.lower == 0).any()):
        return found
    low = torch.where(inside | (u.upper == 0), -torch.inf, found.lower)
    return Bounds(low, torch.where(inside | (u.lower == 0), torch.inf, found.upper))


def _rising(f: Curve, u: Bounds) -> Bounds:
    """f may be 0 at 0, and exactly so nowhere else."""
    if _pointed(u):
        return _point(f(u.lower), u.lower == 0)
    return Bounds(_down(f(u.lower), u.lower == 0), _up(f(u.upper), u.upper == 0))


def _log(f: Curve, u: Bounds) -> Bounds:
    return _rising(f, _positive(u))


def _even(f: Curve, u: Bounds) -> Bounds:
    """Of an f that grows with |x|."""
    return _rising(f, _magnitude(u))


def _wave(f: Curve, u: Bounds) -> Bounds:
    """Anything between -1 and 1, but at a point."""
    at = f(u.lower)
    if _pointed(u) and bool(at.isfinite().all()):
        return Bounds(at, at)
    point = (u.lower == u.upper) & at.isfinite()
    return Bounds(torch.where(point, at, -1.0), torch.where(point, at, 1.0))


_EXTENDED = {sympy.log: _log, sympy.cosh: _even, sympy.sin: _wave, sympy.cos: _wave}  # the others rise


def _positive(u: Bounds) -> Bounds:
    """The part that is not negative: roots and logarithms in a formula are of nothing else."""
    lower = u.lower.relu()
    return Bounds(lower, lower if _pointed(u) else u.upper.relu())


def _magnitude(u: Bounds) -> Bounds:
    """|u|."""
    lower, upper = u.lower.abs(), u.upper.abs()
    if _pointed(u):
        return Bounds(lower, lower)
    inside = (u.lower <= 0) & (u.upper >= 0)
    return Bounds(torch.where(inside, 0.0, torch.minimum(lower, upper)), torch.maximum(lower, upper))


def _pointed(u: Bounds) -> bool:
    """Whether both ends are one tensor: so they are as long as no number is too large or too small, at little cost."""
    return u.lower is u.upper


def _point(t: Tensor, exact: Tensor) -> Bounds:
    """The numbers that the floats t stand for; exact: where a 0 is one."""
    size, info = t.abs(), torch.finfo(t.dtype)
    if bool((((size >= info.tiny) & (size <= info.max)) | ((t == 0) & exact)).all()):
        return Bounds(t, t)
    return Bounds(_down(t, exact), _up(t, exact))


def _down(t: Tensor, exact: Tensor) -> Tensor:
    """A lower bound of what t stands for: for a number too large the largest float, for one too small by its sign."""
    info = torch.finfo(t.dtype)
    small = (t.abs() < info.tiny) & ~exact
    return torch.where(small, -info.tiny * t.signbit().to(t), t.clamp(max=info.max))


def _up(t: Tensor, exact: Tensor) -> Tensor:
    return -_down(-t, exact)
