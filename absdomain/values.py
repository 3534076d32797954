"""A value is structure and tensors: take it apart, put other tensors in, tell two apart.

A value is made of the fields of its dataclass that `__init__` takes, of the entries of a tuple, list or dict, and
otherwise of what pickle would write: a class whose structure is not its fields says so by `__reduce__`, once for
pickling and for all that is here. Fields that `__init__` does not take follow from the others, by `_derive`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import singledispatch
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

V = TypeVar("V")
Parts = Sequence[Any]
Opened = tuple[Parts, Callable[[Parts], Any]]  # what a value is made of, and what makes one of other such parts


def leaves(value: object) -> list[Tensor]:
    """Every tensor in the value, in the order of its fields; a live one (`kinds.live`) as it reads now."""
    if isinstance(value, Tensor):
        return [value]
    opened = _opened(value)
    return [] if opened is None else [t for part in opened[0] for t in leaves(part)]


def rebuild(value: V, tensors: Iterable[Tensor]) -> V:
    """The value with these in the places of its leaves, in their order; a part without a tensor is kept as it is.

    Laws: leaves(rebuild(value, tensors)) are the tensors; what was live is not. The checks of a constructor are not
    run again, for what is computed may be NaN. Errors: ValueError for too few or too many tensors.
    """
    left = iter(tensors)
    made = _rebuilt(value, left)
    if next(left, None) is not None:
        raise ValueError(f"rebuild: more tensors were given than the {type(value).__name__} has, {len(leaves(value))}")
    return made


def mapped(value: V, f: Callable[[Tensor], Tensor]) -> V:
    """The value with f of every tensor in it."""
    return rebuild(value, map(f, leaves(value)))


def moved(value: V, like: Tensor) -> V:
    """The value on the device of `like`, its floating-point tensors in that dtype."""
    return mapped(value, lambda t: t.to(like) if t.is_floating_point() else t.to(like.device))


def outlined(value: Any) -> str:
    """A dataclass in one line: its fields by name, a tensor of several numbers by its shape."""
    told = [f"{f.name}={_outline(getattr(value, f.name))}" for f in fields(value) if f.repr]
    return f"{type(value).__name__}({', '.join(told)})"


def _outline(part: Any) -> str:
    if isinstance(part, Tensor):
        return f"{part.item():g}" if part.dim() == 0 else f"<{', '.join(map(str, part.shape))}>"
    if isinstance(part, float):
        return f"{part:g}"
    return repr(part)


def assembled(kind: type[V], **parts: Any) -> V:
    """A value of this dataclass with these fields, without its constructor's checks: what is computed may be NaN."""
    made = object.__new__(kind)
    for name, part in parts.items():
        object.__setattr__(made, name, part)
    if hasattr(made, "_derive"):
        made._derive()
    return made


def tensored(value: Any) -> Any:
    """An array of numbers as a tensor; anything else as it is."""
    numbers = isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    return torch.from_numpy(np.array(value, value.dtype.newbyteorder("="), order="C")) if numbers else value


def digest(*values: object) -> str:
    """16 hex digits of SHA-256, of the values' structure and of the dtype, shape and bits of every tensor in them.

    The same in every process. Errors: TypeError for what no other process knows, such as a lambda.
    """
    found = hashlib.sha256()
    for piece in _pieces(values):
        found.update(piece)
    return found.hexdigest()[:16]


def _rebuilt(value: Any, left: Iterator[Tensor]) -> Any:
    if isinstance(value, Tensor):
        given = next(left, None)
        if given is None:
            raise ValueError("rebuild: fewer tensors were given than the value has; give one for each of its leaves")
        return given
    opened = _opened(value)
    if opened is None:
        return value
    parts, make = opened
    made = [_rebuilt(part, left) for part in parts]
    kept = all(new is old and not isinstance(old, Tensor) for new, old in zip(made, parts, strict=True))
    return value if kept else make(made)


def _pieces(value: object) -> Iterator[bytes]:
    """The value as bytes that no other value has: kinds with the names of fields, text and bits."""
    if isinstance(value, Tensor):
        yield f"{value.dtype} {tuple(value.shape)}:".encode()
        yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return
    opened, names = _opened(value), list(getattr(value, "__dataclass_fields__", ()))
    text = _text(value) if opened is None else f"{names} {len(opened[0])}"
    yield f"{_text(type(value))} {len(text)} {text}:".encode()
    for part in () if opened is None else opened[0]:
        yield from _pieces(part)


@singledispatch
def _text(value: object) -> str:
    """Of what has no parts."""
    return repr(value)


@_text.register
def _(value: type) -> str:
    return f"{value.__module__}.{value.__qualname__}"


@_text.register(FunctionType)
@_text.register(BuiltinFunctionType)
def _(value: Any) -> str:
    name = f"{value.__module__}.{value.__qualname__}"
    if "<" in name:  # what it computes may depend on what surrounds it
        raise TypeError(f"digest: {name} is known to this process alone; define it at the top of a module")
    return name


@singledispatch
def _opened(value: Any) -> Opened | None:
    """What a value is made of; None: it has no parts."""
    if _by_fields(value):
        names = [field.name for field in fields(value) if field.init]
        return [getattr(value, name) for name in names], lambda parts: assembled(
            type(value), **dict(zip(names, parts, strict=True))
        )
    found = value.__reduce_ex__(2)
    if isinstance(found, str):
        return (found,), lambda _: value
    make, args, *rest = found
    state, *entries = rest or [None]
    if any(entry is not None for entry in entries):
        raise TypeError(f"{type(value).__name__} has entries beside its fields; hold them in a tuple, list or dict")
    return (make, args, state), lambda parts: _restored(*parts)


@_opened.register(NoneType)
@_opened.register(int)
@_opened.register(float)
@_opened.register(complex)
@_opened.register(str)
@_opened.register(bytes)
@_opened.register(FunctionType)
@_opened.register(BuiltinFunctionType)
@_opened.register(type)
def _(value: object) -> None:
    """Numbers, text and names."""


@_opened.register
def _(value: list) -> Opened:
    return value, list


@_opened.register
def _(value: dict) -> Opened:
    return (*value, *value.values()), lambda parts: dict(zip(parts[: len(value)], parts[len(value) :], strict=True))


@_opened.register
def _(value: tuple) -> Opened:
    return value, lambda parts: tuple.__new__(type(value), parts)


def _by_fields(value: object) -> bool:
    kind = type(value)
    plain = kind.__reduce__ is object.__reduce__ and kind.__reduce_ex__ is object.__reduce_ex__
    return is_dataclass(kind) and plain


def _restored(make: Callable[..., Any], args: Parts, state: Any) -> Any:
    made = make(*args)
    if state is not None:
        getattr(made, "__setstate__", vars(made).update)(state)
    return made
