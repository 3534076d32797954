"""An example is a batch of numbers, however its tensor is made: only its values' shape, dtype and device count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from absdomain import Linf, to_graph
from absdomain.domains import Box


class Marked(Tensor):
    """A plain subclass: every operation on it gives another of its kind."""


def within_inference_mode() -> Tensor:
    with torch.inference_mode():
        return torch.rand(4, 2, 6, 6)


EXAMPLES: dict[str, Callable[[], Tensor]] = {
    "a batch": lambda: torch.rand(4, 2, 6, 6),
    "one sample": lambda: torch.rand(1, 2, 6, 6),
    "a slice with an offset": lambda: torch.rand(16, 2, 6, 6)[8:16],
    "one sample with an offset": lambda: torch.rand(16, 2, 6, 6)[8:9],
    "every other sample": lambda: torch.rand(8, 2, 6, 6)[1::2],
    "cut out of larger images": lambda: torch.rand(4, 3, 9, 8)[:, 1:, 2:8, 1:7],
    "transposed": lambda: torch.rand(4, 2, 6, 6).mT,
    "samples along the last axis": lambda: torch.rand(2, 6, 6, 4).permute(3, 0, 1, 2),
    "channels last": lambda: torch.rand(4, 2, 6, 6).to(memory_format=torch.channels_last),
    "one sample for all": lambda: torch.rand(1, 2, 6, 6).expand(4, -1, -1, -1),
    "one number for all": lambda: torch.rand(()).expand(4, 2, 6, 6),
    "windows that overlap": lambda: torch.rand(99).as_strided((4, 2, 6, 6), (1, 2, 3, 4)),
    "flipped": lambda: torch.rand(4, 2, 6, 6).flip(0, 3),
    "with a gradient": lambda: torch.rand(4, 2, 6, 6, requires_grad=True),
    "with a history": lambda: 2 * torch.rand(4, 2, 6, 6, requires_grad=True),
    "a parameter": lambda: nn.Parameter(torch.rand(4, 2, 6, 6)),
    "a subclass": lambda: torch.rand(4, 2, 6, 6).as_subclass(Marked),
    "a slice of a subclass": lambda: torch.rand(16, 2, 6, 6).as_subclass(Marked)[8:],
    "made in inference mode": within_inference_mode,
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_any_make_gives_the_same_graph(name: str) -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)).eval()
    example = EXAMPLES[name]()
    graph = to_graph(module, example)
    x = torch.rand(5, 2, 6, 6)
    assert type(graph(x)) is Tensor
    torch.testing.assert_close(graph(x), module(x))
    assert len(graph.schedule) == 4
    assert Box().propagate(graph, Linf(x, 0.1)).lower.isfinite().all()


def test_a_graph_that_is_lowered_in_inference_mode_can_be_trained_later() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with torch.inference_mode():
        graph = to_graph(module, torch.rand(2, 4))
    graph(torch.rand(3, 4)).sum().backward()
    assert module[0].weight.grad is not None
