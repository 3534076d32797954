"""The example that a module is lowered with: batches by the names that a graph gives them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from absdomain.lowering.export import plain

Example = Tensor | Sequence[Tensor] | Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Arguments:
    """Batches by the names that a graph gives them, and how a module is called with them."""

    names: Sequence[str]
    args: Sequence[Tensor]
    named: Mapping[str, Tensor]

    @staticmethod
    def of(module: nn.Module, example: Example) -> Arguments:
        """Those of an example; ValueError for one that is none."""
        if isinstance(example, Mapping):
            found = Arguments(list(example), [], dict(example))
        else:
            args = [example] if isinstance(example, Tensor) else list(example)
            found = Arguments(["input"] if isinstance(example, Tensor) else _parameters(module, len(args)), args, {})
        tensors = found.tensors
        for t in tensors:
            if not isinstance(t, Tensor) or t.dim() < 2 or not t.is_floating_point() or t.numel() == 0:
                told = f"shape {tuple(t.shape)} of {t.dtype}" if isinstance(t, Tensor) else f"a {type(t).__name__}"
                tokens = isinstance(t, Tensor) and not t.is_floating_point()
                raise ValueError(
                    f"to_graph: the example is a batch (B, *shape) of floating point numbers, B > 0; got {told}"
                    + ("; of tokens, lower what follows their embedding ({'inputs_embeds': ...})" if tokens else "")
                )
        if len({(len(t), t.dtype) for t in tensors}) != 1:
            told = ", ".join(f"{tuple(t.shape)} of {t.dtype}" for t in tensors) or "none"
            raise ValueError(f"to_graph: batches of one size and dtype are needed, one or more; got {told}")
        return found

    @property
    def tensors(self) -> list[Tensor]:
        """In the order of the names."""
        return [*self.args, *self.named.values()]

    @property
    def first(self) -> Tensor:
        return self.tensors[0]

    def plain(self) -> Arguments:
        """Three samples of each (`export.plain`)."""
        return replace(self, args=[plain(t) for t in self.args], named={k: plain(t) for k, t in self.named.items()})

    def call(self, module: nn.Module) -> Callable[[Sequence[Tensor]], Any]:
        """Tensors in the order of the names -> what the module returns."""
        count = len(self.args)
        return lambda xs: module(*xs[:count], **dict(zip(self.named, xs[count:], strict=True)))


def _parameters(module: nn.Module, count: int) -> list[str]:
    """The names of the first parameters of `forward`, or numbered ones where it takes any number."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [name for name, one in inspect.signature(module.forward).parameters.items() if one.kind in kinds][:count]
    return [*names, *(f"input_{i}" for i in range(len(names), count))]
