"""How far the floats of a formula may be from its value: a running error analysis over its expression.

Every number on the way is known by an interval of its real values and by how far the float may be from the real one.
An operation passes on the errors of its arguments and adds its own rounding (Higham 2002, Accuracy and Stability of
Numerical Algorithms, section 3.3), so that cosh(x) - sinh(x) at 30 is as wrong as cosh(30) is. What overflows, or may
leave the domain of a function by its error, is not known: the error is infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import sympy
import torch
from torch import Tensor

from absdomain.linear import Bounds
from absdomain.ops.formula.enclosure import Enclosure, enclosing, number, product, total
from absdomain.ops.formula.functions import stable

_ULPS = 8  # units of roundoff: 4 ulp, the most that the functions of PyTorch's backends are documented to miss
_T = sympy.Symbol("t", real=True)


class Reckoned(NamedTuple):
    """Numbers of the floats' evaluation: the real ones lie in `range`, and each float within `error` u of its own."""

    range: Bounds
    error: Tensor  # in units of the unit roundoff u = eps / 2


Reckoning = Callable[[Bounds], Reckoned]


def reckoning(expression: Any) -> Reckoning:
    """X -> the range of expression(x) for x in X, and the error of its float at any float x of X."""
    return _reckoning(stable(expression))


def _reckoning(e: Any) -> Reckoning:
    if e.is_Symbol:
        return lambda x: Reckoned(x, torch.zeros_like(x.lower))
    if e.is_number:
        return partial(_number, float(e.evalf(30)), held(e))
    parts = [_reckoning(a) for a in e.args]
    if e.is_Add:
        return lambda x: reduce(_sum, (part(x) for part in parts))
    if e.is_Mul:
        return lambda x: reduce(_product, (part(x) for part in parts))
    if e.is_Pow and not e.exp.is_number:
        return _reckoning(sympy.exp(sympy.log(e.base) * e.exp, evaluate=False))
    inner = _T**e.exp if e.is_Pow else e.func(_T)
    power = float(e.exp) if e.is_Pow and 0 < e.exp < 1 else None
    value, rate = enclosing(inner), enclosing(sympy.diff(inner, _T))
    return lambda x: _function(value, rate, power, parts[0](x))


def held(e: Any) -> bool:
    """Whether the number is a float, of single precision and so of any."""
    return bool(e.is_Rational and abs(e) < 2**100 and sympy.Rational(float(np.float32(float(e)))) == e)


def _number(value: float, held: bool, x: Bounds) -> Reckoned:
    found = number(value, x)
    return Reckoned(found, torch.zeros_like(x.lower) if held else largest(found))


def _sum(a: Reckoned, b: Reckoned) -> Reckoned:
    return _rounded(total(a.range, b.range), a.error + b.error, 1)


def _product(a: Reckoned, b: Reckoned) -> Reckoned:
    """|a b - a' b'| <= |a| e_b + |b| e_a + e_a e_b."""
    passed = _times(largest(a.range), b.error) + _times(largest(b.range), a.error)
    return _rounded(product(a.range, b.range), passed + _unit(a.error) * _times(a.error, b.error), 1)


def _function(value: Enclosure, rate: Enclosure, root: float | None, a: Reckoned) -> Reckoned:
    """|f(a') - f(a)| <= sup |f'| e_a between the real number and the float; |a' - a|^p for a root, even at 0."""
    passed = _times(largest(rate(_widened(a.range, a.error))), a.error)
    if root is not None:
        passed = torch.minimum(passed, (_unit(passed) * a.error).pow(root) / _unit(passed))
    return _rounded(value(a.range), passed, _ULPS)


def _rounded(range_: Bounds, passed: Tensor, ulps: int) -> Reckoned:
    """With the operation's own rounding: relative to the float's size, and of a number too small absolute.

    The ends of the range were computed, too: they are moved outwards by as much.
    """
    u, tiny = _unit(passed), torch.finfo(passed.dtype).tiny
    ends = ulps * (largest(range_) + tiny / u)
    error = passed + ends + ulps * u * passed
    return Reckoned(_widened(range_, ends), error.nan_to_num(nan=torch.inf, posinf=torch.inf))


def _widened(range_: Bounds, error: Tensor) -> Bounds:
    room = torch.where(error == 0, 0.0, _unit(error) * error)
    return Bounds(range_.lower - room, range_.upper + room)


def largest(x: Bounds) -> Tensor:
    """max |x|."""
    return torch.maximum(x.lower.abs(), x.upper.abs())


def _times(size: Tensor, error: Tensor) -> Tensor:
    """What is exact stays so, however large a factor."""
    return torch.where((error == 0) | (size == 0), 0.0, size * error)


def _unit(like: Tensor) -> float:
    return torch.finfo(like.dtype).eps / 2
