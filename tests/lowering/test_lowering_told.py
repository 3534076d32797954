"""Branches on a module's own numbers: torchvision's Normalize asks whether a deviation is 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from absdomain import UnsupportedOp, to_graph
from absdomain.ops import ReLU
from tests.written import Written, operations, same

MEAN, STD = [0.49, 0.48, 0.44], [0.2, 0.3, 0.25]


def normalise(x: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """As torchvision.transforms.functional.normalize computes it."""
    if not x.is_floating_point():
        raise TypeError("Input tensor should be a float tensor.")
    x = x.clone()
    means = torch.as_tensor(mean, dtype=x.dtype, device=x.device)
    stds = torch.as_tensor(std, dtype=x.dtype, device=x.device)
    if (stds == 0).any():
        raise ValueError("std evaluated to zero after conversion, leading to division by zero.")
    if means.ndim == 1:
        means = means.view(-1, 1, 1)
    if stds.ndim == 1:
        stds = stds.view(-1, 1, 1)
    return x.sub_(means).div_(stds)


def written(x: Tensor) -> Tensor:
    mean, std = (torch.as_tensor(v, dtype=x.dtype, device=x.device) for v in (MEAN, STD))
    return (x - mean[:, None, None]) / std[:, None, None]


@pytest.mark.parametrize("front", [lambda s, x: s.net(normalise(x, MEAN, STD)), lambda s, x: s.net(written(x))])
def test_normalised_images(front: Callable[[Any, Tensor], Tensor]) -> None:
    same(Written(front, net=nn.Sequential(nn.Conv2d(3, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))), 3, 3, 3)


def test_what_the_module_refuses_is_told() -> None:
    with pytest.raises(UnsupportedOp, match="std evaluated to zero after conversion"):
        to_graph(Written(lambda s, x: normalise(x, MEAN, [0.2, 0.0, 0.1])), torch.rand(1, 3, 2, 2))


@pytest.mark.parametrize(("numbers", "bent"), [([1.0, 2.0], False), ([1.0, -2.0], True)])
def test_the_branch_that_is_taken_is_the_module_s(numbers: list[float], bent: bool) -> None:
    def forward(s: Any, x: Tensor) -> Tensor:
        limits = torch.tensor(numbers).view(2, 1)
        return x + 1 if (limits > 0).all() else torch.relu(x)

    graph = to_graph(Written(forward), torch.rand(1, 2))
    assert (ReLU in [op for op, _ in operations(graph)]) == bent


def added(s: Any, x: Tensor) -> Tensor:
    flag = torch.tensor([0.0, 1.0])
    flag += 1
    return x + 1 if (flag == 0).any() else torch.relu(x)


def added_to_a_view(s: Any, x: Tensor) -> Tensor:
    flag = torch.tensor([0.0, 1.0])
    flag.view(2, 1).add_(1)
    return x + 1 if (flag == 0).any() else torch.relu(x)


def set_by_index(s: Any, x: Tensor) -> Tensor:
    flag = torch.tensor([0.0, 1.0])
    flag[0] = 1
    return x + 1 if (flag == 0).any() else torch.relu(x)


def written_out(s: Any, x: Tensor) -> Tensor:
    flag = torch.tensor([0.0, 1.0])
    torch.add(flag, 1, out=flag)
    return x + 1 if (flag == 0).any() else torch.relu(x)


def of_the_input(s: Any, x: Tensor) -> Tensor:
    return x + 1 if (x == 0).any() else torch.relu(x)


def of_both(s: Any, x: Tensor) -> Tensor:
    return x + 1 if (torch.tensor([0.0, 1.0]) == x).any() else torch.relu(x)


@pytest.mark.parametrize("forward", [added, added_to_a_view, set_by_index, written_out, of_the_input, of_both])
def test_what_is_written_to_or_depends_on_the_input_is_not_followed(forward: Callable[[Any, Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedOp):
        to_graph(Written(forward), torch.rand(1, 2))
