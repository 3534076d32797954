"""ATen operations in exact arithmetic that join entries: sums, maxima, orders, placements and products."""

from __future__ import annotations

import operator
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from absdomain.proofs.kernel.exact import Entries, Exact, aten, entrywise, exact, handles, moved, picked, reduced
from absdomain.proofs.kernel.exact_ops import above, into, larger, smaller
from absdomain.proofs.kernel.polynomial import Poly
from absdomain.proofs.kernel.world import World

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


@handles(aten.aminmax)
def _extremes(world: World, func: Any, x: Any, *, dim: Any = None, keepdim: bool = False) -> tuple[Exact, Exact]:
    return _extreme(world, aten.amin.default, x, dim, keepdim), _extreme(world, aten.amax.default, x, dim, keepdim)


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
    return into(x, moved(world, aten.index_put.default, x, indices, Exact(world, exact(world, values))))


@handles(aten.scatter_)
def _scatter_in_place(world: World, func: Any, x: Any, *args: Any) -> Any:
    return into(x, _placed(world, getattr(aten.scatter, func._overloadname), x, *args))


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
    padded = np.empty(entries.size + 1, dtype=object)
    padded[:-1], padded[-1] = entries.reshape(-1), Poly.of(0)
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
