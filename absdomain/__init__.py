"""absdomain: certified bounds and certified training of neural networks, by abstract domains that compose.

graph = absdomain.to_graph(model, x)                            # any nn.Module, lowered once
region = absdomain.Linf(x, 0.1, clip=(0, 1))                    # where the input may lie
domain = absdomain.domains.Box() & absdomain.domains.DeepPoly()
lower = domain.propagate(graph, region, absdomain.margins(y, 10)).lower   # (B, 9): all positive is a proof
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from absdomain import kinds, renamed  # noqa: F401  # old names, found by importing it
from absdomain.domain import Domain, Guided, Meet, Mix, Trace, Traits, parse
from absdomain.graph import Graph, Node, freeze
from absdomain.guarantee import Guarantee
from absdomain.linear import Bounds, Ends, Rows, bounds
from absdomain.reference import MatchedSpace, ReferenceSpace
from absdomain.region import L1, L2, CartesianProduct, Clipped, Interval, Linf, Region
from absdomain.relations import slopes
from absdomain.spec import Spec, halfspaces, margins, targeted

if TYPE_CHECKING:
    from absdomain import domains, networks, trainers
    from absdomain.branching.decide import decide
    from absdomain.branching.outcome import Outcome
    from absdomain.branching.radius import Radii, Radius, radius
    from absdomain.branching.verify import Answer
    from absdomain.certificates.verifying import verify
    from absdomain.certification import Estimate, Explanation, certify, estimate, explain, load
    from absdomain.errors import InvalidFile, MissingExtra, PropertyError, UnsupportedOp
    from absdomain.lowering import onnx_to_graph, to_graph
    from absdomain.properties import Property, queries, specify, unsafe, variables
    from absdomain.rounding import executed
    from absdomain.runtime.progress import quiet
    from absdomain.trainers import Fit, fit
    from absdomain.vnnlib import read_property

# loaded at first use: the core imports no concrete domain, network or trainer, and `import absdomain` stays quick
_LAZY = {
    "to_graph": "lowering", "onnx_to_graph": "lowering", "certify": "certification", "read_property": "vnnlib",
    "InvalidFile": "errors", "MissingExtra": "errors", "PropertyError": "errors", "UnsupportedOp": "errors",
    "Property": "properties", "queries": "properties", "specify": "properties", "unsafe": "properties",
    "variables": "properties", "Answer": "branching", "Outcome": "branching", "Radii": "branching",
    "Radius": "branching", "decide": "branching", "radius": "branching", "verify": "certificates.verifying",
    "executed": "rounding", "quiet": "runtime.progress", "Fit": "trainers", "fit": "trainers",
    "Explanation": "certification", "explain": "certification", "Estimate": "certification",
    "estimate": "certification", "load": "certification",
}  # fmt: skip
_ROOMS = ("domains", "networks", "trainers", "laws")

__all__ = [
    "L1",
    "L2",
    "Answer",
    "Bounds",
    "CartesianProduct",
    "Clipped",
    "Domain",
    "Ends",
    "Estimate",
    "Explanation",
    "Fit",
    "Graph",
    "Guarantee",
    "Guided",
    "Interval",
    "InvalidFile",
    "Linf",
    "MatchedSpace",
    "Meet",
    "MissingExtra",
    "Mix",
    "Node",
    "Outcome",
    "Property",
    "PropertyError",
    "Radii",
    "Radius",
    "ReferenceSpace",
    "Region",
    "Rows",
    "Spec",
    "Trace",
    "Traits",
    "UnsupportedOp",
    "bounds",
    "certify",
    "decide",
    "domains",
    "estimate",
    "executed",
    "explain",
    "fit",
    "freeze",
    "halfspaces",
    "kinds",
    "load",
    "margins",
    "networks",
    "onnx_to_graph",
    "parse",
    "queries",
    "quiet",
    "radius",
    "read_property",
    "slopes",
    "specify",
    "targeted",
    "to_graph",
    "trainers",
    "unsafe",
    "variables",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"absdomain.{_LAZY[name]}"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("absdomain")
    if name in _ROOMS:
        return import_module(f"absdomain.{name}")
    raise AttributeError(f"module 'absdomain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS, "__version__"})
