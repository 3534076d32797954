"""A graph as an nn.Module, for whom modules are asked for."""

from __future__ import annotations

import networkx
from torch import Tensor, nn

from absdomain.graph import Graph
from absdomain.kinds import Shape
from absdomain.ops.layout import Reshape
from absdomain.values import leaves, rebuild


class Evaluated(nn.Module):
    """x (B, *shape) -> graph(x), of inputs of any shape with as many entries; its tensors are the parameters."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph
        for number, tensor in enumerate(leaves(graph)):
            if tensor.is_floating_point():
                self.register_parameter(str(number), nn.Parameter(tensor.detach(), requires_grad=False))
            else:
                self.register_buffer(str(number), tensor.detach())

    def graph(self, shape: Shape) -> Graph:
        """The graph with the present parameters, of inputs of this shape."""
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
