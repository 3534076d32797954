"""x -> one tensor of outputs, of modules that take normalised inputs or return more than one tensor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from absdomain.data.normalise import Normalise
from absdomain.errors import check_type
from absdomain.runtime.modes import check_module, evaluating

Preprocessing = Mapping[str, Any]  # mean and std, numbers or one for each channel, and the channels' axis
_MOST = 6  # outputs that an error lists


class Adapted(nn.Module):
    """x -> entry `key` of module(front(x)); without a key the output as it is."""

    def __init__(self, module: nn.Module, front: nn.Module | None, key: str | int | None) -> None:
        super().__init__()
        self.module, self.front, self.key = module, front, key

    def forward(self, x: Tensor) -> Any:
        found = self.module(x if self.front is None else self.front(x))
        return found if self.key is None else entries(found)[self.key]


def adapted(
    module: nn.Module,
    example: Tensor,
    *,
    preprocessing: Preprocessing | None = None,
    output: str | int | None = None,
    caller: str = "certify",
) -> nn.Module:
    """The module itself where it takes the example (B, *shape) as it is and returns one tensor; else an `Adapted`.

    preprocessing: (x - mean) / std comes first, said as foolbox has it: dict(mean=, std=, axis=).
    output: the name or the place of the output that is meant. Without it the one called "logits", or the only one.

    Errors: ValueError for a module that does not take the example, for several outputs and none that is chosen, and for
    a preprocessing that is none.
    """
    check_module(module, caller)
    front = None if preprocessing is None else _front(preprocessing, module, caller)
    own = next((p.dtype for p in module.parameters()), example.dtype)
    device = next((p.device for p in module.parameters()), example.device)
    made = Adapted(module, front, None)
    try:
        with torch.no_grad(), evaluating(made):
            found = made(example[:1].to(device, own))
    except (RuntimeError, ValueError) as reason:
        shape = tuple(example.shape[1:])
        remedy = "give images of the shape that it takes, (N, *shape)"
        raise ValueError(
            f"{caller}: the model does not take images of {shape} in {own}: {reason}; {remedy}"
        ) from reason
    if isinstance(found, Tensor) and output is None:
        return module if front is None else made
    return Adapted(module, front, _chosen(found, output, caller))


def entries(found: Any) -> dict[str | int, Tensor]:
    """The tensors of what a module returns, by names or places: of a dict, a tuple, a named tuple or an object."""
    return {name: value for name, value in _pairs(found).items() if isinstance(value, Tensor)}


@singledispatch
def _pairs(found: Any) -> dict[str | int, Any]:
    return dict(getattr(found, "__dict__", {}))


@_pairs.register
def _(found: Tensor) -> dict[str | int, Any]:
    return {0: found}


@_pairs.register
def _(found: Mapping) -> dict[str | int, Any]:
    return dict(found)


@_pairs.register
def _(found: list) -> dict[str | int, Any]:
    return dict(enumerate(found))


@_pairs.register
def _(found: tuple) -> dict[str | int, Any]:
    named = getattr(found, "_fields", range(len(found)))
    return dict(zip(named, found, strict=True))


def _chosen(found: Any, output: str | int | None, caller: str) -> str | int:
    known = entries(found)
    key = _key(known, output)
    if key is not None:
        return key
    told = ", ".join(f"{name!r} {tuple(value.shape)}" for name, value in list(known.items())[:_MOST])
    came = f"{type(found).__name__} with {told}" if known else f"{type(found).__name__} without a tensor"
    asked = "" if output is None else f", and no {output!r}"
    remedy = "say which output is meant, as in output='logits' or output=0" if known else "return the logits"
    raise ValueError(f"{caller}: the model returns a {came}{asked}; {remedy}")


def _key(known: Mapping[str | int, Tensor], output: str | int | None) -> str | int | None:
    if output is None:
        return "logits" if "logits" in known else next(iter(known)) if len(known) == 1 else None
    if output in known:
        return output
    return list(known)[output] if isinstance(output, int) and 0 <= output < len(known) else None


def _front(given: Preprocessing, module: nn.Module, caller: str) -> Normalise:
    check_type(f"{caller}, preprocessing", given, Mapping, "give dict(mean=..., std=...)")
    unknown = sorted(map(str, given.keys() - {"mean", "std", "axis"}))
    if unknown:
        raise ValueError(
            f"{caller}: preprocessing has mean, std and axis, not {', '.join(unknown)}; do that in the model"
        )
    mean, std = (_numbers(given.get(name, default), name, caller) for name, default in (("mean", 0.0), ("std", 1.0)))
    mean, std = (row * (max(len(mean), len(std)) if len(row) == 1 else 1) for row in (mean, std))
    like = next(module.parameters(), torch.zeros(()))
    axis = given.get("axis", -1 if len(mean) == 1 else -3)
    return Normalise(mean, std, axis=axis, dtype=like.dtype).to(like.device)


def _numbers(given: Any, name: str, caller: str) -> list[float]:
    try:
        return [float(value) for value in torch.as_tensor(given, dtype=torch.float64).flatten().tolist()]
    except (TypeError, ValueError, RuntimeError) as reason:
        raise ValueError(f"{caller}: preprocessing's {name} is {given!r}; give a number, or one a channel") from reason
