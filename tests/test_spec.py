"""Specifications: which rows they are, how they join a graph, and what proves them."""

from random import Random

import pytest
import torch
from hypothesis import given
from torch import Tensor

from absdomain import Graph, Linf, Node, Spec, halfspaces, margins, parse, targeted
from absdomain.laws import drawing, strategies
from absdomain.ops import Dense, ReLU

D64 = torch.float64
LABELS = torch.tensor([0, 2, 3])


def net(outputs: int = 4) -> Graph:
    rng = Random(0)
    graph = Graph.of([Node("x", None, (), (3,))])
    graph = graph.then(Dense(drawing.normal(rng, 5, 3), drawing.normal(rng, 5))).then(ReLU())
    return graph.then(Dense(drawing.normal(rng, outputs, 5), drawing.normal(rng, outputs)), "logits")


def x() -> Tensor:
    return drawing.normal(Random(1), 3, 3)


def test_margins_are_in_the_order_of_the_other_classes() -> None:
    z = torch.tensor([[10.0, 20.0, 30.0, 40.0]]).expand(3, -1)
    spec = margins(LABELS, 4)
    assert spec.C.shape == (3, 3, 4)
    found = (spec.C @ z.unsqueeze(-1)).squeeze(-1) + spec.d
    assert found.tolist() == [[-10, -20, -30], [20, 10, -10], [30, 20, 10]]


def test_targeted_is_one_margin() -> None:
    spec = targeted(LABELS, torch.tensor([1, 0, 0]), 4)
    assert spec.C.tolist() == [[[1, -1, 0, 0]], [[-1, 0, 1, 0]], [[-1, 0, 0, 1]]]


def test_halfspaces_are_the_same_for_all_samples() -> None:
    C, d = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([3.0, 4.0])
    spec = halfspaces(C, d)
    assert (spec.C.shape, spec.d.shape) == ((1, 2, 2), (1, 2))


@pytest.mark.parametrize("labels", [torch.tensor([4]), torch.tensor([-1])])
def test_labels_out_of_range_are_refused(labels: Tensor) -> None:
    with pytest.raises(ValueError, match="labels lie in"):
        margins(labels, 4)


@pytest.mark.parametrize(("C", "d"), [
    (torch.zeros(2, 3), torch.zeros(1, 2)), (torch.zeros(1, 2, 3), torch.zeros(2)),
    (torch.zeros(1, 2, 3), torch.zeros(1, 3)),
])  # fmt: skip
def test_wrong_shapes_are_refused(C: Tensor, d: Tensor) -> None:
    with pytest.raises(ValueError, match="C is"):
        Spec(C, d)


def test_a_spec_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="4 entries"):
        margins(LABELS, 5).of(net())


def test_a_spec_is_fused_into_the_last_layer_and_rebuilds_nothing() -> None:
    graph, spec = net(), margins(LABELS, 4).to(x())
    asked = spec.of(graph)
    assert len(asked.nodes) == len(graph.nodes)
    assert asked.nodes[:-1] == graph.nodes[:-1]
    exact = (spec.C @ graph(x()).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(asked(x()), exact)


def test_a_spec_of_a_graph_that_ends_in_an_activation_is_appended() -> None:
    graph = net().then(ReLU())
    asked = margins(LABELS, 4).to(x()).of(graph)
    assert len(asked.nodes) == len(graph.nodes) + 1
    assert asked.output.shape == (3,)


def test_a_spec_of_a_plane_speaks_of_its_flat_entries() -> None:
    graph = Graph.of([Node("x", None, (), (2, 2))])
    spec = halfspaces(torch.tensor([[1.0, 0.0, 0.0, -1.0]], dtype=D64), torch.tensor([0.5], dtype=D64))
    point = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]], dtype=D64)
    assert spec.of(graph)(point).tolist() == [[-2.5]]


@pytest.mark.parametrize("text", ["box", "deeppoly", "box & deeppoly"])
def test_a_float32_spec_serves_a_float64_graph(text: str) -> None:
    for graph in (net(), net().then(ReLU())):
        lower = parse(text).propagate(graph, Linf(x(), 0.1), margins(LABELS, 4)).lower
        assert (lower.shape, lower.dtype) == ((3, 3), D64)


@pytest.mark.parametrize("text", ["box", "deeppoly", "box & deeppoly"])
def test_identical_samples_with_different_labels_have_their_own_margins(text: str) -> None:
    point = x()[:1].expand(4, -1)
    labels = torch.arange(4)
    together = parse(text).propagate(net(), Linf(point, 0.1), margins(labels, 4)).lower
    for label in labels:
        alone = parse(text).propagate(net(), Linf(point[:1], 0.1), margins(label.view(1), 4)).lower
        torch.testing.assert_close(together[label : label + 1], alone)


def test_all_rows_must_be_above_the_margin() -> None:
    spec = margins(torch.tensor([0, 0, 0, 0, 0]), 3)
    lower = torch.tensor([[0.1, 0.2], [0.1, -0.1], [0.0, 1.0], [torch.nan, 1.0], [torch.inf, 1.0]])
    assert spec.holds(lower).tolist() == [True, False, False, False, False]
    assert spec.holds(lower, 0.15).tolist() == [False] * 5


def test_a_group_needs_one_row() -> None:
    spec = Spec(torch.zeros(1, 4, 2), torch.zeros(1, 4), groups=torch.tensor([0, 0, 1, 1]))
    lower = torch.tensor([[1.0, -1.0, -1.0, 1.0], [1.0, 1.0, -1.0, -1.0], [torch.nan, 1.0, 1.0, torch.nan]])
    assert spec.holds(lower).tolist() == [True, False, True]


@given(strategies.specs(4, batch=3))
def test_the_strategy_of_specs_composes(spec: Spec) -> None:
    asked = spec.to(x()).of(net())
    assert asked.output.shape == spec.C.shape[1:2]
    outputs = net()(x())
    exact = (spec.C.to(outputs) @ outputs.unsqueeze(-1)).squeeze(-1) + spec.d.to(outputs)
    torch.testing.assert_close(asked(x()), exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("names", [[1, 2, 2], [-1, -7, -7], [10**12, 0, 0], [0, 1, 1]])
def test_groups_have_any_numbers(names: list[int]) -> None:
    spec = Spec(torch.eye(3).unsqueeze(0), torch.zeros(1, 3), torch.tensor(names))
    lower = torch.tensor([[1.0, -1.0, 2.0], [1.0, -1.0, -1.0], [-1.0, 1.0, 1.0], [1.0, torch.nan, torch.inf]])
    assert spec.holds(lower).tolist() == [True, False, False, False]
    assert spec.holds(lower, torch.tensor([[0.0, 0.0, 3.0]])).tolist() == [False] * 4


def test_groups_are_whole_numbers() -> None:
    with pytest.raises(ValueError, match=r"whole numbers, got torch\.float32"):
        Spec(torch.eye(3).unsqueeze(0), torch.zeros(1, 3), torch.zeros(3))


@pytest.mark.parametrize(("labels", "targets"), [([-1], [0]), ([0], [-1]), ([3], [0]), ([0], [3])])
def test_targets_out_of_range_are_refused(labels: list[int], targets: list[int]) -> None:
    """-1 would be the last class."""
    with pytest.raises(ValueError, match=r"lie in \[0, 2\]"):
        targeted(torch.tensor(labels), torch.tensor(targets), 3)


def test_what_is_asked_of_some_samples() -> None:
    spec = margins(torch.tensor([0, 1, 2]), 3)
    assert torch.equal(spec.select(torch.tensor([2, 0])).C, spec.C[[2, 0]])
    shared = halfspaces(torch.eye(2), torch.zeros(2))
    assert torch.equal(shared.select(torch.tensor([5])).C, shared.C)


@pytest.mark.parametrize("groups", [None, torch.tensor([7, -1, 7, 3])], ids=["rows", "groups"])
def test_the_property_hangs_on_its_weakest_row(groups: Tensor | None) -> None:
    spec = Spec(torch.zeros(1, 4, 2), torch.zeros(1, 4), groups)
    lower = torch.randint(-3, 4, (500, 4), generator=torch.Generator().manual_seed(0)).to(D64)
    weakest = spec.weakest(lower)
    least = lower.gather(1, weakest.unsqueeze(1)).squeeze(1)
    assert torch.equal(spec.holds(lower), least > 0)
    assert torch.equal(spec.holds(lower, ties=True), least >= 0)
    assert torch.equal(spec.weakest(lower.masked_fill(lower == 3, torch.nan).nan_to_num(-torch.inf)),
                       spec.weakest(lower.masked_fill(lower == 3, torch.nan)))  # fmt: skip


def test_an_unknown_bound_is_the_weakest() -> None:
    lower = torch.tensor([[1.0, torch.nan, -5.0], [-torch.inf, 0.0, torch.inf]])
    assert margins(LABELS[:2], 4).weakest(lower).tolist() == [1, 0]
