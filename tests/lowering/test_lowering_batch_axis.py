"""The batch's axis is followed where a module moves it, merges it with others and reads its size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from absdomain import UnsupportedOp, to_graph
from absdomain.lowering.samples import Samples
from tests.written import Written, parameter, same

Forward = Callable[[Any, Tensor], Tensor]


def heads_as_samples(self: Any, x: Tensor) -> Tensor:
    batch, length, width = x.shape
    y = x.view(batch, length, 2, -1).transpose(1, 2).reshape(batch * 2, length, -1)
    y = torch.bmm(torch.bmm(y, y.transpose(1, 2)).softmax(-1), y).view(batch, 2, length, -1)
    return y.transpose(1, 2).reshape(batch, length, width)


def windows(self: Any, x: Tensor) -> Tensor:
    parts = x.view(x.shape[0], 2, 2, 2, 2, 3).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, 3)
    y = self.layer(parts).relu().view(x.shape[0], 2, 2, 2, 2, 3)
    return y.permute(0, 1, 3, 2, 4, 5).reshape(x.shape[0], 4, 4, 3)


def frames(self: Any, x: Tensor) -> Tensor:
    """Frames of a film as samples of a convolution, a batch norm and a pool, and a constant for each."""
    y = x.flatten(0, 1)
    y = nn.functional.max_pool2d(self.norm(self.conv(y + y.new_ones(y.shape))), 2)
    return y.view(x.shape[0], 3, -1)


def positions_as_samples(self: Any, x: Tensor) -> Tensor:
    y = x.transpose(0, 1).reshape(-1, 4)
    return self.layer(y).view(3, -1, 4).transpose(0, 1)


def states(self: Any, x: Tensor) -> Tensor:
    h = x.new_zeros(x.shape[0], 4)
    for t in range(x.shape[1]):
        h = torch.tanh(self.layer(x[:, t]) + h)
    return h


def second(self: Any, x: Tensor) -> Tensor:
    y = x.transpose(0, 1)
    bias = torch.arange(3.0, dtype=x.dtype).view(3, 1, 1)
    parts = torch.cat([y + bias, torch.ones(1, x.shape[0], 4, dtype=x.dtype), y.softmax(0)])
    return (parts - parts.mean((0, 2), keepdim=True)).transpose(0, 1)


def token(self: Any, x: Tensor) -> Tensor:
    return torch.cat([self.c.expand(x.shape[0], -1, -1), x.relu(), self.c.repeat(x.shape[0], 1, 1)], 1)


LAYER = nn.Linear(4, 4)
FOLLOWED: dict[str, tuple[Forward, dict[str, Any], tuple[int, ...]]] = {
    "heads": (heads_as_samples, {}, (3, 4)),
    "windows": (windows, {"layer": nn.Linear(3, 3)}, (4, 4, 3)),
    "frames": (frames, {"conv": nn.Conv2d(2, 2, 2), "norm": nn.BatchNorm2d(2)}, (3, 2, 3, 3)),
    "positions": (positions_as_samples, {"layer": LAYER}, (3, 4)),
    "states": (states, {"layer": LAYER}, (3, 4)),
    "the batch second": (second, {}, (3, 4)),
    "a class token": (token, {"c": parameter(1, 1, 4)}, (3, 4)),
    "stacked": (lambda s, x: torch.stack([x, 2 * x.relu()]).mean(0), {}, (4,)),
    "split, the batch second": (lambda s, x: sum(x.transpose(0, 1).unbind(0)[:2]).relu(), {}, (3, 4)),  # type: ignore[arg-type]
    "a constant made for the batch": (
        lambda s, x: x + torch.zeros(x.shape[0], 3, 4).to(x).transpose(0, 1).add(1).transpose(0, 1), {}, (3, 4),
    ),
}  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", FOLLOWED)
def test_it_is_moved_back(name: str) -> None:
    forward, parts, shape = FOLLOWED[name]
    same(Written(forward, **parts), *shape)


MIXED: dict[str, tuple[Forward, tuple[int, ...]]] = {
    "softmax over merged samples": (lambda s, x: x.view(-1, 2).softmax(0).view(-1, 4), (4,)),
    "a product over samples": (
        lambda s, x: (x.transpose(0, 1) @ torch.ones(3, 3, dtype=x.dtype)).transpose(0, 1),
        (4,),
    ),
    "samples as positions": (lambda s, x: x.view(1, -1, 4).transpose(1, 2).cumsum(2).transpose(1, 2).view(-1, 4), (4,)),
    "a convolution of merged samples": (lambda s, x: nn.functional.conv1d(x.view(1, 1, -1), x.new_ones(1, 1, 1)), (4,)),
    "half of each": (lambda s, x: x.view(-1, 2).flip(0).view(-1, 4), (4,)),
    "the other half": (lambda s, x: x.view(x.shape[0] * 2, 2)[::2].relu(), (4,)),
    "numbered samples": (lambda s, x: x + torch.arange(x.shape[0], dtype=x.dtype).view(-1, 1), (4,)),
    "a sum of constants over samples": (lambda s, x: x + torch.ones(x.shape[0], 4, dtype=x.dtype).sum(0), (4,)),
    "filled with the number of samples": (lambda s, x: x + torch.full((4,), x.shape[0], dtype=x.dtype), (4,)),
    "laid the other way": (lambda s, x: x.t().reshape(-1, 4).relu(), (4,)),
    "two batches": (lambda s, x: (x[None] * x[:, None]).sum(0), (4,)),
    "layer norm over samples": (lambda s, x: nn.functional.layer_norm(x.t(), (x.shape[0],)).t(), (4,)),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", MIXED)
def test_what_mixes_samples_on_the_way_is_refused(name: str) -> None:
    forward, shape = MIXED[name]
    with pytest.raises(UnsupportedOp):
        to_graph(Written(forward), torch.randn(2, *shape))


def test_the_order_of_a_merged_axis() -> None:
    where = Samples(1, 3, before=2, after=3)
    x = torch.arange(5 * 2 * 7 * 3 * 4).view(5, 42, 4)
    first = where.first(x)
    assert first.shape == (7, 5, 6, 4)
    assert torch.equal(first[4], x.view(5, 2, 7, 3, 4)[:, :, 4].flatten(1, 2))
    assert [where.place(axis) for axis in (0, 1, -1)] == [1, 0, 3]


def test_all_that_is_in_the_way_is_told_at_once() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = x.logcumsumexp(1)
        z = y + x.sum(0, keepdim=True)
        return z.relu().lgamma()

    with pytest.raises(UnsupportedOp) as caught:
        to_graph(Written(forward), torch.randn(2, 4))
    told = str(caught.value).splitlines()
    assert told[0].startswith("3 calls")
    assert [("nonlinear" in line, "structural" in line) for line in told[1:]] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    assert all("test_lowering_batch_axis.py:" in line for line in told[1:])
