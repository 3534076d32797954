"""Truth values of a module's own numbers: `if (std == 0).any(): raise ...` has one answer, whatever the input is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.weak import WeakIdKeyDictionary

_MADE = (torch.tensor, torch.as_tensor)
_KEPT = {  # what is computed again of numbers that are known
    "__eq__", "__ge__", "__getitem__", "__gt__", "__le__", "__lt__", "__ne__", "abs", "all", "any", "eq", "ge", "gt",
    "isfinite", "isnan", "le", "logical_not", "lt", "ne", "numel", "reshape", "view",
}  # fmt: skip


class Told(TorchFunctionMode):
    """Follows tensors that are made of Python's numbers to a `bool`, for which torch.export has symbols without values.

    Nothing that depends on an input or a parameter is followed. Where anything is written in place all is forgotten,
    since it might be a view of a tensor that is followed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known: Any = WeakIdKeyDictionary()  # tensor -> its value

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if _writes(name, kwargs):
            self.known.clear()
        given = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
        followed = bool(given) and all(v in self.known for v in given)
        if followed and func is Tensor.__bool__:
            with _disable_current_modes():
                return bool(self.known[args[0]])
        found = func(*args, **kwargs)
        if isinstance(found, Tensor) and ((func in _MADE and not given) or (followed and name in _KEPT)):
            self.known[found] = self._again(func, args, kwargs)
        return found

    def _again(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        """The same of values, outside of the trace."""
        with _disable_current_modes():
            value: Tensor = func(*map(self._value, args), **{name: self._value(v) for name, v in kwargs.items()})
        return value

    def _value(self, v: Any) -> Any:
        return self.known[v] if isinstance(v, Tensor) else v


def _writes(name: str, kwargs: dict[str, Any]) -> bool:
    """Whether a function may write into a tensor: x.f_(), x[i] = y, x += y, x.data = y, f(..., out=x)."""
    inplace = name.endswith("_") and not name.endswith("__")
    return inplace or name in ("__setitem__", "__set__") or name.startswith("__i") or kwargs.get("out") is not None
