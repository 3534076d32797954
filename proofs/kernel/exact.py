"""Tensors of exact numbers: the shipped torch code runs on them unchanged.

An `Exact` is a torch.Tensor whose entries are polynomials (or infinities) in the symbols of a World. It arrives at the
code as any tensor does; PyTorch reduces whatever the code calls to its ATen operations, and each of those is carried
out here in exact arithmetic. Operations that only move entries are done by PyTorch itself, on the entries' numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from absdomain.proofs.kernel.polynomial import Poly
from absdomain.proofs.kernel.world import Undefined, World

aten = torch.ops.aten
Entries = NDArray[np.object_]
Handler = Callable[..., Any]
HANDLERS: dict[Any, Handler] = {}


class Exact(Tensor):
    """A float64 tensor whose entries are polynomials, the floats inf and -inf, or Missing."""

    entries: Entries
    world: World

    @staticmethod
    def __new__(cls, world: World, entries: Entries | Poly) -> Exact:
        if isinstance(entries, Poly):  # numpy gives a sum without axes as the number itself
            entries, only = np.empty((), dtype=object), entries
            entries[()] = only
        made: Exact = Tensor._make_wrapper_subclass(cls, entries.shape, dtype=torch.float64)
        made.entries, made.world = entries, world
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        kwargs = {k: v for k, v in (kwargs or {}).items() if k not in ("layout", "device", "pin_memory")}
        world = next(t.world for t in tree_flatten((args, kwargs))[0] if isinstance(t, Exact))
        handler = HANDLERS.get(func.overloadpacket)
        if handler is None:
            raise NotImplementedError(
                f"{func} has no exact form; give it one in proofs/kernel/exact_ops.py or exact_sums.py"
            )
        return handler(world, func, *args, **kwargs)

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Exact({self.entries.tolist()})"


@dataclass(frozen=True)
class Missing:
    """No number, such as 1 / 0: it may be passed over by a mask, but not reckoned with."""

    reason: str

    def _refused(self, *_: object) -> Poly:
        raise Undefined(self.reason)

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = _refused


def exact(world: World, value: Any) -> Entries:
    """The entries of a tensor or a number, exactly."""
    if isinstance(value, Exact):
        return value.entries
    plain = np.asarray(value.detach().cpu().numpy() if isinstance(value, Tensor) else value)
    out = np.empty(plain.shape, dtype=object)
    for place, entry in np.ndenumerate(plain):
        number = entry.item()
        infinite = number in (float("inf"), -float("inf"))
        out[place] = float(number) if infinite else world.constant(number)
    return out


def real(world: World, name: str) -> Exact:
    """A tensor of one real number, (1, 1): one sample of one neuron."""
    return reals(world, name, 1, 1)


def reals(world: World, name: str, *shape: int) -> Exact:
    """A tensor of real numbers; their names are `name` with the place, or `name` alone where there is one."""
    out = np.empty(shape, dtype=object)
    for place in np.ndindex(*shape):
        out[place] = world.real(name if out.size == 1 else name + "".join(map(str, place)))
    return Exact(world, out)


def tensor(world: World, *entries: Poly | int) -> Exact:
    """A tensor of the given numbers, (1, n): one sample of n neurons."""
    out = np.empty((1, len(entries)), dtype=object)
    out[0] = [Poly.of(p) for p in entries]
    return Exact(world, out)


def numbers(x: Tensor) -> list[Poly]:
    """The entries of a tensor, in order."""
    entries = x.entries if isinstance(x, Exact) else exact(World(), x)
    return list(entries.reshape(-1))


def number(x: Tensor) -> Poly:
    """The one entry of a tensor."""
    (only,) = numbers(x)
    return only


def assume(world: World, *tensors: Tensor, strict: bool = False) -> None:
    """Suppose that all entries are >= 0, or with `strict` > 0."""
    for x in tensors:
        for p in numbers(x):
            world.assume(p, strict=strict)


def prove(world: World, x: Tensor, claim: str) -> None:
    """Show that all entries are >= 0."""
    for p in numbers(x):
        world.prove(p, claim)


def prove_zero(world: World, x: Tensor, claim: str) -> None:
    """Show that all entries are 0."""
    for p in numbers(x):
        world.prove_zero(p, claim)


def handles(*packets: Any) -> Callable[[Handler], Handler]:
    """Register the exact form of ATen operations: handler(world, func, *args, **kwargs)."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(packets, handler))
        return handler

    return register


def moved(world: World, func: Any, *args: Any, **kwargs: Any) -> Any:
    """What func, which only moves entries, makes of its arguments: done by func itself on the entries' numbers."""
    pool: list[Any] = []

    def numbered(value: Any) -> Any:
        if not isinstance(value, Exact):
            return value
        start = len(pool)
        pool.extend(value.entries.reshape(-1))
        return torch.arange(start, len(pool)).reshape(value.entries.shape)

    flat, spec = tree_flatten((args, kwargs))
    many, named = tree_unflatten([numbered(_lifted(world, func, v)) for v in flat], spec)
    entries = np.empty(len(pool), dtype=object)
    entries[:] = pool
    return tree_map(lambda out: Exact(world, picked(entries, out)), func(*many, **named))


def picked(entries: Entries, places: Tensor) -> Entries:
    """entries[places], an array also where places is one number."""
    out = np.empty(tuple(places.shape), dtype=object)
    out[...] = entries[places.numpy()]
    return out


def _lifted(world: World, func: Any, value: Any) -> Any:
    """A plain float tensor as an exact one; indices and masks stay."""
    plain = isinstance(value, Tensor) and not isinstance(value, Exact) and value.is_floating_point()
    return Exact(world, exact(world, value)) if plain else value


def entrywise(apply: Callable[..., Any], *operands: Entries) -> Entries:
    """apply on each entry, with broadcasting."""
    out: Entries = np.frompyfunc(apply, len(operands), 1)(*operands)
    return np.asarray(out, dtype=object)


def reduced(apply: Callable[[Any, Any], Any], x: Entries, axes: Sequence[int] | int | None, keepdim: bool) -> Entries:
    """x folded by `apply` over the axes (all, if none is given)."""
    given = [axes] if isinstance(axes, int) else list(axes or range(x.ndim))
    fold = np.frompyfunc(apply, 2, 1)
    for axis in sorted((a % x.ndim for a in given), reverse=True):
        x = np.asarray(fold.reduce(x, axis=axis, keepdims=keepdim), dtype=object)
    return x
