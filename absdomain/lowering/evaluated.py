"""A graph as an nn.Module, for whom modules are asked for."""

from __future__ import annotations

from math import prod

import networkx
from torch import Tensor, nn

from absdomain.graph import Graph
from absdomain.kinds import Shape
from absdomain.kinds.op import wide
from absdomain.ops.layout import Reshape
from absdomain.values import leaves, rebuild


class Evaluated(nn.Module):
    """x (B, *shape) -> graph(x), of flat inputs too, and with more axes of one entry; its tensors are parameters."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph
        for number, tensor in enumerate(leaves(graph)):
            if tensor.is_floating_point():
                self.register_parameter(str(number), nn.Parameter(tensor.detach(), requires_grad=False))
            else:
                self.register_buffer(str(number), tensor.detach())

    def graph(self, shape: Shape) -> Graph:
        """The graph with the present parameters, of inputs of this shape.

        Errors: ValueError for another number of entries, and for axes in another order, such as (H, W, C).
        """
        own, given = wide(self._graph.input.shape), wide(shape)
        if prod(own) != prod(given) or (own != given and min(len(own), len(given)) > 1):
            raise ValueError(
                f"the network takes inputs of shape {self._graph.input.shape}, and these are {shape}; "
                "give them in that shape, axes in that order"
            )
        now = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        graph = rebuild(self._graph, [now[str(number)] for number in range(len(now))])
        if shape == graph.input.shape:
            return graph
        digraph = networkx.DiGraph(graph.nx)
        name = graph.input.name
        digraph.nodes[name]["op"] = Reshape(graph.input.shape)
        digraph.add_node(f"{name}, as given", shape=shape)
        digraph.add_edge(f"{name}, as given", name, args=(0,))
        return Graph(digraph, graph.output.name)

    def forward(self, x: Tensor) -> Tensor:
        return self.graph(tuple(x.shape[1:]))(x)

    def extra_repr(self) -> str:
        return str(self._graph)
