"""Modules of several arguments, and of several results."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from absdomain import L2, CartesianProduct, Linf, domains, to_graph
from tests.written import Written

torch.manual_seed(0)


class Two(nn.Module):
    """Two arguments of different shapes, two results."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.grid = nn.Linear(3, 4), nn.Conv2d(1, 2, 2)

    def forward(self, state: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.grid(image).relu()
        return self.flat(state) + seen.flatten(1), seen


def batches(size: int = 5) -> tuple[Tensor, Tensor]:
    return torch.randn(size, 3), torch.randn(size, 1, 2, 3)


def test_arguments_go_by_the_names_of_forward() -> None:
    module = Two()
    graph = to_graph(module, batches())
    assert graph.inputs == ("state", "image")
    state, image = batches(7)
    found = graph.named(graph(graph.joined({"state": state, "image": image})))
    for (name, ours), theirs in zip(found.items(), module(state, image), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


def test_a_dictionary_of_batches_calls_by_name() -> None:
    module = Two()
    state, image = batches()
    graph = to_graph(module, {"image": image, "state": state})
    assert graph.inputs == ("image", "state")
    value = graph(graph.joined({"state": state, "image": image}))
    torch.testing.assert_close(next(iter(graph.named(value).values())), module(state, image)[0])


def test_results_of_a_dictionary_go_by_its_keys() -> None:
    module = Written(lambda m, x: {"logits": m.a(x).relu(), "again": m.a(x).relu(), "x": x}, a=nn.Linear(3, 4))
    graph, x = to_graph(module, torch.randn(5, 3)), torch.randn(7, 3)
    assert (graph.inputs, graph.outputs) == (("input",), ("logits", "again", "x"))
    for name, ours in graph.named(graph(x)).items():
        torch.testing.assert_close(ours, module(x)[name])


def test_one_result_twice_and_a_tuple_of_one() -> None:
    def twice(module: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        y = x.relu()
        return y, y

    x = torch.randn(5, 3)
    graph = to_graph(Written(twice), x)
    assert len(set(graph.outputs)) == 2
    assert [v.shape for v in graph.named(graph(x)).values()] == [(5, 3), (5, 3)]
    assert to_graph(Written(lambda m, x: (x.relu(),)), x).output.shape == (3,)


def test_an_argument_that_is_not_read_is_joined_all_the_same() -> None:
    class First(nn.Module):
        def forward(self, x: Tensor, *more: Tensor) -> Tensor:
            return x.relu()

    graph = to_graph(First(), batches())
    assert graph.inputs[1] == "input_1" and graph.input.shape == (9,)


def test_weights_are_live_and_bounds_hold() -> None:
    module, (state, image) = Two(), batches()
    graph = to_graph(module, (state, image))
    with torch.no_grad():
        module.flat.weight.mul_(2)
    region = CartesianProduct((L2(state, 0.1), Linf(image, 0.1)))
    trace = domains.DeepPoly().propagate(graph, region)
    inside = region.sample(20, torch.Generator().manual_seed(0)).flatten(0, 1)
    parts = graph.parted(inside)
    value = torch.cat([y.flatten(1) for y in module(parts["state"], parts["image"])], 1).view(20, len(state), -1)
    assert bool((trace.lower <= value + 1e-5).all() and (value <= trace.upper + 1e-5).all())


@pytest.mark.parametrize(
    ("example", "told"),
    [
        ((), "one or more; got none"),
        ((torch.zeros(2, 3), torch.zeros(3, 3)), r"one size and dtype are needed.*\(2, 3\).*\(3, 3\)"),
        ((torch.zeros(2, 3), torch.zeros(2, 3).double()), "one size and dtype"),
        ((torch.zeros(2, 3), 1.0), "got a float"),
    ],
)
def test_examples_that_are_no_batches_are_refused(example: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        to_graph(Two(), example)  # type: ignore[arg-type]
