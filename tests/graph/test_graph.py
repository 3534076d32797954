"""Graphs: what makes one, how it runs, its other forms."""

from random import Random

import networkx
import pytest
import torch
from hypothesis import given
from torch import Tensor

from absdomain import Graph, Linf, Node, parse
from absdomain.laws import drawing, strategies
from absdomain.laws.derivatives import weights
from absdomain.laws.drawing import normal
from absdomain.ops import Add, BatchNorm, Concat, Dense, ReLU, Scale
from absdomain.values import leaves

W = normal(Random(0), 3, 3)


def residual() -> Graph:
    """x -> relu(W x) + x."""
    nodes = [Node("x", None, (), (3,)), Node("z", Dense(W), (0,), (3,)), Node("h", ReLU(), (1,), (3,))]
    return Graph([*nodes, Node("sum", Add(), (2, 0), (3,))])


def points(graph: Graph, count: int = 5) -> Tensor:
    return normal(Random(9), count, *graph.input.shape)


def test_a_graph_evaluates_its_nodes_in_order() -> None:
    x = points(residual())
    torch.testing.assert_close(residual()(x), (x @ W.t()).relu() + x)


def test_the_schedule_frees_each_activation_after_its_last_reader() -> None:
    dead = {step.place: step.dead for step in residual().schedule}
    assert dead == {1: (), 2: (1,), 3: (2, 0)}


@given(strategies.graphs())
def test_every_activation_is_freed_once_after_all_its_readers(graph: Graph) -> None:
    freed: dict[int, int] = {}
    for step in graph.schedule:
        for place in step.dead:
            assert place not in freed
            freed[place] = step.place
    for step in graph.schedule:
        assert all(step.place <= freed[a] for a in step.args)
    assert len(graph.nodes) - 1 not in freed


@pytest.mark.parametrize(("nodes", "message"), [
    ([], "first node is the input"),
    ([Node("x", ReLU(), (), (1,))], "first node is the input"),
    ([Node("x", None, (), (1,)), Node("y", ReLU(), (1,), (1,))], "come before it"),
    ([Node("x", None, (), (1,)), Node("y", ReLU(), (-1,), (1,))], "come before it"),
    ([Node("x", None, (), (1,)), Node("y", ReLU(), (), (1,))], "come before it"),
    ([Node("x", None, (), (1,)), Node("y", None, (0,), (1,))], "needs an op"),
    ([Node("x", None, (), (1,)), Node("x", ReLU(), (0,), (1,))], "same name"),
])  # fmt: skip
def test_what_is_no_graph_is_refused(nodes: list[Node], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Graph(nodes)


def test_then_names_its_nodes_apart() -> None:
    graph = residual().then(ReLU()).then(ReLU()).then(ReLU(), "last")
    assert [node.name for node in graph.nodes[4:]] == ["relu_1", "relu_2", "last"]
    assert residual().then(ReLU(), "sum").output.name == "sum_1"  # taken


def test_ending_in_changes_the_last_op_alone() -> None:
    graph = residual()
    other = graph.ending_in(Concat(1))
    assert (other.output.name, other.output.shape) == ("sum", (6,))
    assert other.nodes[:-1] == graph.nodes[:-1]


def test_nx_tells_ops_shapes_and_argument_positions() -> None:
    graph = Graph([*residual().nodes, Node("twice", Concat(1), (0, 3, 0), (9,))])
    view = graph.nx
    assert networkx.is_directed_acyclic_graph(view)
    assert view.nodes["h"]["shape"] == (3,)
    assert view.edges["x", "twice"]["args"] == (0, 2)
    assert view.edges["sum", "twice"]["args"] == (1,)


@given(strategies.graphs())
def test_nx_and_back_is_the_same_function(graph: Graph) -> None:
    view = graph.nx
    alive = networkx.ancestors(view, graph.output.name) | {graph.output.name, graph.input.name}
    back = Graph.from_nx(view.subgraph(alive))
    x = points(graph)
    torch.testing.assert_close(back(x), graph(x), rtol=1e-12, atol=1e-12)
    assert {node.name for node in back.nodes} == alive


def test_two_outputs_are_refused() -> None:
    view = residual().nx
    view.add_node("stray", op=ReLU(), shape=(3,))
    view.add_edge("x", "stray", args=(0,))
    with pytest.raises(ValueError, match=r"one output is needed, found.*stray.*sum"):
        Graph.from_nx(view)


@given(strategies.graphs())
def test_a_frozen_graph_is_the_same_function_of_its_own_weights(graph: Graph) -> None:
    frozen, x = graph.freeze(), points(graph)
    before = frozen(x)
    torch.testing.assert_close(before, graph(x), rtol=1e-9, atol=1e-9)
    for t in leaves(graph):
        t.add_(1)
    assert torch.equal(frozen(x), before)


@given(strategies.graphs((*[drawing.dense] * 2, drawing.conv1d, drawing.conv2d, drawing.batch_norm, drawing.scale)))
def test_merging_affine_ops_keeps_the_function(graph: Graph) -> None:
    frozen, x = graph.freeze(), points(graph)
    torch.testing.assert_close(frozen(x), graph(x), rtol=1e-9, atol=1e-9 * float(1 + graph(x).abs().max()))
    assert len(frozen.nodes) <= len(graph.nodes)


def test_freezing_folds_batch_norm_and_readies_moduli() -> None:
    mean, variance = normal(Random(1), 3), normal(Random(2), 3).abs()
    graph = residual().then(BatchNorm(mean, variance, axes=0)).freeze()
    assert isinstance(graph.output.op, Scale)
    weight = weights(graph)[0]
    torch.testing.assert_close(graph.nodes[1].op.magnitude, weight.abs())  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["box", "deeppoly", "deeppoly.guided(by=box)"])
def test_bounds_of_a_frozen_graph_do_not_move_with_the_weights(text: str) -> None:
    weight = W.clone()
    graph = Graph([Node("x", None, (), (3,))]).then(Dense(weight)).then(ReLU()).then(Dense(weight))
    frozen, region = graph.freeze(), Linf(points(graph), 0.1)
    before = parse(text).propagate(graph, region).lower
    with torch.no_grad():
        weight.mul_(-3.0)
    assert torch.equal(parse(text).propagate(frozen, region).lower, before)
    assert not torch.allclose(parse(text).propagate(graph, region).lower, before)


def test_a_dead_branch_changes_nothing() -> None:
    nodes = residual().nodes
    dead = Graph([*nodes[:3], Node("dead", Dense(W), (2,), (3,)), *nodes[3:]])
    x = points(dead)
    assert torch.equal(dead(x), residual()(x))
    for text in ("box", "deeppoly", "box & deeppoly"):
        one, other = (parse(text).propagate(g, Linf(x, 0.2)) for g in (dead, residual()))
        torch.testing.assert_close(one.lower, other.lower)


def test_a_region_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4,\).*\(3,\)"):
        parse("box").propagate(residual(), Linf(torch.zeros(1, 4), 0.1))


def test_elements_that_were_not_kept_are_asked_for_in_words() -> None:
    x = points(residual())
    trace = parse("deeppoly").propagate(residual(), Linf(x, 0.1))
    with pytest.raises(ValueError, match="keep=True"):
        trace.at("z")
    with pytest.raises(KeyError, match="no node is called 'nowhere'"):
        trace.at("nowhere")
    kept = parse("deeppoly").propagate(residual(), Linf(x, 0.1), keep=True)
    torch.testing.assert_close(kept.at("sum").lower, trace.lower)
