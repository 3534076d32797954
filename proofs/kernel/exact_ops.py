"""ATen operations in exact arithmetic that work entry by entry, or only move entries, each by its definition."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from math import pi
from typing import Any

import numpy as np
import torch
from torch import Tensor

from absdomain.proofs.kernel.exact import HANDLERS, Exact, Missing, aten, entrywise, exact, handles, moved
from absdomain.proofs.kernel.polynomial import Poly
from absdomain.proofs.kernel.world import Undefined, World

Scalar = Callable[..., Any]  # numbers -> number

_MOVES = [
    "view",
    "_unsafe_view",
    "reshape",
    "expand",
    "permute",
    "transpose",
    "t",
    "unsqueeze",
    "squeeze",
    "index",
    "gather",
    "index_select",
    "clone",
    "detach",
    "alias",
    "cat",
    "stack",
    "split",
    "split_with_sizes",
    "unbind",
    "flip",
    "repeat",
    "as_strided",
    "diagonal",
    "unfold",
    "lift_fresh",
    "movedim",
]
HANDLERS.update({getattr(aten, name): moved for name in _MOVES})


@handles(aten.slice, aten.select)
def _part(world: World, func: Any, x: Any, axis: int = 0, *places: Any) -> Exact:
    """A view: what is copied into it is copied into x."""
    index: list[Any] = [slice(None)] * x.dim()
    chosen = places[0] if func.overloadpacket is aten.select else slice(*(places + (None,) * 3)[:3])
    index[axis] = chosen
    return Exact(world, np.asarray(x.entries[tuple(index)], dtype=object))


@handles(aten.copy_)
def _copy(world: World, func: Any, target: Any, source: Any, *_: Any) -> Any:
    target.entries[...] = exact(world, source)
    return target


# --- entry by entry ---------------------------------------------------------------------------------------------------


def plus(a: Any, b: Any) -> Any:
    """a + b; an infinity stays, and two of unlike sign have no sum."""
    infinite = [v for v in (a, b) if isinstance(v, float)]
    if len(set(infinite)) == 2:
        return Missing("inf - inf")
    return infinite[0] if infinite else a + b


def quotient(world: World, a: Any, b: Any) -> Any:
    """a / b, or Missing where b may be 0."""
    try:
        return world.quotient(a, b)
    except Undefined as reason:
        return Missing(str(reason))


def larger(world: World, a: Any, b: Any) -> Any:
    """max(a, b), infinities included."""
    if isinstance(a, float) or isinstance(b, float):
        infinite, other = (a, b) if isinstance(a, float) else (b, a)
        return infinite if infinite > 0 else other
    return world.larger(a, b)


def smaller(world: World, a: Any, b: Any) -> Any:
    """min(a, b), infinities included."""
    return -larger(world, -a, -b)


def at_least(world: World, a: Any, b: Any) -> bool:
    """a >= b, in this run."""
    if isinstance(a, float) or isinstance(b, float):
        return (a if isinstance(a, float) else 0.0) >= (b if isinstance(b, float) else 0.0)
    return world.holds(a - b)


def above(world: World, a: Any, b: Any) -> bool:
    """a > b, in this run."""
    return not at_least(world, b, a)


def _clamped(world: World, x: Any, low: Any, high: Any) -> Any:
    x = x if low is None else larger(world, x, low)
    return x if high is None else smaller(world, x, high)


def _sign(world: World, x: Poly) -> Poly:
    return Poly.of(int(world.holds(x, strict=True)) - int(world.holds(-x, strict=True)))


def _leaky(world: World, x: Any, slope: Poly) -> Any:
    return larger(world, x, world.constant(0)) + slope * smaller(world, x, world.constant(0))


_ENTRYWISE: dict[Any, Scalar] = {
    aten.add: lambda w, a, b: plus(a, b),
    aten.sub: lambda w, a, b: plus(a, -b),
    aten.rsub: lambda w, a, b: plus(b, -a),
    aten.mul: lambda w, a, b: a * b,
    aten.div: quotient,
    aten.reciprocal: lambda w, a: quotient(w, w.constant(1), a),
    aten.neg: lambda w, a: -a,
    aten.relu: lambda w, a: larger(w, a, w.constant(0)),
    aten.abs: lambda w, a: larger(w, a, -a),
    aten.maximum: larger,
    aten.minimum: smaller,
    aten.clamp_min: larger,
    aten.clamp_max: smaller,
    aten.sign: _sign,
    aten.sqrt: lambda w, a: w.root(a),
    aten.rsqrt: lambda w, a: quotient(w, w.constant(1), w.root(a)),
    aten.lerp: lambda w, a, b, t: a + t * (b - a),
    aten.square: lambda w, a: a * a,
}
for _name in (
    "exp",
    "log",
    "tanh",
    "sin",
    "cos",
    "acos",
    "asin",
    "acosh",
    "tan",
    "atan",
    "sigmoid",
    "logit",
    "silu",
    "erf",
    "special_ndtr",
):
    _ENTRYWISE[getattr(aten, _name)] = partial(lambda name, w, a, *_: w.apply(name, a), _name)
_COMPARISONS: dict[Any, Callable[[World, Any, Any], bool]] = {
    aten.ge: at_least,
    aten.gt: above,
    aten.le: lambda w, a, b: at_least(w, b, a),
    aten.lt: lambda w, a, b: above(w, b, a),
    aten.eq: lambda w, a, b: at_least(w, a, b) and at_least(w, b, a),
    aten.ne: lambda w, a, b: not (at_least(w, a, b) and at_least(w, b, a)),
}


def _map(world: World, scalar: Scalar, *operands: Any) -> Exact:
    return Exact(world, entrywise(lambda *v: scalar(world, *v), *(exact(world, x) for x in operands)))


def into(target: Any, value: Exact) -> Any:
    """The target with new entries, as in-place operations leave it."""
    target.entries = value.entries
    return target


@handles(*_ENTRYWISE)
def _entrywise(world: World, func: Any, *operands: Any, alpha: float = 1) -> Exact:
    if alpha != 1:
        operands = (operands[0], Exact(world, exact(world, operands[1]) * world.constant(alpha)))
    return _map(world, _ENTRYWISE[func.overloadpacket], *operands)


@handles(aten.add_, aten.sub_, aten.mul_, aten.neg_, aten.relu_, aten.clamp_min_, aten.div_)
def _in_place(world: World, func: Any, target: Any, *operands: Any) -> Any:
    named = getattr(aten, func.overloadpacket.__name__.rstrip("_"))
    return into(target, _map(world, _ENTRYWISE[named], target, *operands))


@handles(*_COMPARISONS)
def _compared(world: World, func: Any, a: Any, b: Any) -> Tensor:
    decide = _COMPARISONS[func.overloadpacket]
    ways = entrywise(lambda p, q: decide(world, p, q), exact(world, a), exact(world, b))
    return torch.as_tensor(ways.astype(bool))


@handles(aten.clamp, aten.hardtanh)
def _clamp(world: World, func: Any, x: Any, low: Any = None, high: Any = None, *, max: Any = None) -> Exact:  # noqa: A002
    ends = [None if end is None else exact(world, end) for end in (low, high if max is None else max)]
    bounds = [np.asarray(None, dtype=object) if end is None else end for end in ends]
    return Exact(world, entrywise(lambda p, a, b: _clamped(world, p, a, b), exact(world, x), *bounds))


@handles(aten.leaky_relu)
def _leaky_relu(world: World, func: Any, x: Any, slope: float = 0.01) -> Exact:
    return _map(world, _leaky, x, slope)


@handles(aten.pow)
def _pow(world: World, func: Any, x: Any, exponent: float) -> Exact:
    return _map(world, lambda w, p: w.power(p, float(exponent)), x)


@handles(aten.nextafter)
def _next(world: World, func: Any, x: Any, towards: Any) -> Any:
    """The real numbers have no next one."""
    return x


@handles(aten.gelu)
def _gelu(world: World, func: Any, x: Any, *, approximate: str = "none") -> Exact:
    if approximate == "none":
        return _map(world, lambda w, p: p * w.apply("special_ndtr", p), x)
    half, rate = world.constant(0.5), world.constant(2 * (2 / pi) ** 0.5)
    cubic = world.constant(0.044715)
    return _map(world, lambda w, p: half * p * (1 + w.apply("tanh", half * rate * (p + cubic * p * p * p))), x)


@handles(aten.logaddexp)
def _logaddexp(world: World, func: Any, x: Any, y: Any) -> Exact:
    return _map(world, lambda w, p, q: w.apply("log", w.apply("exp", p) + w.apply("exp", q)), x, y)


@handles(aten.hardswish)
def _hardswish(world: World, func: Any, x: Any) -> Exact:
    top, sixth = world.constant(6), world.constant(1) * Fraction(1, 6)
    return _map(world, lambda w, p: p * _clamped(w, p + 3, w.constant(0), top) * sixth, x)


@handles(aten.elu)
def _elu(world: World, func: Any, x: Any, alpha: float = 1, scale: float = 1, rate: float = 1) -> Exact:
    def one(w: World, p: Any) -> Any:
        a, c, r = (w.constant(v) for v in (alpha, scale, rate))
        return c * p if w.holds(p) else c * a * (w.apply("exp", r * p) - 1)

    return _map(world, one, x)


@handles(aten.softplus)
def _softplus(world: World, func: Any, x: Any, beta: float = 1, threshold: float = 20) -> Exact:
    """Below the threshold, where the logarithm is taken."""
    rate = world.constant(beta)
    return _map(world, lambda w, p: w.apply("log", 1 + w.apply("exp", rate * p)) / rate, x)


@handles(aten.addcmul, aten.addcmul_)
def _addcmul(world: World, func: Any, a: Any, b: Any, c: Any, *, value: float = 1) -> Any:
    made = _map(world, lambda w, p, q, r, v: p + v * q * r, a, b, c, value)
    return into(a, made) if func.overloadpacket is aten.addcmul_ else made


@handles(aten.where)
def _where(world: World, func: Any, chosen: Tensor, a: Any, b: Any) -> Exact:
    picked = entrywise(lambda w, p, q: p if w else q, chosen.numpy(), exact(world, a), exact(world, b))
    return Exact(world, picked)


@handles(aten.masked_fill)
def _masked_fill(world: World, func: Any, x: Any, mask: Tensor, value: Any) -> Any:
    return _where(world, func, mask, value, x)


@handles(aten.isfinite)
def _isfinite(world: World, func: Any, x: Any) -> Tensor:
    return torch.as_tensor(entrywise(lambda p: isinstance(p, Poly), exact(world, x)).astype(bool))


# --- made new ---------------------------------------------------------------------------------------------------------


@handles(aten.zeros_like, aten.ones_like, aten.full_like, aten.new_zeros, aten.new_ones, aten.new_full, aten.new_empty)
def _made(world: World, func: Any, x: Any, *args: Any, **kwargs: Any) -> Tensor:
    made = func(torch.empty(x.shape, dtype=torch.float64), *args, **kwargs)
    return Exact(world, exact(world, made)) if made.is_floating_point() else made


@handles(aten._to_copy)
def _converted(world: World, func: Any, x: Any, *, dtype: Any = None, **_: Any) -> Any:
    if dtype is not None and not dtype.is_floating_point:
        raise NotImplementedError(f"exact numbers are not turned into {dtype}")
    return Exact(world, x.entries.copy())
