"""Tensors that are looked up at each use, so that one lowering serves a whole training run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Live:
    """A tensor read anew at each use: a module's parameter, or an expression of parameters such as `w.t()`.

    Pickled, it is its present value: another process has no module to read.
    """

    read: Callable[[], Tensor]

    def __reduce__(self) -> tuple[Callable[[Tensor], Tensor], tuple[Tensor]]:
        return _present, (self.read().detach().clone(),)


def _present(value: Tensor) -> Tensor:
    return value


class LiveField:
    """A dataclass field that is given a Tensor, a Live or None, and reads as the tensor's present value."""

    def __init__(self, *, required: bool = False) -> None:
        self.required = required

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.slot = f"_{name}"

    def __get__(self, op: Any, owner: type | None = None) -> Any:
        if op is None:  # the dataclass decorator asks for the default
            if self.required:
                raise AttributeError(self.name)
            return None
        value = getattr(op, self.slot)
        return value.read() if type(value) is Live else value

    def __set__(self, op: Any, value: Tensor | Live | None) -> None:
        object.__setattr__(op, self.slot, value)


def derived(read: Callable[[Any], Tensor | None]) -> Any:
    """A property that stands for a field of the base class: computed at each use, and typed as that field is."""
    return property(read)


def live(*, required: bool = False) -> Any:
    """A LiveField, typed so that the annotation beside it stands for what reading it gives."""
    return LiveField(required=required)
