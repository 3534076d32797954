"""The most bytes that the tensors made by a piece of work hold at once, on any device."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class _Watch(TorchDispatchMode):
    """Sees each operation's results: a storage counts from its first tensor to the end of its last."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.peak = 0, 0
        self.tensors = Counter[int]()  # by address

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_address(t) for t in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        found = func(*args, **(kwargs or {}))
        for t in torch.utils._pytree.tree_leaves(found):
            if isinstance(t, Tensor) and t.device.type != "meta":
                self._seen(t, given)
        return found

    def _seen(self, t: Tensor, given: set[int]) -> None:
        address = _address(t)
        if self.tensors[address] == 0 and address in given:
            return  # a view of what was there before
        size = t.untyped_storage().nbytes()
        if self.tensors[address] == 0:
            self.held += size
            self.peak = max(self.peak, self.held)
        self.tensors[address] += 1
        weakref.finalize(t, self._gone, address, size)

    def _gone(self, address: int, size: int) -> None:
        self.tensors[address] -= 1
        if self.tensors[address] == 0:
            self.held -= size


def _address(t: Tensor) -> int:
    return 0 if t.device.type == "meta" else t.untyped_storage().data_ptr()


def peak_bytes(work: Callable[[], object]) -> int:
    """Bytes of tensors that `work` makes, at the peak, without what it was given and what a kernel holds inside."""
    with _Watch() as watch:
        work()
    return watch.peak
