"""A graph's inputs, hidden nodes and outputs as variables of Python expressions, and the property they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from absdomain.errors import PropertyError, check_type
from absdomain.graph import Graph
from absdomain.properties.declared import NAME, Declared, Network
from absdomain.properties.expression import Variables
from absdomain.properties.formula import Formula
from absdomain.properties.polynomial import HIDDEN, INPUT, OUTPUT
from absdomain.properties.property import Property, conjuncts


def variables(graph: Graph, *, hidden: Sequence[str] = (), network: str = "N") -> tuple[Variables, ...]:
    """The graph's inputs, its outputs, and its nodes of these names, in this order: `x, out = variables(graph)`.

    Of several networks each is named: `variables(f, network="f")`. Errors: ValueError for a node that is not there.
    """
    found = _network(graph, hidden, network, "" if network == "N" else f"{network}_")
    return tuple(map(Variables, (*found.inputs, *found.outputs, *found.hidden)))


def unsafe(
    formula: Formula,
    graph: Graph | Mapping[str, Graph],
    *,
    hidden: Sequence[str] | Mapping[str, Sequence[str]] = (),
) -> Property:
    """The property whose unsafe set the formula is, over what `variables` names with the same arguments.

    For several networks { name: graph }, and { name: nodes }. Errors: PropertyError for variables of something else.
    """
    check_type("unsafe, graph", graph, (Graph, Mapping), "give the graph of which the variables are, or {name: graph}")
    check_type("unsafe", formula, Formula, "write one with the variables, as in x.between(0, 1) & (out[0] > 1)")
    if isinstance(graph, Graph):
        graph, hidden = {"N": graph}, {"N": tuple(hidden)}
    nodes = hidden if isinstance(hidden, Mapping) else {}
    networks: tuple[Network, ...] = ()
    for name, one in graph.items():
        first = next((other for other, same in graph.items() if same is one), name)
        network = _network(one, nodes.get(name, ()), name, "" if name == "N" else f"{name}_")
        networks += (network if first == name else replace(network, equal_to=first),)
    declared = {(t.network, t.kind, t.name): t for t in chain.from_iterable(networks)}
    for v in sorted(formula.variables()):
        if v[:3] not in declared or v.flat >= declared[v[:3]].size:
            raise PropertyError(f"the formula speaks of {v.name}[{v.flat}] of network {v.network}, which is not among "
                                f"{', '.join(f'{t.name} {list(t.shape)}' for t in declared.values())}")  # fmt: skip
    return Property(networks, conjuncts(formula))


def _network(graph: Graph, hidden: Sequence[str], network: str, before: str) -> Network:
    check_type("variables", graph, Graph, "lower a module first: absdomain.to_graph(module, example)")
    if not NAME.fullmatch(network):
        raise ValueError(f"variables: {network!r} is not the name of a network; letters, digits and _ make one")
    shapes = {node.name: node.shape for node in graph.nodes}
    for node in hidden:
        if node not in shapes:
            raise ValueError(f"variables: no node is called {node!r}; the names are those of graph.nx")

    def declared(kind: str, letter: str, ports: Sequence[tuple[str, Sequence[int]]]) -> tuple[Declared, ...]:
        numbers = [""] if len(ports) == 1 else map(str, range(1, len(ports) + 1))
        return tuple(
            Declared(network, kind, f"{before}{letter}{number}", tuple(shape), node=name if kind == HIDDEN else None)
            for number, (name, shape) in zip(numbers, ports, strict=True)
        )

    return Network(
        network,
        declared(INPUT, "X", graph.given.shapes),
        declared(OUTPUT, "Y", graph.gives.shapes),
        declared(HIDDEN, "H", [(node, shapes[node]) for node in hidden]),
    )
