"""Names of the version before this one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any


def former(module: str, renamed: Mapping[str, str], name: str) -> Any:
    """What a module's old name stands for, with a DeprecationWarning: for its `__getattr__`.

    `renamed` has the new name, whole, for each old one. Errors: AttributeError for a name that is not there.
    """
    if name not in renamed:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    tell(f"{module}.{name}", renamed[name], above=3)
    home, _, own = renamed[name].rpartition(".")
    return getattr(import_module(home), own)


def tell(old: str, new: str, *, above: int = 2) -> None:
    """A DeprecationWarning at the caller that is so many frames above; the import system's are not counted."""
    text = f"{old} is now {new}; the old name goes with the next version"
    warnings.warn(text, DeprecationWarning, stacklevel=above + 1)
