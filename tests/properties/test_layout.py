"""Where the entries stand of which a property speaks: several inputs, outputs and networks, and what does not fit."""

import networkx
import pytest
import torch

from absdomain import Graph, Node, PropertyError, queries, unsafe, variables
from absdomain.ops import Dense, ReLU, Sum
from absdomain.vnnlib import parse_property
from tests.properties.networks import network


def test_several_networks_are_one_graph() -> None:
    f, g = network(seed=1), network(seed=2)
    (xf, yf), (xg, yg) = variables(f, network="f"), variables(g, network="g")
    apart = unsafe(xf.between(0, 1) & xg.between(-1, 2) & (yf[0] - yg[1] > 1), {"f": f, "g": g})
    (query,) = queries(apart, {"f": f, "g": g})
    points = torch.rand(16, 4)
    rows = query.graph(points) @ query.spec.C[0].T + query.spec.d
    assert torch.allclose(rows[:, 0], 1 - f(points[:, :2])[:, 0] + g(points[:, 2:])[:, 1], atol=1e-5)
    assert query.region.lower.tolist() == [[0, 0, -1, -1]]

    shared = unsafe(xf.between(0, 1) & (xf[0] == xg[0]) & (xf[1] == xg[1]) & (yf[0] - yg[1] > 1), {"f": f, "g": g})
    (query,) = queries(shared, {"f": f, "g": g})
    assert query.region.lower.shape == (1, 2)
    rows = query.graph(points[:, :2]) @ query.spec.C[0].T + query.spec.d
    assert torch.allclose(rows[:, 0], 1 - f(points[:, :2])[:, 0] + g(points[:, :2])[:, 1], atol=1e-5)
    values = query.values(points[0, :2])
    assert torch.equal(values["f_X"], values["g_X"])
    assert torch.allclose(values["g_Y"], g(points[:1, :2])[0], atol=1e-6)
    assert parse_property(shared.text(), {"f": f, "g": g}) == shared


def test_an_equal_network_needs_no_graph_of_its_own() -> None:
    text = """(vnnlib-version <2.0>)
(declare-network f (declare-input A real [1,2]) (declare-output B real [3]))
(declare-network g (equal-to f) (declare-input C real [1,2]) (declare-output D real [3]))
(assert (and (<= A[0,0] 1) (>= A[0,0] 0) (<= A[0,1] 1) (>= A[0,1] 0)))
(assert (and (== A[0,1] C[0,1]) (<= C[0,0] 1) (>= C[0,0] A[0,0])))
(assert (< D[0] B[0]))"""
    graph = network(seed=3)
    (query,) = queries(parse_property(text, graph), graph)
    assert query.region.lower.shape == (1, 3)
    points = torch.rand(16, 3)
    z = query.graph(points) @ query.spec.C[0].T + query.spec.d
    second = torch.stack([points[:, 2], points[:, 1]], 1)
    wanted = torch.stack([graph(second)[:, 0] - graph(points[:, :2])[:, 0], points[:, 0] - points[:, 2]], 1)
    assert torch.allclose(z.sort(1).values, wanted.sort(1).values, atol=1e-5)
    assert parse_property(text, {"f": graph, "g": graph}).networks[1].equal_to == "f"
    with pytest.raises(PropertyError, match="network g is equal-to f: give the same network"):
        parse_property(text, {"f": graph, "g": network(seed=4)})


@pytest.mark.parametrize(
    ("shape", "node", "fragment"),
    [("[1,3]", "relu", "inputs of 3 entries"), ("[2]", "rely", "no node 'rely'; it has relu"), ("[2]", "x", "but is")],
)
def test_declarations_that_are_not_the_graphs(shape: str, node: str, fragment: str) -> None:
    text = f"""(vnnlib-version <2.0>)
(declare-network f (declare-input X real {shape})
  (declare-hidden H real [4] "{node}") (declare-output Y real [3]))"""
    with pytest.raises(PropertyError, match=fragment) as raised:
        parse_property(text, network())
    assert raised.value.line in (2, 3)


@pytest.mark.parametrize(
    ("shape", "index", "fits"),
    [("[1,2,3]", "0,0,2", True), ("[2,3]", "0,2", True), ("[6]", "2", True), ("[3,2]", "2,0", False)],
)
def test_axes_are_declared_in_the_graphs_order(shape: str, index: str, fits: bool) -> None:
    """X[2,0] of [3, 2] would name another entry than the graph's."""
    graph = Graph.of([Node("x", None, (), (2, 3))]).then(ReLU())
    text = f"""(vnnlib-version <2.0>)
(declare-network f (declare-input X real {shape}) (declare-output Y real {shape}))
(assert (>= X[{index}] 0))"""
    if fits:
        assert parse_property(text, graph).networks[0].inputs[0].size == 6
    else:
        with pytest.raises(PropertyError, match=r"X of shape \[3, 2\], but the network has x \[2, 3\]"):
            parse_property(text, graph)


def test_version_1_may_leave_outputs_out() -> None:
    text = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
    assert parse_property(text, network()).version == "1.0"
    with pytest.raises(PropertyError, match="outputs of 4 entries"):
        parse_property(text + "".join(f"(declare-const Y_{i} Real)" for i in range(1, 4)), network())


def test_a_graph_of_several_inputs_and_outputs() -> None:
    digraph: networkx.DiGraph[str] = networkx.DiGraph()
    digraph.add_node("a", shape=(2,))
    digraph.add_node("b", shape=(2,))
    for name, start in (("u", "a"), ("v", "b")):
        digraph.add_node(name, op=Dense(torch.randn(1, 3, 2), torch.randn(1, 3)))
        digraph.add_edge(start, name)
    digraph.add_node("s", op=Sum((1,), keepdim=True))
    digraph.add_edge("u", "s")
    graph = Graph(digraph, ["s", "v"])
    text = """(vnnlib-version <2.0>)
(declare-network f (declare-input A real [2]) (declare-input B real [1,2]) (declare-hidden U real [3] "u")
  (declare-output S real [1,1]) (declare-output V real [3]))
(assert (and (<= A[0] 1) (>= A[0] 0) (<= A[1] 1) (>= A[1] 0) (<= B[0,0] 3) (>= B[0,0] 2) (<= B[0,1] 3) (>= B[0,1] 2)))
(assert (<= (+ S[0,0] (* 2 V[2]) (* -1 U[1])) B[0,1]))"""
    (query,) = queries(parse_property(text, graph), graph)
    assert query.region.upper.tolist() == [[1, 1, 3, 3]]
    points = torch.rand(8, 4)
    values = query.values(points[0])
    z = query.graph(points) @ query.spec.C[0].T + query.spec.d
    outputs, u = graph.named(graph(points[:1])), graph.ending_at(["u"])(points[:1])
    for name, wanted in (("S", outputs["s"]), ("V", outputs["v"]), ("U", u), ("B", points[:1, 2:])):
        assert torch.allclose(values[name], wanted.flatten(), atol=1e-6), name
    wanted = values["S"][0] + 2 * values["V"][2] - values["U"][1] - values["B"][1]
    assert torch.allclose(z[0, 0], wanted, atol=1e-5)
    assert torch.allclose(values["S"][0], values["U"].sum(), atol=1e-5)
