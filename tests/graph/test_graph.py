"""Graphs: what makes one, how it runs, its other forms."""

from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given
from torch import Tensor

from absdomain import Graph, Linf, Node, freeze, parse
from absdomain.laws import drawing, strategies
from absdomain.laws.derivatives import weights
from absdomain.laws.drawing import normal
from absdomain.ops import Add, BatchNorm, Concat, Dense, ReLU, Scale
from absdomain.values import leaves

W, ONE = normal(Random(0), 3, 3), torch.ones((), dtype=torch.float64)


def residual() -> Graph:
    """x -> relu(W x) + x."""
    nodes = [Node("x", None, (), (3,)), Node("z", Dense(W), (0,), (3,)), Node("h", ReLU(), (1,), (3,))]
    return Graph.of([*nodes, Node("sum", Add(), (2, 0), (3,))])


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
    ([], "has no node"),
    ([Node("x", ReLU(), (), (1,))], r"'x' \(ReLU\) reads nothing"),
    ([Node("x", None, (), (1,)), Node("y", ReLU(), (1,), (1,))], r"node 1 \('y'\) reads \(1,\).*come before it"),
    ([Node("x", None, (), (1,)), Node("y", ReLU(), (-1,), (1,))], "come before it"),
    ([Node("x", None, (), (1,)), Node("y", ReLU(), (), (1,))], "'y'.*reads nothing"),
    ([Node("x", None, (), (1,)), Node("y", None, (0,), (1,))], "'y', which reads 'x', needs an op"),
    ([Node("x", None, (), (1,)), Node("x", ReLU(), (0,), (1,))], "same name 'x'"),
    ([Node("x", None, (), (1,)), Node("y", ReLU(), (0,), (2,))], r"'y' has shape \(2,\), but ReLU makes \(1,\)"),
])  # fmt: skip
def test_a_sequence_that_is_no_graph_is_refused(nodes: list[Node], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Graph.of(nodes)


def test_then_names_its_nodes_apart() -> None:
    graph = residual().then(ReLU()).then(ReLU()).then(ReLU(), "last")
    assert [node.name for node in graph.nodes[4:]] == ["relu_1", "relu_2", "last"]
    assert residual().then(ReLU(), "sum").output.name == "sum_1"  # taken


def test_ending_in_changes_the_last_op_alone() -> None:
    graph = residual()
    other = graph.ending_in(Concat(1))
    assert (other.output.name, other.output.shape) == ("sum", (6,))
    assert other.nodes[:-1] == graph.nodes[:-1]


@given(strategies.graphs())
def test_a_frozen_graph_is_the_same_function_of_its_own_weights(graph: Graph) -> None:
    frozen, x = freeze(graph), points(graph)
    before = frozen(x)
    torch.testing.assert_close(before, graph(x), rtol=1e-9, atol=1e-9)
    for t in leaves(graph):
        t.add_(1)
    assert torch.equal(frozen(x), before)


@given(strategies.graphs((*[drawing.dense] * 2, drawing.conv1d, drawing.conv2d, drawing.batch_norm, drawing.scale)))
def test_merging_affine_ops_keeps_the_function(graph: Graph) -> None:
    frozen, x = freeze(graph), points(graph)
    torch.testing.assert_close(frozen(x), graph(x), rtol=1e-9, atol=1e-9 * float(1 + graph(x).abs().max()))
    assert len(frozen.nodes) <= len(graph.nodes)


def test_freezing_folds_batch_norm_and_readies_moduli() -> None:
    mean, variance = normal(Random(1), 3), normal(Random(2), 3).abs()
    graph = freeze(residual().then(BatchNorm(mean, variance, axes=0)))
    assert isinstance(graph.output.op, Scale)
    weight = weights(graph)[0]
    torch.testing.assert_close(graph.nodes[1].op.magnitude, weight.abs())  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["box", "deeppoly", "deeppoly.guided(by=box)"])
def test_bounds_of_a_frozen_graph_do_not_move_with_the_weights(text: str) -> None:
    weight = W.clone()
    graph = Graph.of([Node("x", None, (), (3,))]).then(Dense(weight)).then(ReLU()).then(Dense(weight))
    frozen, region = freeze(graph), Linf(points(graph), 0.1)
    before = parse(text).propagate(graph, region).lower
    with torch.no_grad():
        weight.mul_(-3.0)
    assert torch.equal(parse(text).propagate(frozen, region).lower, before)
    assert not torch.allclose(parse(text).propagate(graph, region).lower, before)


def test_what_the_last_node_does_not_need_is_left_out() -> None:
    nodes = residual().nodes
    dead = Graph.of([*nodes[:3], Node("dead", Dense(W), (2,), (3,)), replace(nodes[3], args=(2, 0))])
    assert [node.name for node in dead.nodes] == ["x", "z", "h", "sum"]
    assert torch.equal(dead(points(dead)), residual()(points(dead)))


def test_with_ops_changes_ops_and_the_shapes_after_them() -> None:
    graph = Graph.of([Node("x", None, (), (3,))]).then(Dense(W), "z").then(ReLU(), "h").then(Scale(-ONE), "y")
    other = graph.with_ops({"z": Dense(W[:2])})
    assert [(node.name, node.shape) for node in other.nodes] == [("x", (3,)), ("z", (2,)), ("h", (2,)), ("y", (2,))]
    x = points(graph)
    torch.testing.assert_close(other(x), -(x @ W[:2].t()).relu())
    for name in ("x", "w"):
        with pytest.raises(ValueError, match=f"no node with an op is called '{name}'"):
            graph.with_ops({name: ReLU()})


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
