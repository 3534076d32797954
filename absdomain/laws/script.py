"""A problem as a few lines of Python that pose it again."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from absdomain.graph import Graph
from absdomain.laws.examples import Example

_HEAD = """\
import torch
from absdomain import *
from absdomain.ops import *
from absdomain.ops.formula import from_sympy

torch.set_default_dtype(torch.float64)
nan, inf = float("nan"), float("inf")
"""


def script(problem: Example, domain: object) -> str:
    """Python that builds the problem and prints the domain's bounds next to the ends of sampled values.

    The domain appears by its text form if it has one that can be read back, else by its repr.
    """
    return f"""{_HEAD}
{posed(problem)}
domain = {_domain(domain)}
trace = domain.propagate(graph, region, spec)
asked = graph if spec is None else spec.of(graph)
y = torch.stack([asked(x) for x in region.sample(1000)])
print("bounds", trace.lower, trace.upper)
print("values", y.amin(0), y.amax(0))
"""


def posed(problem: Example) -> str:
    """Python that builds the problem's graph, region and specification."""
    spec = "None" if problem.spec is None else expression(problem.spec)
    return f"graph = {_graph(problem.graph)}\nregion = {expression(problem.region)}\nspec = {spec}"


def expression(value: Any) -> str:
    """A Python expression whose value is equal: numbers, tensors, and dataclasses of them."""
    if isinstance(value, Tensor):
        dtype = "" if value.dtype == torch.float64 else f", dtype={value.dtype}"
        return f"torch.tensor({value.tolist()}{dtype})" if value.numel() else f"torch.zeros({tuple(value.shape)})"
    if not hasattr(value, "__dataclass_fields__"):
        return repr(value)
    given = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
    return f"{type(value).__name__}({', '.join(f'{k}={expression(v)}' for k, v in given.items() if v is not None)})"


def _graph(graph: Graph) -> str:
    lines = [f"    Node({n.name!r}, {expression(n.op)}, {n.args}, {n.shape})," for n in graph.nodes]
    return "\n".join(["Graph.of([", *lines, "])"])


def _domain(domain: object) -> str:
    from absdomain.domain import parse

    try:
        parse(str(domain))
    except (ValueError, TypeError):
        return repr(domain)
    return f'parse("{domain}")'
