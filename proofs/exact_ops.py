"""ATen operations in exact arithmetic, each by its definition."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import permutations
from math import pi
from typing import Any

import numpy as np
import torch
from torch import Tensor

from absdomain.proofs.exact import HANDLERS, Entries, Exact, Missing, aten, entrywise, exact, handles, moved, picked, reduced
from absdomain.proofs.polynomial import Poly
from absdomain.proofs.world import Undefined, World

Scalar = Callable[..., Any]  # numbers -> number

_MOVES = (
    "view _unsafe_view reshape expand permute transpose t unsqueeze squeeze slice select index gather index_select "
    "clone detach alias cat stack split split_with_sizes unbind flip repeat as_strided diagonal unfold lift_fresh movedim"
).split()
HANDLERS.update({getattr(aten, name): moved for name in _MOVES})


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
for _name in ("exp", "log", "tanh", "sin", "cos", "acos", "asin", "acosh", "sigmoid", "logit", "silu", "erf", "special_ndtr"):
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


def _into(target: Any, value: Exact) -> Any:
    target.entries = value.entries
    return target


@handles(*_ENTRYWISE)
def _entrywise(world: World, func: Any, *operands: Any, alpha: float = 1) -> Exact:
    if alpha != 1:
        operands = (operands[0], Exact(world, exact(world, operands[1]) * world.constant(alpha)))
    return _map(world, _ENTRYWISE[func.overloadpacket], *operands)


@handles(aten.add_, aten.sub_, aten.mul_, aten.neg_, aten.relu_, aten.div_)
def _in_place(world: World, func: Any, target: Any, *operands: Any) -> Any:
    named = getattr(aten, func.overloadpacket.__name__.rstrip("_"))
    return _into(target, _map(world, _ENTRYWISE[named], target, *operands))


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
    return _into(a, made) if func.overloadpacket is aten.addcmul_ else made


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


# --- sums and maxima --------------------------------------------------------------------------------------------------


@handles(aten.sum)
def _sum(world: World, func: Any, x: Any, axes: Any = None, keepdim: bool = False, **_: Any) -> Exact:
    return Exact(world, reduced(operator.add, exact(world, x), axes, keepdim))


@handles(aten.mean)
def _mean(world: World, func: Any, x: Any, axes: Any = None, keepdim: bool = False, **_: Any) -> Exact:
    total = reduced(operator.add, exact(world, x), axes, keepdim)
    share = Fraction(max(total.size, 1), exact(world, x).size)
    return Exact(world, total * Poly.of(share))


@handles(aten.amax, aten.amin)
def _extreme(world: World, func: Any, x: Any, axes: Any = (), keepdim: bool = False) -> Exact:
    fold = larger if func.overloadpacket is aten.amax else smaller
    return Exact(world, reduced(lambda a, b: fold(world, a, b), exact(world, x), axes, keepdim))


@handles(aten.linalg_vector_norm)
def _norm(world: World, func: Any, x: Any, order: Any = 2, axes: Any = None, keepdim: bool = False, **_: Any) -> Exact:
    size = {1: lambda p: larger(world, p, -p), 2: lambda p: p * p}[order]
    total = reduced(operator.add, entrywise(size, exact(world, x)), axes, keepdim)
    return Exact(world, total if order == 1 else entrywise(world.root, total))


# --- logarithms of sums of exponentials -------------------------------------------------------------------------------


@handles(aten.logsumexp)
def _logsumexp(world: World, func: Any, x: Any, axes: Any, keepdim: bool = False) -> Exact:
    (axis,) = axes
    lines = np.apply_along_axis(lambda line: logsumexp(world, tuple(line)), axis, exact(world, x))
    return Exact(world, np.expand_dims(lines, axis) if keepdim else np.asarray(lines, dtype=object))


@handles(aten._log_softmax)
def _log_softmax(world: World, func: Any, x: Any, axis: int, half: bool) -> Exact:
    return Exact(world, exact(world, x) - exact(world, _logsumexp(world, func, x, (axis,), True)))


@handles(aten.nll_loss_forward)
def _nll(world: World, func: Any, x: Any, target: Tensor, weight: Any, reduction: int, ignored: int) -> Any:
    losses = [-row[label] for row, label in zip(exact(world, x), target.tolist(), strict=True)]
    mean = sum(losses, start=Poly.of(0)) * Fraction(1, len(losses))
    return Exact(world, np.array(mean, dtype=object)), torch.tensor(float(len(losses)))


def logsumexp(world: World, terms: tuple[Poly, ...]) -> Poly:
    """A number L(terms) of which two laws are known: L(t + c) = L(t) + c, and L grows in every term.

    Each symbol is compared with those before it, their terms in every order: L(t) >= L(t') + c where t >= t' + c.
    """
    made = world.named_sums
    found = world.fresh("logsumexp")
    for others, other in made:
        for order in permutations(others):
            gaps = [a - b for a, b in zip(terms, order, strict=True)] if len(order) == len(terms) else []
            for shift in dict.fromkeys(gaps):
                if all(world.known(gap - shift) for gap in gaps):
                    world.assume(found - other - shift)
                if all(world.known(shift - gap) for gap in gaps):
                    world.assume(other + shift - found)
    made.append((terms, found))
    return found


@handles(aten.cumsum)
def _cumsum(world: World, func: Any, x: Any, axis: int) -> Exact:
    add = np.frompyfunc(lambda a, b: a + b, 2, 1)
    return Exact(world, np.asarray(add.accumulate(exact(world, x), axis=axis), dtype=object))


@handles(aten.sort)
def _sort(world: World, func: Any, x: Any, axis: int = -1, descending: bool = False) -> tuple[Exact, Tensor]:
    """Ascending and stable, by insertion."""

    def ordered(line: Entries) -> Entries:
        places: list[int] = []
        for i in range(len(line)):
            after = next((j for j, k in enumerate(places) if above(world, line[k], line[i])), len(places))
            places.insert(after, i)
        return np.array(places)

    if descending:
        raise NotImplementedError("the exact sort is ascending")
    places = np.apply_along_axis(ordered, axis, exact(world, x)).astype(int)
    return Exact(world, np.take_along_axis(exact(world, x), places, axis)), torch.as_tensor(places)


@handles(aten.argmax)
def _argmax(world: World, func: Any, x: Any, axis: int, keepdim: bool = False) -> Tensor:
    """The first place of the largest entry, as PyTorch on CPU."""

    def first(line: Entries) -> int:
        best = 0
        for i in range(1, len(line)):
            best = i if above(world, line[i], line[best]) else best
        return best

    places = np.apply_along_axis(first, axis, exact(world, x))
    return torch.as_tensor(np.expand_dims(places, axis) if keepdim else places)


# --- placed by index --------------------------------------------------------------------------------------------------


@handles(aten.scatter, aten.index_fill, aten.index_copy, aten.index_put, aten.constant_pad_nd)
def _placed(world: World, func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """As `moved`, with the number that is put in counted among the entries."""
    plain = [i for i, v in enumerate(args) if isinstance(v, float) or (i == len(args) - 1 and isinstance(v, int))]
    if not plain:
        return moved(world, func, x, *args, **kwargs)
    (place,) = plain
    size = x.numel()
    numbers = torch.arange(size).reshape(x.shape)
    pool = np.empty(size + 1, dtype=object)
    pool[:size] = exact(world, x).reshape(-1)
    pool[size] = exact(world, args[place]).item()
    out = func(numbers, *args[:place], size, *args[place + 1 :], **kwargs)
    return Exact(world, picked(pool, out))


@handles(aten.index_put_)
def _put(world: World, func: Any, x: Any, indices: Any, values: Any) -> Any:
    return _into(x, moved(world, aten.index_put.default, x, indices, Exact(world, exact(world, values))))


@handles(aten.scatter_)
def _scatter_in_place(world: World, func: Any, x: Any, *args: Any) -> Any:
    return _into(x, _placed(world, getattr(aten.scatter, func._overloadname), x, *args))


@handles(aten.index_add)
def _index_add(world: World, func: Any, x: Any, axis: int, index: Tensor, source: Any) -> Exact:
    total = np.moveaxis(exact(world, x).copy(), axis, 0)
    for place, part in zip(index.tolist(), np.moveaxis(exact(world, source), axis, 0), strict=True):
        total[place] = total[place] + part
    return Exact(world, np.moveaxis(total, 0, axis))


# --- products ---------------------------------------------------------------------------------------------------------


@handles(aten.mm, aten.bmm, aten.mv, aten.dot, aten.matmul)
def _product(world: World, func: Any, a: Any, b: Any) -> Exact:
    return Exact(world, np.asarray(np.matmul(exact(world, a), exact(world, b)), dtype=object))


@handles(aten.addmm, aten.addmv, aten.baddbmm)
def _product_added(world: World, func: Any, c: Any, a: Any, b: Any) -> Exact:
    return Exact(world, exact(world, c) + np.matmul(exact(world, a), exact(world, b)))


@handles(aten.convolution)
def _convolution(world: World, func: Any, x: Any, w: Any, b: Any, *options: Any) -> Exact:
    """sum over the taps of w_tap times the entries that tap meets, which the convolution itself tells by number."""
    entries, weights = exact(world, x), exact(world, w)
    padded = np.append(entries.reshape(-1), Poly.of(0))
    total: Any = 0
    for tap in np.ndindex(*weights.shape):
        one = torch.zeros(weights.shape, dtype=torch.float64)
        one[tap] = 1.0
        numbered = torch.arange(1, entries.size + 1, dtype=torch.float64).reshape(entries.shape)
        met = func(numbered, one, None, *options).long().numpy() - 1  # -1: padding, or another channel's tap
        total = total + entrywise(operator.mul, padded[met], weights[tap])
    bias = 0 if b is None else exact(world, b).reshape(-1, *(1,) * (entries.ndim - 2))
    return Exact(world, np.asarray(total + bias, dtype=object))


@handles(aten.avg_pool2d, aten.avg_pool2d_backward)
def _averaged(world: World, func: Any, x: Any, *options: Any) -> Exact:
    """A linear map's own matrix, read off unit inputs; its entries are fractions of small denominators."""
    entries = exact(world, x)
    plain = [torch.zeros(v.shape, dtype=torch.float64) if isinstance(v, Tensor) else v for v in options]
    total: Any = 0
    for place in np.ndindex(*entries.shape):
        unit = torch.zeros(entries.shape, dtype=torch.float64)
        unit[place] = 1.0
        share = func(unit, *plain).numpy()
        weights = entrywise(lambda v: Poly.of(Fraction(v).limit_denominator(10_000)), share)
        total = total + entrywise(operator.mul, weights, entries[place])
    return Exact(world, total)
