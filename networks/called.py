"""Networks by text: a registered name, perhaps with options, `mlp(hidden=(50, 50))`, or one's own `module:factory`."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from torch import nn

from absdomain.data.normalise import Normalise
from absdomain.registry import find

Shape = tuple[int, ...]
Constructor = Callable[..., nn.Module]  # (shape, classes, *, normalise=None)


class NetworkError(ValueError):
    """A text names no network; it has the text, what is wrong with it, and the remedy."""


def called(text: str) -> Constructor:
    """The constructor (shape, classes, *, normalise=None) of this text.

    Errors: NetworkError; those of `registry.find` for a name that is not registered.
    """
    if ":" in text:
        return _Own(text, _imported(text))
    name, bracket, _ = text.partition("(")
    constructor: Any = find("networks", name.strip())
    if not bracket:
        return constructor
    options, takes = _options(text), [*inspect.signature(constructor).parameters][2:]
    for option in options:
        if option not in takes or option == "normalise":
            listed = ", ".join(name for name in takes if name != "normalise") or "none"
            raise NetworkError(f"--network {text!r}: {name} has no option {option!r}; its options: {listed}")
    return partial(constructor, **options)


def _options(text: str) -> dict[str, Any]:
    """The literal keyword arguments of a call."""
    try:
        match ast.parse(text, mode="eval").body:
            case ast.Call(args=[], keywords=keywords) if all(k.arg for k in keywords):
                return {str(k.arg): ast.literal_eval(k.value) for k in keywords}
    except (SyntaxError, ValueError):
        pass
    raise NetworkError(f"--network {text!r} cannot be read; write options by name, as in 'mlp(hidden=(50, 50))'")


def _imported(text: str) -> Callable[..., Any]:
    module, _, name = text.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as for `python -m`: what lies in the folder in which the command is given
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as reason:
        raise NetworkError(f"--network {text!r}: {reason}; give module:factory, as in 'mine:SmallCNN'") from reason
    if not callable(found):
        raise NetworkError(
            f"--network {text!r} is a {type(found).__name__}; name a class, or a function that makes one"
        )
    return found


@dataclass(frozen=True)
class _Own:
    """A class or function of the user's, which is given what it has parameters for: shape, classes, normalise."""

    text: str
    factory: Callable[..., Any]

    def __call__(self, shape: Shape, classes: int, *, normalise: Normalise | None = None) -> nn.Module:
        wanted = inspect.signature(self.factory).parameters
        given = {"shape": shape, "classes": classes, "normalise": normalise}
        try:
            network = self.factory(**{name: value for name, value in given.items() if name in wanted})
        except TypeError as reason:
            takes = "it may have parameters shape, classes and normalise, and all others have defaults"
            raise NetworkError(f"--network {self.text!r}: {reason}; {takes}") from reason
        if not isinstance(network, nn.Module):
            raise NetworkError(f"--network {self.text!r} makes a {type(network).__name__}; it must make an nn.Module")
        return network if normalise is None or "normalise" in wanted else nn.Sequential(normalise, network)
