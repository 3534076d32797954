"""A graph's nodes have the modules' names, and its ops read the modules' parameters at each use."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import absdomain
from absdomain import Linf, UnsupportedOp, freeze, to_graph
from absdomain.domains import Box, DeepPoly
from tests.written import Written, names, parameter, same


def test_nodes_are_called_by_the_modules_path() -> None:
    features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Sequential(nn.MaxPool2d(2), nn.Flatten()))
    graph = same(Written(lambda s, x: F.relu(s.head(s.features(x))), features=features, head=nn.Linear(8, 3)), 1, 6, 6)
    inside = ["features.0", "features.1", "features.2.0", "features.2.0_2", "features.2.1"]  # the pool is two ops
    assert names(graph) == ["input", *inside, "head", "relu_1"]
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    trace = Box().propagate(graph, Linf(x, 0.1), keep=True)
    alone = DeepPoly().propagate(to_graph(features[:1], x), Linf(x, 0.1))  # one op: exact in every domain
    torch.testing.assert_close(trace.at("features.0").lower, alone.lower)
    with pytest.raises(KeyError, match=r"features\.0"):
        trace.at("features.9")


def test_names_are_unique_and_a_parametrised_layer_keeps_its_own() -> None:
    layer = parametrizations.weight_norm(nn.Linear(4, 4))
    graph = same(Written(lambda s, x: s.input(s.layer(s.layer(x))), layer=layer, input=nn.Linear(4, 3)), 4)
    assert names(graph) == ["input", "layer", "layer_2", "input_2"]


def test_a_node_called_spec_leaves_room_for_a_specification() -> None:
    graph = same(Written(lambda s, x: s.spec(x).relu(), spec=nn.Linear(4, 3)), 4)
    x = torch.randn(2, 4, dtype=torch.float64)
    assert Box().propagate(graph, Linf(x, 0.1), absdomain.margins(torch.tensor([0, 2]), 3)).lower.shape == (2, 2)


def network() -> nn.Sequential:
    """Layers with weights of every kind: a norm's statistics, a parametrisation, a buffer, a constant expression."""
    mixed = Written(
        lambda s, x: F.linear(x, s.w.abs().t(), s.b) * torch.exp(s.scale) + s.shift,
        w=parameter(6, 4), b=parameter(4), scale=parameter(1), shift=nn.Buffer(torch.randn(1, 4)),
    )  # fmt: skip
    conv = nn.Sequential(nn.Conv1d(1, 2, 3, bias=False), nn.BatchNorm1d(2), nn.ReLU(inplace=True), nn.Flatten())
    return nn.Sequential(conv, parametrizations.weight_norm(nn.Linear(6, 6)), nn.LeakyReLU(), mixed)


def a_step_of_an_optimiser(module: nn.Module) -> None:
    module.train()  # the norm's statistics move, too
    optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
    module(torch.randn(9, 1, 5)).square().sum().backward()
    optimiser.step()


def a_state_dict(module: nn.Module) -> None:
    torch.manual_seed(1)
    module.load_state_dict(network().state_dict())


def a_state_dict_that_is_assigned(module: nn.Module) -> None:
    torch.manual_seed(1)
    module.load_state_dict(network().state_dict(), assign=True)


def data_in_place(module: nn.Module) -> None:
    for p in [*module.parameters(), *module.buffers()]:
        p.data.mul_(2)  # which does not move the version counter that autograd keeps


def other_parameters(module: nn.Module) -> None:
    mixed = module.get_submodule("3")
    mixed.w, mixed.b, mixed.shift = parameter(6, 4), parameter(4), torch.randn(1, 4)


def with_a_parametrisation(module: nn.Module) -> None:
    parametrizations.weight_norm(module.get_submodule("0.0"))
    module.get_submodule("0.0").parametrizations.weight.original0.data.mul_(2)  # type: ignore[operator,union-attr]


CHANGES = (
    a_step_of_an_optimiser, a_state_dict, a_state_dict_that_is_assigned, data_in_place, other_parameters,
    with_a_parametrisation,
)  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("change", CHANGES)
def test_what_happens_to_the_module_reaches_the_graph_and_its_bounds(change: Callable[[nn.Module], None]) -> None:
    module, x = network(), torch.randn(3, 1, 5)
    graph = to_graph(module, x)
    frozen, before = freeze(graph), graph(x).detach()
    change(module)
    after = module.eval()(x)
    assert not torch.allclose(before, after, atol=1e-3), "the change changes nothing: this test is empty"
    torch.testing.assert_close(graph(x), after)
    torch.testing.assert_close(frozen(x), before)
    afresh = to_graph(module, x)
    for domain in (Box(), DeepPoly()):
        expected = domain.propagate(afresh, Linf(x, 0.1)).lower
        torch.testing.assert_close(domain.propagate(graph, Linf(x, 0.1)).lower, expected)
        assert (domain.propagate(frozen, Linf(x, 0.1)).lower <= before + 1e-6).all()


def test_a_change_of_precision_reaches_the_graph() -> None:
    module, x = network(), torch.randn(3, 1, 5, dtype=torch.float64)
    graph = to_graph(module, x.float())
    module.double().eval()
    value = graph(x)
    assert value.dtype == torch.float64
    torch.testing.assert_close(value, module(x), rtol=1e-12, atol=1e-12)
    assert Box().propagate(graph, Linf(x, 0.1)).lower.dtype == torch.float64


def test_gradients_reach_the_parameters_through_the_graph_and_not_through_a_frozen_one() -> None:
    module, x = network().double(), torch.randn(3, 1, 5, dtype=torch.float64)
    graph = to_graph(module, x)
    graph(x).square().sum().backward()
    through_the_graph = [p.grad for p in module.parameters()]
    module.zero_grad()
    module.eval()(x).square().sum().backward()
    for mine, p in zip(through_the_graph, module.parameters(), strict=True):
        assert mine is not None and p.grad is not None
        torch.testing.assert_close(mine, p.grad)
    assert not freeze(graph)(x).requires_grad


@pytest.mark.sampled(3)
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_an_example_of_any_size_gives_a_graph_for_every_size(batch: int) -> None:
    module = network().eval()
    graph = to_graph(module, torch.randn(batch, 1, 5))
    for size in (1, 2, 3, 50):
        x = torch.randn(size, 1, 5)
        torch.testing.assert_close(graph(x), module(x))
        assert Box().propagate(graph, Linf(x, 0.1)).lower.shape == (size, 4)


def modes(module: nn.Module) -> list[bool]:
    return [part.training for part in module.modules()]


def test_lowering_leaves_the_module_and_the_example_as_they_were() -> None:
    module, x = network().train(), torch.randn(3, 1, 5, requires_grad=True)
    module.get_submodule("0.1").eval()  # a norm that its user has frozen
    before, state, example = modes(module), {k: v.clone() for k, v in module.state_dict().items()}, x.detach().clone()
    graph = to_graph(module, x)
    assert modes(module) == before
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in state.items())
    assert torch.equal(x, example)
    assert x.grad is None
    torch.testing.assert_close(graph(x), module.eval()(x))  # the graph is that of evaluation mode


def test_modes_are_restored_when_the_module_is_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), Written(lambda s, x: x.lgamma())).train()
    module[1].eval()
    with pytest.raises(UnsupportedOp):
        to_graph(module, torch.randn(2, 4))
    assert modes(module) == [True, True, False, True]


def test_lowering_neither_draws_from_nor_seeds_the_global_generator() -> None:
    module, x = network(), torch.randn(3, 1, 5)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    to_graph(module, x)
    assert torch.equal(torch.rand(3), expected)


def test_a_constant_tensor_follows_changes_in_place() -> None:
    factor, x = torch.ones(4), torch.randn(2, 4)  # neither a parameter nor a buffer
    graph = to_graph(Written(lambda s, x: x * s.factor, factor=factor), x)
    factor.mul_(3)
    assert torch.equal(graph(x), 3 * x)
