"""Modules for the lowering's tests, and what is asked of every graph that a module becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from absdomain import Graph, Linf, freeze, to_graph
from absdomain.domains import Box, DeepPoly
from absdomain.kinds import Op


class Written(nn.Module):
    """A module whose forward is the given function of itself and x; the parts are its submodules and parameters."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **parts: Any) -> None:
        super().__init__()
        self.written = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.written(self, x)


def parameter(*shape: int) -> nn.Parameter:
    """A parameter of normal entries."""
    return nn.Parameter(torch.randn(*shape))


def operations(graph: Graph) -> list[tuple[type[Op], tuple[int, ...]]]:
    """The kinds of the ops with the places of their arguments."""
    return [(type(node.op), node.args) for node in graph.nodes[1:] if node.op is not None]


def names(graph: Graph) -> list[str]:
    """The nodes' names."""
    return [node.name for node in graph.nodes]


def same(module: nn.Module, *shape: int) -> Graph:
    """The graph in float64, after it has been held against the module and its bounds against the module's values."""
    module = module.double().eval()
    graph = to_graph(module, torch.randn(3, *shape, dtype=torch.float64))
    frozen = freeze(graph)
    assert graph.input.shape == shape
    with torch.no_grad():
        for batch in (1, 2, 5):
            x = 3 * torch.randn(batch, *shape, dtype=torch.float64)
            value = module(x.clone())
            for lowered in (graph, frozen):
                torch.testing.assert_close(lowered(x), value, rtol=1e-10, atol=1e-10)
            assert graph.output.shape == tuple(value.shape[1:])
        region = Linf(x, 0.1)
        points = torch.stack([module(p) for p in region.sample(6)])
        for domain in (Box(), DeepPoly()):
            for lowered in (graph, frozen):
                trace = domain.propagate(lowered, region)
                assert (trace.lower <= points + 1e-9).all(), domain
                assert (points <= trace.upper + 1e-9).all(), domain
    return graph
