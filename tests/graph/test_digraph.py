"""Graphs by networkx: written by hand, rewritten, taken apart, and read back."""

from collections.abc import Callable
from random import Random

import networkx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networkx import DiGraph
from torch import Tensor, nn

from absdomain import Graph, Linf, Node, parse, to_graph
from absdomain.domains import Box, DeepPoly, Zonotope
from absdomain.laws import strategies
from absdomain.laws.drawing import normal
from absdomain.laws.script import expression
from absdomain.ops import Add, Concat, Dense, Product, ReLU, Scale
from tests.written import Written

W = torch.tensor([[1.0, 1.0], [1.0, -1.0]])


def by_hand() -> DiGraph:
    """x -> relu(W x) + x."""
    net = DiGraph()
    net.add_node("x", shape=(2,))
    net.add_node("z", op=Dense(W))
    net.add_node("h", op=ReLU())
    net.add_node("y", op=Add())
    networkx.add_path(net, ["x", "z", "h"])
    net.add_edge("h", "y", args=(0,))
    net.add_edge("x", "y", args=(1,))
    return net


def points(graph: Graph, count: int = 5) -> Tensor:
    return normal(Random(9), count, *graph.input.shape)


def alike(one: Graph, other: Graph) -> bool:
    """Whether the graphs differ in the names and the order of their nodes alone."""

    def node(a: dict, b: dict) -> bool:  # type: ignore[type-arg]
        return bool(a["shape"] == b["shape"] and expression(a["op"]) == expression(b["op"]))

    return bool(networkx.is_isomorphic(one.nx, other.nx, node, lambda a, b: bool(a["args"] == b["args"])))


def test_a_network_that_is_written_by_hand_is_bounded() -> None:
    graph = Graph(by_hand())
    assert [(node.name, node.args, node.shape) for node in graph.nodes] == [
        ("x", (), (2,)), ("z", (0,), (2,)), ("h", (1,), (2,)), ("y", (2, 0), (2,))]  # fmt: skip
    x = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(graph(x), (x @ W.t()).relu() + x)
    region = Linf(torch.tensor([[2.0, 0.0]]), 0.5)  # where z > 0, and y = W x + x = (2 x_0 + x_1, x_0)
    for domain, radius in ((Box(), 1.5), (DeepPoly(), 0.5), (Zonotope(), 0.5)):
        trace = domain.propagate(graph, region)
        torch.testing.assert_close(trace.lower, torch.tensor([[4 - 1.5, 2 - radius]]))
        torch.testing.assert_close(trace.upper, torch.tensor([[4 + 1.5, 2 + radius]]))


def test_it_is_that_of_a_module() -> None:
    module = Written(lambda m, x: m.first(x).relu() + x, first=nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        module.first.weight.copy_(W)
    lowered, written = to_graph(module, torch.zeros(1, 2)), Graph(by_hand())
    assert alike(lowered, written)
    assert not alike(written.with_ops({"z": Dense(2 * W)}), written)
    swapped = by_hand()
    swapped.edges["h", "y"]["args"], swapped.edges["x", "y"]["args"] = (1,), (0,)
    assert not alike(Graph(swapped), written)


def test_a_node_is_put_in_and_one_that_does_nothing_is_taken_out() -> None:
    graph = Graph(by_hand()).then(Scale(torch.ones(())), "same").then(Dense(W), "last")
    net = DiGraph(graph.nx)
    net.remove_edge("z", "h")
    net.add_node("half", op=Scale(torch.tensor(0.5)))
    networkx.add_path(net, ["z", "half", "h"])
    (source,), (reader,) = net.predecessors("same"), net.successors("same")
    net.add_edge(source, reader, **net.edges["same", reader])
    net.remove_node("same")
    other, x = Graph(net), torch.randn(5, 2)
    assert [node.name for node in other.nodes] == ["x", "z", "half", "h", "y", "last"]
    torch.testing.assert_close(other(x), ((0.5 * x @ W.t()).relu() + x) @ W.t())
    assert [node.name for node in graph.nodes] == ["x", "z", "h", "y", "same", "last"]  # it is a copy


def test_nx_tells_ops_shapes_and_argument_positions_and_cannot_be_changed() -> None:
    graph = Graph.of([*Graph(by_hand()).nodes, Node("twice", Concat(1), (0, 3, 0), (6,))])
    assert graph.nx.nodes["h"]["shape"] == (2,)
    assert graph.nx.edges["x", "twice"]["args"] == (0, 2)
    assert graph.nx.edges["y", "twice"]["args"] == (1,)
    assert list(map(list, networkx.topological_generations(graph.nx))) == [["x"], ["z"], ["h"], ["y"], ["twice"]]
    with pytest.raises(networkx.NetworkXError, match="Frozen"):
        graph.nx.add_node("more")


def changed(change: Callable[[DiGraph], object]) -> DiGraph:
    net = by_hand()
    change(net)
    return net


WRONG = {
    "a cycle": (lambda n: n.add_edge("y", "z", args=(1,)), r"a cycle, 'z' -> 'h' -> 'y' -> 'z'"),
    "no node": (lambda n: n.clear(), "no node"),
    "no input": (lambda n: n.remove_node("x"), r"node 'z' \(Dense\) reads nothing"),
    "two inputs": (lambda n: n.add_edge("w", "y", args=(2,)), "input 'w' needs a shape"),
    "an op for the input": (lambda n: n.add_node("x", op=ReLU()), r"'x' \(ReLU\) reads nothing"),
    "two outputs": (lambda n: n.add_edge("z", "v"), "nobody reads 'y', 'v'; name the output"),
    "no op": (lambda n: n.add_node("h", op=None), "node 'h', which reads 'z', needs an op"),
    "a module for an op": (lambda n: n.add_node("h", op=nn.ReLU()), r"op of node 'h' is ReLU\(\)"),
    "a missing argument": (lambda n: n.add_edge("x", "y", args=(2,)), r"'y' has arguments \[0, 2\], but no argument 1"),
    "the same argument": (lambda n: n.add_edge("x", "y", args=(0,)), "'h' and 'x' are argument 0 of node 'y'"),
    "no position": (lambda n: n.add_edge("x", "y", args=()), r"edge from 'x' to 'y' has args=\(\)"),
    "a number for positions": (lambda n: n.add_edge("x", "y", args=1), "edge from 'x' to 'y' has args=1"),
    "no shape": (lambda n: n.nodes["x"].clear(), "input 'x' needs a shape"),
    "another shape": (lambda n: n.add_node("h", shape=(3,)), r"'h' has shape \(3,\), but ReLU makes \(2,\)"),
    "a matrix of another size": (
        lambda n: n.add_node("z", op=Dense(W[:, :1])),
        r"'z' \(Dense\) reads shapes \(2,\).*1 ent",
    ),
    "arguments of two sizes": (
        lambda n: n.add_node("z", op=Dense(W[:1])),
        r"'y' \(Add\) reads shapes \(1,\) and \(2,\)",
    ),
    "an op for other shapes": (lambda n: n.add_node("x", shape=(3,)), r"'z' \(Dense\) reads shapes \(3,\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_network_is_refused_with_the_node_s_name(name: str) -> None:
    change, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        Graph(changed(change))


@pytest.mark.parametrize("given", [[Node("x", None, (), (1,))], networkx.MultiDiGraph(), networkx.Graph()])
def test_what_is_no_digraph_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match="DiGraph is needed"):
        Graph(given)  # type: ignore[arg-type]


def test_what_the_named_output_does_not_need_is_left_out() -> None:
    net = changed(lambda n: n.add_edge("z", "v"))
    assert [node.name for node in Graph(net, "y").nodes] == ["x", "z", "h", "y"]
    assert [node.name for node in Graph(net, "h").nodes] == ["x", "z", "h"]
    with pytest.raises(ValueError, match="'nowhere'"):
        Graph(net, "nowhere")


@given(strategies.graphs())
def test_nx_and_back_is_the_same_graph(graph: Graph) -> None:
    back = Graph(graph.nx)
    assert [vars(node) for node in back.nodes] == [vars(node) for node in graph.nodes]
    assert [vars(step) for step in back.schedule] == [vars(step) for step in graph.schedule]
    for text in ("box", "box & deeppoly"):
        one, other = (parse(text).propagate(g, Linf(points(graph, 2), 0.1)) for g in (graph, back))
        torch.testing.assert_close(one.lower, other.lower, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(one.upper, other.upper, rtol=0, atol=0, equal_nan=True)


@given(strategies.graphs(), st.randoms())
def test_the_order_in_which_nodes_are_added_changes_no_value(graph: Graph, rng: Random) -> None:
    names, edges = list(graph.nx), list(graph.nx.edges)
    rng.shuffle(names)
    rng.shuffle(edges)
    net = DiGraph()
    net.add_nodes_from((name, graph.nx.nodes[name]) for name in names)
    net.add_edges_from((*edge, graph.nx.edges[edge]) for edge in edges)
    other, x = Graph(net), points(graph)
    torch.testing.assert_close(other(x), graph(x), rtol=0, atol=0, equal_nan=True)
    region = Linf(x, 0.1)
    one, two = (parse("box").propagate(g, region) for g in (graph, other))
    torch.testing.assert_close(one.lower, two.lower, rtol=0, atol=0, equal_nan=True)
    place = {node.name: number for number, node in enumerate(other.nodes)}
    assert all(place[a] < place[b] for a, b in edges)


@given(strategies.graphs(), st.data())
def test_a_graph_is_its_end_after_its_beginning(graph: Graph, data: st.DataObject) -> None:
    above, through = networkx.immediate_dominators(graph.nx, graph.input.name), [graph.output.name]
    while through[-1] != graph.input.name:
        through.append(above[through[-1]])
    middle, x = data.draw(st.sampled_from(through)), points(graph)
    begin, end = graph.subgraph(end=middle), graph.subgraph(start=middle)
    assert begin.output.name == end.input.name == middle
    torch.testing.assert_close(end(begin(x)), graph(x), rtol=0, atol=0, equal_nan=True)
    for name in graph.nx.nodes - set(through):
        with pytest.raises(ValueError, match=r"does not come through .* start there") as caught:
            graph.subgraph(start=name)
        assert repr(next(p for p in through if p in networkx.ancestors(graph.nx, name))) in str(caught.value)


def test_bounds_of_a_suffix() -> None:
    graph = Graph(by_hand()).then(Dense(W), "u").then(ReLU(), "v").then(Dense(W), "w")
    suffix = graph.subgraph("u", "v")
    assert [(node.name, node.op is None, node.args) for node in suffix.nodes] == [("u", True, ()), ("v", False, (0,))]
    trace = Box().propagate(suffix, Linf(torch.tensor([[1.0, -1.0]]), 2.0))
    assert (trace.lower.tolist(), trace.upper.tolist()) == ([[0.0, 0.0]], [[3.0, 1.0]])
    assert repr(graph.subgraph("z", "z")) == "Graph(0 ops, (2,) -> (2,))"


@pytest.mark.parametrize(("start", "end", "message"), [
    ("z", "y", "'y' reads 'x', which does not come through 'z'; all that 'y' needs comes through 'x', start there"),
    ("h", "z", "'z' does not depend on 'h'"),
    ("q", "y", "no node is called 'q'"),
    ("x", "q", "no node is called 'q'"),
])  # fmt: skip
def test_a_part_with_another_input_is_refused(start: str, end: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Graph(by_hand()).subgraph(start, end)


def test_an_argument_may_be_read_twice() -> None:
    net = DiGraph()
    net.add_node("x", shape=(2,))
    net.add_node("y", op=Product())
    net.add_edge("x", "y", args=(0, 1))
    torch.testing.assert_close(Graph(net)(torch.tensor([[3.0, -2.0]])), torch.tensor([[9.0, 4.0]]))
