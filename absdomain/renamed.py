"""Old names that still work in this version, each with a DeprecationWarning that says the new one.

A module is found under its old name by the last finder on `sys.meta_path`, which is asked only for what no other one
finds: nothing is loaded before somebody imports an old name, and what is then imported is the new module itself.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from inspect import signature
from types import ModuleType
from typing import Any, final

from torch import Tensor

from absdomain.domain import Domain, Traits
from absdomain.graph import Graph, freeze
from absdomain.kinds import Elementwise, Nonlinear, Slopes
from absdomain.linear import Bounds, Ends
from absdomain.relations import search, slopes
from absdomain.relations.search import Ascent, Search
from absdomain.relations.slopes import Rule
from absdomain.runtime.names import tell

_METHODS = (
    "advibp", "cosine", "crown_ibp", "diffai", "ibp", "natural", "robustra", "sabr", "shi", "singleprop", "wong_kolter",
)  # fmt: skip
MODULES = {
    "absdomain.algebra": "absdomain.domain",
    "absdomain.backward": "absdomain.relations.backward",
    "absdomain.bounds": "absdomain.linear.bounds",
    "absdomain.exported": "absdomain.lowering.export",
    "absdomain.expression": "absdomain.domain.expression",
    "absdomain.normalise": "absdomain.data.normalise",
    "absdomain.parallel": "absdomain.runtime.processes",
    "absdomain.rows": "absdomain.linear.rows",
    "absdomain.search": "absdomain.relations.search",
    "absdomain.slopes": "absdomain.relations.slopes",
    "absdomain.trainers.parallel": "absdomain.trainers.run.share",
    "absdomain.trainers.statistics": "absdomain.trainers.batchnorm",
    "absdomain.trainers.weights": "absdomain.trainers.kappa",
    "absdomain.verdict": "absdomain.certification.verdict",
    **{f"absdomain.trainers.{name}": f"absdomain.trainers.methods.{name}" for name in _METHODS},
    **{f"absdomain.trainers.{name}": f"absdomain.trainers.run.{name}" for name in ("folder", "loop", "session")},
}


_SUBCLASS = vars(Domain)["__init_subclass__"].__func__  # as it is without old names


class _Renamed(MetaPathFinder, Loader):
    """Finds the modules of the table, and loads the new one in the place of each."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        tell(old, MODULES[old])
        sys.modules[old] = import_module(MODULES[old])


def _from_sympy(*args: Any, **given: Any) -> Any:
    """`absdomain.ops.formula.from_sympy`, under its old name."""
    tell("absdomain.kinds.Elementwise.from_sympy", "absdomain.ops.formula.from_sympy")
    return import_module("absdomain.ops.formula").from_sympy(*args, **given)


def _freeze(graph: Graph) -> Graph:
    """`absdomain.freeze(graph)`, under its old name."""
    tell("Graph.freeze()", "absdomain.freeze(graph)")
    return freeze(graph)


def _fixed(rule: Rule) -> Rule:
    """The rule itself: a function is a slope rule."""
    tell("absdomain.slopes.Fixed(rule)", "the rule itself")
    return rule


def _optimised(start: Rule = slopes.adaptive, **given: Any) -> Search:
    """`Ascent(...)`, which DeepPoly still takes for its slopes where they start as they do by default."""
    tell("DeepPoly(slopes=Optimised(...))", "DeepPoly(search=Ascent(...))")
    if start is not slopes.adaptive:
        raise TypeError(f"Optimised(start={start.__name__}) is now DeepPoly(slopes={start.__name__}, search=Ascent())")
    return Ascent(**given)


def _support(op: Nonlinear, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
    """`op.tight_slopes(boxes)`, under its old name."""
    tell("Nonlinear.support", "Nonlinear.tight_slopes")
    return op.tight_slopes(boxes)


def _inner(op: Nonlinear, slopes: Slopes, *xs: Tensor) -> Tensor:
    """`op.linearised(slopes)(*xs)`, under its old name."""
    tell("Nonlinear.inner(slopes, *xs)", "Nonlinear.linearised(slopes)(*xs)")
    return op.linearised(slopes)(*xs)


def _declared(cls: type[Domain[Any]], /, **given: Any) -> None:
    """A domain that is written as they were: `relational` alone for `traits`, and `bounds` for both ends at once."""
    _SUBCLASS(cls, **given)
    own = vars(cls)
    if isinstance(own.get("relational"), bool):
        tell(f"{cls.__name__}.relational", "Traits.relational; give traits = Traits(relational=...)")
        cls.traits = Traits(relational=own["relational"])  # type: ignore[assignment, method-assign]
    if "bounds" in own and "ends" not in signature(own["bounds"]).parameters:
        tell(f"{cls.__name__}.bounds(e, where)", "bounds(e, where, ends)")
        both = own["bounds"]

        def bounds(self: Any, e: Any, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
            found: Bounds = both(self, e, where)
            return found

        cls.bounds = bounds  # type: ignore[method-assign]


sys.meta_path.append(_Renamed())
Elementwise.from_sympy = staticmethod(_from_sympy)  # type: ignore[attr-defined]
Domain.__init_subclass__ = classmethod(_declared)  # type: ignore[assignment]
Graph.freeze = _freeze  # type: ignore[attr-defined]
Nonlinear.inner = final(_inner)  # type: ignore[attr-defined]
Nonlinear.support = final(_support)  # type: ignore[attr-defined]
slopes.Fixed = _fixed  # type: ignore[attr-defined]
search.Optimised = _optimised  # type: ignore[attr-defined]
