"""Several inputs and outputs: one vector of each, whose parts go by name."""

import pickle

import pytest
import torch
from networkx import DiGraph

from absdomain import Graph, Interval, domains, freeze
from absdomain.ops import Add, Dense, Permute, ReLU

W = torch.tensor([[1.0, -1.0], [2.0, 0.5]])


def two_by_two() -> DiGraph:
    """x (2,) and y (2, 2): h = relu(W x), s = W y + y^T."""
    net = DiGraph()
    net.add_node("x", shape=(2,))
    net.add_node("y", shape=(2, 2))
    net.add_node("unread", shape=(3,))
    for name, op, reads in (
        ("z", Dense(W), "x"), ("h", ReLU(), "z"), ("m", Dense(W), "y"), ("t", Permute((0, 2, 1)), "y"),
    ):  # fmt: skip
        net.add_node(name, op=op)
        net.add_edge(reads, name)
    net.add_node("s", op=Add())
    net.add_edge("m", "s", args=(0,))
    net.add_edge("t", "s", args=(1,))
    return net


def values() -> dict[str, torch.Tensor]:
    return {"x": torch.randn(5, 2), "y": torch.randn(5, 2, 2)}


def wanted(given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    x, y = given["x"], given["y"]
    return {"h": (x @ W.t()).relu(), "s": y @ W.t() + y.mT}


def test_a_graph_of_two_inputs_and_two_outputs_is_the_functions_of_each() -> None:
    graph, given = Graph(two_by_two(), ["s", "h"]), values()
    assert (graph.inputs, graph.outputs) == (("x", "y"), ("s", "h"))
    assert (graph.input.shape, graph.output.shape) == ((6,), (6,))
    x = graph.joined(given)
    for name, part in graph.parted(x).items():
        torch.testing.assert_close(part, given[name])
    found = graph.named(graph(x))
    assert list(found) == ["s", "h"]
    for name, value in wanted(given).items():
        torch.testing.assert_close(found[name], value)


def test_inputs_that_are_named_are_joined_in_that_order_and_may_be_unread() -> None:
    graph = Graph(two_by_two(), "s", inputs=["unread", "y"])
    assert (graph.inputs, graph.input.shape, graph.output.shape) == (("unread", "y"), (7,), (2, 2))
    given = {"y": values()["y"], "unread": torch.ones(5, 3)}
    torch.testing.assert_close(graph(graph.joined(given)), wanted({"x": torch.zeros(1, 2), **given})["s"])


def test_one_input_and_one_output_keep_their_shapes() -> None:
    graph, y = Graph(two_by_two(), ["s"]), torch.randn(5, 2, 2)
    assert (graph.inputs, graph.outputs, graph.input.shape, graph.output.shape) == (("y",), ("s",), (2, 2), (2, 2))
    assert graph.joined({"y": y}) is y
    assert graph.named(graph(y))["s"].shape == (5, 2, 2)


def test_hidden_nodes_and_inputs_can_be_asked_for() -> None:
    graph, given = Graph(two_by_two(), ["s", "h"]), values()
    other = graph.ending_at(["z", "y"])
    assert (other.inputs, other.outputs) == (("x", "y"), ("z", "y"))
    found = other.named(other(other.joined(given)))
    torch.testing.assert_close(found["z"], given["x"] @ W.t())
    torch.testing.assert_close(found["y"], given["y"])
    assert graph.ending_at(["s"]).output.shape == (2, 2)
    with pytest.raises(ValueError, match="'q', but no node"):
        graph.ending_at(["q"])


def test_names_survive_pickling_freezing_and_other_ops() -> None:
    graph, x = Graph(two_by_two(), ["s", "h"]), torch.randn(5, 6)
    for same in (pickle.loads(pickle.dumps(graph)), freeze(graph), graph.with_ops({"h": ReLU()}), graph.subgraph()):
        assert (same.inputs, same.outputs) == (graph.inputs, graph.outputs)
        torch.testing.assert_close(same(x), graph(x))
    assert graph.then(Dense(torch.ones(1, 6)), "sum").outputs == ("sum",)


def test_every_domain_bounds_it() -> None:
    graph, given = Graph(two_by_two(), ["s", "h"]), values()
    low = graph.joined(given)
    trace = (domains.Box() & domains.DeepPoly()).propagate(graph, Interval(low, low + 0.5))
    assert bool((trace.lower <= graph(low + 0.25)).all() and (graph(low + 0.25) <= trace.upper).all())


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Graph(two_by_two()), r"nobody reads 'unread', 'h', 's'.*output=\['unread', 'h', 's'\]"),
        (lambda: Graph(two_by_two(), ["s", "s"]), "output 's' is named twice"),
        (lambda: Graph(two_by_two(), []), "no output is named"),
        (lambda: Graph(two_by_two(), ["s", "h"], inputs=["y"]), "'x' has no op and reads nothing"),
        (lambda: Graph(two_by_two(), "s", inputs=["y", "z"]), "'z' has an op"),
        (lambda: Graph(two_by_two(), ["s", "h"]).joined({"x": torch.zeros(1, 2)}), r"\['x', 'y'\], got \['x'\]"),
        (lambda: Graph(two_by_two(), "s").joined({"y": torch.zeros(1, 4)}), r"'y' has shape \(2, 2\).*\(1, 4\)"),
        (lambda: Graph(two_by_two(), ["s", "h"]).parted(torch.zeros(1, 4)), r"\(B, 6\) is needed"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(make: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()  # type: ignore[operator]
