"""How much a subclass may override: the hooks of the three classes that plug-ins derive from, read from the classes.

A hook is a public name, or a dunder method, that a class or a base of it in the library defines and that is not final.
"""

from __future__ import annotations

from typing import Any, final

import pytest

from absdomain import Domain, Region
from absdomain.kinds import Nonlinear, Op

OP = {"__call__", "after", "followed_by", "freeze", "lemma", "scaled", "shape", "shifts"}
HOOKS: dict[type, set[str]] = {
    Domain: {"lemma", "traits", "lift", "affine", "relax", "bounds", "boxes", "planes", "decide"},
    Op: OP,
    Nonlinear: OP
    | {
        "chord", "curvature", "facets", "forward_error", "image", "inf", "linearised", "lines", "pieces",
        "slope_range", "sup", "ties", "tight_slopes",
    },
    Region: {
        "any_columns", "argmin", "box", "constraints", "image", "minimum", "project", "sample", "whole",
    },
}  # fmt: skip


def hooks(cls: type) -> set[str]:
    """The names that a subclass may override."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("absdomain."):
            found |= {name: member for name, member in vars(base).items() if _may_be_overridden(name, member)}
            found |= {name: None for name in vars(base).get("__annotations__", ()) if not name.startswith("_")}
    finals = {name for base in cls.__mro__ for name, member in vars(base).items() if _is_final(member)}
    return set(found) - finals


def _may_be_overridden(name: str, member: Any) -> bool:
    if name.startswith("__") and name.endswith("__"):
        return callable(member)
    return not name.startswith("_")


def _is_final(member: Any) -> bool:
    inner = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    return bool(getattr(inner, "__final__", False))


@pytest.mark.figures
@pytest.mark.parametrize("cls", HOOKS, ids=lambda cls: cls.__name__)
def test_hooks_are_those_of_the_table(cls: type) -> None:
    print(f"{cls.__name__}: {len(HOOKS[cls])} hooks")
    assert hooks(cls) == HOOKS[cls], "a name more is a promise more: make it final or private, or write it down here"


def test_what_is_final_or_private_is_no_hook() -> None:
    class Base(Domain[Any]):
        def asked(self) -> None: ...

        @final
        def told(self) -> None: ...

        @property
        @final
        def known(self) -> int:
            return 0

        def _own(self) -> None: ...

        def __len__(self) -> int:
            return 0

    Base.__module__ = "absdomain.somewhere"
    assert hooks(Base) - hooks(Domain) == {"asked", "__len__"}
