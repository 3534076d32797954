"""The functions that a formula may use: how each is computed by torch, and enclosed over an interval."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import sympy
import torch
from mpmath import mp
from mpmath.ctx_iv import MPIntervalContext
from torch import Tensor

Curve = Callable[[Tensor], Tensor]

IV: Any = MPIntervalContext()  # intervals of its own precision: mpmath's other users keep theirs
IV.dps = 40


class softplus(sympy.Function):
    """log(1 + exp(u)), as a whole, so that it does not overflow."""

    def fdiff(self, argindex: int = 1) -> Any:
        """The derivative, sigmoid(u)."""
        return sigmoid(self.args[0])


class sigmoid(sympy.Function):
    """1 / (1 + exp(-u)), as a whole."""

    def fdiff(self, argindex: int = 1) -> Any:
        """The derivative, sigmoid(u) sigmoid(-u)."""
        return sigmoid(self.args[0]) * sigmoid(-self.args[0])


TORCH: dict[Any, Curve] = {
    sympy.exp: torch.exp,
    sympy.log: torch.log,
    sympy.sin: torch.sin,
    sympy.cos: torch.cos,
    sympy.tanh: torch.tanh,
    sympy.sinh: torch.sinh,
    sympy.cosh: torch.cosh,
    sympy.atan: torch.atan,
    sympy.erf: torch.erf,
    softplus: lambda u: torch.logaddexp(u, torch.zeros_like(u)),
    sigmoid: torch.sigmoid,
}


def _monotone(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The enclosure of an increasing function that mpmath knows at points only: its ends, moved outwards."""

    def enclosed(u: Any) -> Any:
        with mp.workdps(60):
            low, high = (f(mp.make_mpf(end)) for end in u._mpi_)
            room = mp.mpf(10) ** -45
            return IV.mpf([low - room * (1 + abs(low)), high + room * (1 + abs(high))])

    return enclosed


def _cosh(u: Any) -> Any:
    return (IV.exp(u) + IV.exp(-u)) / 2


ENCLOSED: dict[Any, Callable[[Any], Any]] = {
    sympy.exp: IV.exp,
    sympy.log: IV.log,
    sympy.sin: IV.sin,
    sympy.cos: IV.cos,
    sympy.tanh: _monotone(mp.tanh),
    sympy.sinh: _monotone(mp.sinh),
    sympy.cosh: _cosh,
    sympy.atan: _monotone(mp.atan),
    sympy.erf: _monotone(mp.erf),
}


def compiled(expression: Any) -> Curve:
    """x -> expression(x) in torch, for an expression in one symbol. ValueError: a function that is not known."""
    return _compiled(stable(expression))


def _compiled(e: Any) -> Curve:
    if e.is_Symbol:
        return lambda x: x
    if e.is_number:
        value = float(e.evalf(30))
        return lambda x: constant(value, x)
    parts = [_compiled(a) for a in e.args]
    if e.is_Add:
        return lambda x: reduce(torch.add, (part(x) for part in parts))
    if e.is_Mul:
        return lambda x: reduce(torch.mul, (part(x) for part in parts))
    if e.is_Pow and e.exp.is_number:
        power = int(e.exp) if e.exp.is_Integer else float(e.exp.evalf(30))
        return lambda x: parts[0](x).pow(power)
    if e.is_Pow and e.base.is_positive and e.base.is_number:
        base = float(sympy.log(e.base).evalf(30))
        return lambda x: (base * parts[1](x)).exp()
    f = known(e, TORCH)
    return lambda x: f(parts[0](x))


def constant(value: float, x: Tensor) -> Tensor:
    """The number all over, in x's dtype; infinite where it is too large for that."""
    return torch.full_like(x, value, dtype=torch.float64).to(x.dtype)


def known(e: Any, table: dict[Any, Any]) -> Any:
    """The table's entry for the function of e."""
    if e.func not in table:
        names = ", ".join(sorted(f.__name__ for f in ENCLOSED))
        raise ValueError(f"from_sympy: {e} has {e.func.__name__}, which is not known; known are +, *, powers, {names}, "
                         "Abs, Max, Min and Piecewise")  # fmt: skip
    return table[e.func]


def stable(e: Any) -> Any:
    """The expression with log(1 + exp(u)) and exp(k u) / (1 + exp(u))^n as functions that do not overflow."""
    e = e.replace(lambda a: isinstance(a, sympy.log) and _shifted(a.args[0]) is not None,
                  lambda a: softplus(_shifted(a.args[0])))  # fmt: skip
    e = e.replace(lambda a: a.is_Pow and a.exp.is_Integer and a.exp.is_negative and _shifted(a.base) is not None,
                  lambda a: sigmoid(-_shifted(a.base)) ** -a.exp)  # fmt: skip
    return e.replace(lambda a: a.is_Mul, _balanced)


def _shifted(e: Any) -> Any:
    """u where e = 1 + exp(u), else None."""
    rest = e - 1
    return rest.args[0] if e.is_Add and isinstance(rest, sympy.exp) else None


def _balanced(product: Any) -> Any:
    """A product with each exp(k u) sigmoid(-u)^n, where 1 <= k <= n, as sigmoid(u)^k sigmoid(-u)^(n - k)."""
    factors = list(product.args)
    for place, grown in enumerate(factors):
        for other, gate in enumerate(factors):
            base, power = gate.as_base_exp()
            if not (isinstance(grown, sympy.exp) and isinstance(base, sigmoid) and power.is_Integer):
                continue
            times = sympy.nsimplify(grown.args[0] / -base.args[0], rational=True, tolerance=1e-12)
            if times.is_Integer and 1 <= times <= power:
                k = int(times)
                factors[place], factors[other] = sigmoid(-base.args[0]) ** k, base ** (power - k)
                return sympy.Mul(*factors)
    return product


def enclosed(e: Any, x: Any) -> Any:
    """An interval that holds e over the interval x, and is infinite where e may not be defined."""
    if e.is_Symbol:
        return x
    if e.is_number:
        with mp.workdps(60):
            value = mp.mpf(str(e.evalf(55)))
            room = abs(value) * mp.mpf(10) ** -45
            return IV.mpf([value - room, value + room])
    if e.is_Add:
        return reduce(lambda a, b: a + b, (enclosed(a, x) for a in e.args))
    if e.is_Mul:
        return reduce(lambda a, b: a * b, (enclosed(a, x) for a in e.args))
    whole = IV.mpf(["-inf", "inf"])
    if e.is_Pow and e.exp.is_number:
        base = enclosed(e.base, x)
        if e.exp.is_Integer:
            return whole if e.exp.is_negative and 0 in base else base ** int(e.exp)
        if not base.a > 0:
            return whole
        return IV.exp(IV.log(base) * enclosed(e.exp, x))
    if e.is_Pow:
        return enclosed(sympy.exp(e.exp * sympy.log(e.base)), x)
    f, inside = known(e, ENCLOSED), enclosed(e.args[0], x)
    return whole if isinstance(e, sympy.log) and not inside.a > 0 else f(inside)
