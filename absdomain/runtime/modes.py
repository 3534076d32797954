"""A module in evaluation mode for a while, and copies of modules."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_TRACED: dict[type, str] = {
    torch.jit.ScriptModule: "a ScriptModule",
    torch.export.ExportedProgram: "an ExportedProgram",
}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and each of its parts in its own mode again afterwards.

    Errors: TypeError for a module of an exported program, which has one mode for good.
    """
    modes = {part: part.training for part in module.modules()}
    try:
        _evaluate(module)
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _evaluate(module: nn.Module) -> None:
    try:
        module.eval()
    except NotImplementedError as error:  # as ExportedProgram.module() says, whose operations are of one mode
        raise TypeError(
            f"a {type(module).__name__} that has no evaluation mode, or a part that has none ({error}): an exported "
            "program cannot be traced again; give the nn.Module that it was made from"
        ) from error


def check_module(given: object, who: str) -> None:
    """TypeError unless this is an nn.Module whose operations can be traced."""
    for kind, name in _TRACED.items():
        if isinstance(given, kind):
            raise TypeError(f"{who}: {name} cannot be traced again; give the nn.Module that it was made from")
    if not isinstance(given, nn.Module):
        came = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
        told = f"{who}: takes an nn.Module, got {came}; a function is one if its forward calls it"
        raise TypeError(
            f"{told}, and an ONNX file is read by absdomain.onnx_to_graph, of which certify takes the graph"
        )


def copied(module: nn.Module) -> nn.Module:
    """A deep copy, of modules too that hold tensors which a hook has computed, as old-style weight norm does.

    Such a tensor has a history and cannot be copied with it: the copy holds its value until the hook runs again.
    """
    computed = {id(t): t.detach().clone() for part in module.modules() for t in _tensors(vars(part)) if not t.is_leaf}
    return copy.deepcopy(module, computed)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a module's attributes, and in the lists and dictionaries among them."""
    match value:
        case Tensor():
            yield value
        case dict():
            yield from _tensors(list(value.values()))
        case list() | tuple():
            for part in value:
                yield from _tensors(part)
