"""Where the entries that a property speaks of stand in its networks' graphs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import prod

import networkx
import torch
from torch import Tensor

from absdomain.errors import PropertyError, check_type
from absdomain.graph import Graph
from absdomain.graph.digraph import add
from absdomain.kinds.op import wide
from absdomain.ops import Gather
from absdomain.properties.declared import Declared, Network
from absdomain.properties.normal import Normal
from absdomain.properties.polynomial import HIDDEN, INPUT, OUTPUT, Variable
from absdomain.properties.property import Property

JOINT = "inputs"  # the node of all networks' inputs


@dataclass(frozen=True)
class Layout:
    """One graph of all that is read, as one vector, and where in it each tensor begins.

    `positions` has for each declared input the entries of the graph's flat argument that it reads.
    """

    graph: Graph
    inputs: tuple[Variable, ...]  # the entries of its argument
    starts: Mapping[str, int]  # of declared tensors in the graph's flat value, of those that are read
    joint: int | None  # where the argument begins in it, if it is read
    positions: Mapping[str, tuple[int, ...]]

    def inputs_of(self, x: Tensor) -> dict[str, Tensor]:
        """Declared inputs by name at an argument x of the graph."""
        flat = x.detach().flatten()
        return {name: flat[torch.tensor(at, device=x.device)] for name, at in self.positions.items()}

    def named(self, x: Tensor, z: Tensor, given: Property) -> dict[str, Tensor]:
        """Declared tensors by name at an argument x of the graph, where its value is z, or begins with it."""
        value = z.detach().flatten()
        return self.inputs_of(x) | {name: value[at : at + given.tensors[name].size] for name, at in self.starts.items()}

    def column(self, v: Variable) -> int:
        """The place of an entry in the graph's flat value."""
        if v.kind != INPUT:
            return self.starts[v.name] + v.flat
        assert self.joint is not None
        return self.joint + self.positions[v.name][v.flat]


def assigned(given: Property, graphs: Graph | Mapping[str, Graph]) -> dict[str, Graph]:
    """The graph of each network; one that is equal to another has that one's.

    Errors: PropertyError where one is missing, is not asked for, or has inputs or outputs of other sizes.
    """
    check_type("queries", graphs, (Graph, Mapping), "give the property's graph, or {name: graph}")
    names = [network.name for network in given.networks]
    if isinstance(graphs, Graph):
        own = [network.name for network in given.networks if network.equal_to is None]
        if len(own) > 1:
            raise PropertyError(f"the property has networks {', '.join(own)}: give {{name: graph}} of each")
        graphs = {own[0]: graphs}
    unknown = [name for name in graphs if name not in names]
    if unknown:
        raise PropertyError(f"the property has no network {unknown[0]!r}; its networks are {', '.join(names)}")
    found: dict[str, Graph] = {}
    for network in given.networks:
        equal = found.get(network.equal_to or "")
        graph = graphs.get(network.name, equal)
        if equal is not None and graph is not equal:
            told = f"network {network.name} is equal-to {network.equal_to}: give the same network for both, or"
            raise PropertyError(f"{told} {network.equal_to}'s alone; if it is another one, declare it without equal-to")
        if graph is None:
            raise PropertyError(f"no graph is given for network {network.name}")
        _check(given, network, graph)
        found[network.name] = graph
    return found


def _check(given: Property, network: Network, graph: Graph) -> None:
    """The declared sizes are the graph's; 1.0 has one X and one Y for all, of which it may leave outputs out."""
    for tensors, ports, kind in ((network.inputs, graph.given, INPUT), (network.outputs, graph.gives, OUTPUT)):
        declared, real = [t.size for t in tensors], [prod(shape) for _, shape in ports.shapes]
        has = f"the network has {', '.join(f'{name} {list(shape)}' for name, shape in ports.shapes)}"
        if given.version == "1.0":
            real = [sum(real)]
        fewer = given.version == "1.0" and kind == OUTPUT and declared[0] <= real[0]
        if declared != real and not fewer:
            told = f"{network.name} is declared with {kind}s of {_list(declared)} entries, but {has}"
            raise given.declared_at(tensors[0].variable(0), told)
        for tensor, (_, own) in zip(tensors, ports.shapes, strict=False):
            if len(wide(tensor.shape)) > 1 and wide(tensor.shape) != wide(own):  # indices would name others
                told = f"{network.name} is declared with {tensor.name} of shape {list(tensor.shape)}, but {has}"
                raise given.declared_at(tensor.variable(0), told)
    for tensor in network.hidden:
        nodes = {node.name: node for node in graph.nodes}
        if tensor.node not in nodes:
            close = get_close_matches(tensor.node or "", nodes, 3)
            raise given.declared_at(
                tensor.variable(0),
                f"the network has no node {tensor.node!r}" + (f"; it has {', '.join(close)}" if close else ""),
            )
        if prod(nodes[tensor.node].shape) != tensor.size:
            shape = list(nodes[tensor.node].shape)
            raise given.declared_at(
                tensor.variable(0), f"{tensor.name} is declared as {list(tensor.shape)}, but is {shape}"
            )


def laid_out(given: Property, form: Normal, graphs: Mapping[str, Graph], read: Collection[Variable]) -> Layout:
    """The layout in which these variables are read, from the inputs that stand for all."""
    names = sorted({v.name for v in read})
    tensors = [given.tensors[name] for name in names if given.tensors[name].kind != INPUT]
    with_inputs = any(v.kind == INPUT for v in read)
    place = {v: i for i, v in enumerate(form.inputs)}
    positions = {
        tensor.name: tuple(place[form.shared.get(v, v)] for v in map(tensor.variable, range(tensor.size)))
        for network in given.networks
        for tensor in network.inputs
    }
    plain = len(given.networks) == 1 and not form.shared
    if plain:
        graph = next(iter(graphs.values()))
        start, wanted = graph.input.name, [_node(graph, tensor) for tensor in tensors]
    else:
        graph = _together(given, graphs, positions, len(form.inputs))
        start, wanted = JOINT, [f"{tensor.network}/{_node(graphs[tensor.network], tensor)}" for tensor in tensors]
    ends = list(dict.fromkeys(([start] if with_inputs else []) + wanted)) or [graph.output.name]
    ending = graph if ends == [graph.output.name] else graph.ending_at(ends)
    begins = {name: at for name, _, at in ending.gives.windows()} if len(ends) > 1 else {ends[0]: 0}
    starts = {tensor.name: begins[node] + _offset(given, tensor) for tensor, node in zip(tensors, wanted, strict=True)}
    return Layout(ending, form.inputs, starts, begins[start] if with_inputs else None, positions)


def _node(graph: Graph, tensor: Declared) -> str:
    """The node whose activation, or a window of it, the tensor is."""
    return tensor.node if tensor.kind == HIDDEN and tensor.node is not None else graph.output.name


def _offset(given: Property, tensor: Declared) -> int:
    """Where a tensor begins in its node: outputs follow each other."""
    if tensor.kind == HIDDEN:
        return 0
    network = next(network for network in given.networks if network.name == tensor.network)
    return sum(other.size for other in network.outputs[: network.outputs.index(tensor)])


def _together(given: Property, graphs: Mapping[str, Graph], positions: Mapping[str, Sequence[int]], size: int) -> Graph:
    """The networks side by side, each reading its entries of one flat input; nodes are called NETWORK/NODE."""
    joint: networkx.DiGraph[str] = networkx.DiGraph()
    joint.add_node(JOINT, shape=(size,))
    for network in given.networks:
        graph = graphs[network.name]
        index = torch.tensor([i for tensor in network.inputs for i in positions[tensor.name]])
        for node in graph.nodes:
            op = Gather(index.reshape(node.shape)) if node.op is None else node.op
            reads = [f"{network.name}/{graph.nodes[a].name}" for a in node.args] or [JOINT]
            add(joint, f"{network.name}/{node.name}", op, node.shape, reads)
    return Graph(joint, [f"{network.name}/{graphs[network.name].output.name}" for network in given.networks])


def _list(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
