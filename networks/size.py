"""A network's size as papers count it: parameters, and hidden units, which are its ReLUs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


class Size(NamedTuple):
    """Trainable parameters, and ReLUs for one sample."""

    parameters: int
    relus: int


@torch.no_grad()
def size(module: nn.Module, shape: tuple[int, ...]) -> Size:
    """(sum of the parameters' entries, sum of the entries that pass through a ReLU) for one sample of this shape.

    Counts ReLUs however they are spelt, and leaves the module in the mode it was in. A module built under
    `torch.device("meta")` is counted without any memory or arithmetic.
    """
    parameters = list(module.parameters())
    example = torch.zeros(1, *shape, dtype=parameters[0].dtype, device=parameters[0].device)
    training = {part: part.training for part in module.modules()}
    counter = _Relus()
    try:
        module.eval()
        with counter:
            module(example)
    finally:
        for part, mode in training.items():
            part.training = mode
    return Size(sum(parameter.numel() for parameter in parameters if parameter.requires_grad), counter.count)


class _Relus(TorchDispatchMode):
    """Sees every ATen call below it and counts the entries that leave a ReLU."""

    count = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten.relu.default, torch.ops.aten.relu_.default):
            self.count += result.numel()
        return result
