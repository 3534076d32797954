"""Calls that ask for the batch's size where their definition does not are traced as they are defined.

`take_along_dim` broadcasts its arguments, for which torch compares their sizes: a program of it holds for one number of
samples. Written as `expand` and `gather` it holds for every number.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Defined(TorchFunctionMode):
    """Calls `take_along_dim` by what defines it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _WRITTEN.get(func, func)(*args, **(kwargs or {}))


def _taken(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:  # noqa: A002
    """The entries of the input that the indices name along one axis, both broadcast along the others."""
    if dim is None or input.dim() != indices.dim():
        return torch.ops.aten.take_along_dim.default(input, indices, dim)
    axis = dim % input.dim()
    sizes = [_wider(n, m) for n, m in zip(input.shape, indices.shape, strict=True)]
    source, places = ([*sizes[:axis], x.shape[axis], *sizes[axis + 1 :]] for x in (input, indices))
    return input.expand(source).gather(axis, indices.expand(places))


def _wider(one: Any, other: Any) -> Any:
    """The size of two that are broadcast; that of the batch, a symbol, is not compared."""
    return other if isinstance(one, int) and one == 1 else one


_WRITTEN: dict[Any, Any] = dict.fromkeys((torch.take_along_dim, Tensor.take_along_dim), _taken)
