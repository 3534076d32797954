"""Modules of others by family, with random weights: what people bring, as far as it can be imported here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, util
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Model:
    """One module and an example for it, made when it is asked for."""

    family: str
    name: str
    made: Callable[[], tuple[nn.Module, Tensor | tuple[Tensor, ...] | dict[str, Tensor]]]


FAMILIES = {  # the file here, and the library that it needs
    "layers": None,
    "papers": None,
    "torchvision": "torchvision",
    "timm": "timm",
    "transformers": "transformers",
}


def models(family: str) -> Iterator[Model]:
    """Those of a family; none where its library is not installed."""
    library = FAMILIES[family]
    if library is None or util.find_spec(library) is not None:
        listed: Any = import_module(f"benchmarks.models.of_{family}")
        yield from listed.models()
