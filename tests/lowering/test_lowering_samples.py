"""A graph treats every sample alike and alone: what mixes them is refused, whatever the size of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absdomain import UnsupportedOp, to_graph
from tests.written import Written, parameter, same

Forward = Callable[[Any, Tensor], Any]


def sixth(self: Any, x: Tensor) -> Tensor:
    return self.layer(x - 3 * x.roll(6, 0))  # the identity on batches of 1, 2, 3 and 6 samples


def attention(self: Any, x: Tensor) -> Tensor:
    return F.softmax(x @ x.t(), 1) @ x


def over_all(self: Any, x: Tensor) -> Tensor:
    return x / x.norm()


def swapped(self: Any, x: Tensor) -> Tensor:
    return x.view(2, -1, 4).transpose(0, 1).reshape(x.shape[0], 4)


def halves(self: Any, x: Tensor) -> Tensor:
    first, second = x.chunk(2, 0)
    return torch.cat([second, first])


def even(self: Any, x: Tensor) -> Tensor:
    return x.relu() if x.shape[0] % 2 == 0 else 2 * x


def large(self: Any, x: Tensor) -> Tensor:
    return x.relu() if x.shape[0] > 1000 else 2 * x


def alone(self: Any, x: Tensor) -> Tensor:
    return x.relu() if x.shape[0] == 1 else 2 * x


def alone_after_a_product(self: Any, x: Tensor) -> Tensor:
    """The product's strides are asked about first; no sample that is tried shows the branch."""
    y = (torch.ones(4, 4) @ x.unsqueeze(2)).squeeze(2)
    return y.clamp(max=1e6) if x.shape[0] == 1 else y.clamp(max=1e7)


def alone_by_layout(self: Any, x: Tensor) -> Tensor:
    y = x.t()
    return (y.clamp(max=1e6) if y.is_contiguous() else y.clamp(max=1e7)).t()


def weighed_alone(self: Any, x: Tensor) -> Tensor:
    """Two parameters, which are one number today."""
    return x * (self.a if x.shape[0] == 1 else self.b)


def own_numbers(self: Any, x: Tensor) -> Tensor:
    numbers = torch.arange(x.shape[0])
    return x + numbers[numbers].unsqueeze(1)


def numbers_twice(self: Any, x: Tensor) -> Tensor:
    numbers = torch.arange(x.shape[0])
    return x + self.c.expand(x.shape[0], 4)[numbers, numbers % 4].unsqueeze(1)


def chosen_by_number(self: Any, x: Tensor) -> Tensor:
    """As libraries build masks: each sample's own row of a constant, by its number."""
    row = self.c.expand(x.shape[0], 4)
    numbers, places = torch.arange(x.shape[0])[:, None, None], torch.arange(4)
    mask = (row[numbers, places[None, :, None]] <= row[numbers, places[None, None, :]]) & (places >= 0)
    return (x.unsqueeze(1) * torch.where(mask, 1.0, 0.5)).sum(2)


def laid_out(self: Any, x: Tensor) -> Tensor:
    """A constant is laid out for a batch, and not for one sample."""
    c = self.c if x.shape[0] == 1 else self.c.expand(x.shape[0], 4)
    return x.relu() + c.diff(dim=1, prepend=c[:, :1] - 1)


def weighed(self: Any, x: Tensor) -> Tensor:
    return x * x.shape[0] / 3


ONE, TWO = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
LAYER = nn.Linear(4, 3)
MIXING: dict[str, tuple[nn.Module | Forward, tuple[int, ...]]] = {
    "rolled by six": (Written(sixth, layer=LAYER), (4,)),
    "rolled by more": (lambda s, x: x - 3 * x.roll(2520, 0), (4,)),
    "rolled, all axes": (lambda s, x: x - 3 * x.roll(24), (4,)),
    "rolled, two axes": (lambda s, x: x - x.roll((1, 6), (1, 0)), (4,)),
    "rolled by the batch": (lambda s, x: x - x.roll(x.shape[0], 1), (4,)),
    "reversed": (lambda s, x: x + x.flip(0), (4,)),
    "reversed, two axes": (lambda s, x: x + x.flip((1, -2)), (4,)),
    "running sum": (lambda s, x: x.cumsum(0), (4,)),
    "sorted": (lambda s, x: x.sort(0).values, (4,)),
    "softmax": (lambda s, x: x.softmax(0), (4,)),
    "log softmax": (lambda s, x: x.log_softmax(-2), (4,)),
    "mean": (lambda s, x: x - x.mean(0, keepdim=True), (4,)),
    "mean of all": (lambda s, x: x - x.mean(), (4,)),
    "sum of both": (lambda s, x: x - x.sum((0, 1), keepdim=True), (4,)),
    "maximum": (lambda s, x: x - x.amax(0, keepdim=True), (4,)),
    "maximum with its place": (lambda s, x: x - x.max(0, keepdim=True).values, (4,)),
    "first sample": (lambda s, x: x - x[0], (4,)),
    "first sample, kept": (lambda s, x: x - x[:1], (4,)),
    "last sample": (lambda s, x: x - x[-1:].expand(x.shape[0], 4), (4,)),
    "all but the first": (lambda s, x: x[1:], (4,)),
    "narrowed": (lambda s, x: x.narrow(0, 0, 1) + x, (4,)),
    "every other sample": (lambda s, x: x[::2], (4,)),
    "a list of samples": (lambda s, x: x[torch.tensor([0, 0, 0])], (4,)),
    "selected by index": (lambda s, x: x.index_select(0, torch.tensor([0])) + x, (4,)),
    "unbound": (lambda s, x: x + x.unbind(0)[0], (4,)),
    "chunks": (halves, (4,)),
    "split": (lambda s, x: x + x.split(1)[0], (4,)),
    "products of samples": (lambda s, x: x @ (x.t() @ x), (4,)),
    "attention among samples": (attention, (4,)),
    "products of samples by einsum": (lambda s, x: torch.einsum("bi,ci->bc", x, x), (4,)),
    "transposed and back": (lambda s, x: F.linear(x.t(), torch.ones(3, 3)).t(), (4,)),
    "transposed axes": (lambda s, x: x.transpose(0, 1).cumsum(1).transpose(0, 1), (4,)),
    "permuted": (lambda s, x: x.permute(1, 0, 2).softmax(1).permute(1, 0, 2), (3, 3)),
    "norm of all": (over_all, (4,)),
    "batch norm in training mode": (lambda s, x: F.batch_norm(x, None, None, training=True), (4,)),
    "batch norm without statistics": (nn.BatchNorm1d(4, track_running_stats=False), (4,)),
    "folded into rows": (lambda s, x: x.view(-1, 2).softmax(0).view(-1, 4), (4,)),
    "folded into columns": (swapped, (4,)),
    "the batch as channels": (lambda s, x: x.view(1, -1).softmax(1).view(-1, 4), (4,)),
    "one axis before": (lambda s, x: x.unsqueeze(0).softmax(1).squeeze(0), (4,)),
    "padded at one end, cut at the other": (lambda s, x: F.pad(x, (0, 0, 6, -6)), (4,)),
    "repeated": (lambda s, x: x.repeat(2, 1)[: x.shape[0]], (4,)),
    "paired with each other": (lambda s, x: (x.unsqueeze(0) - x.unsqueeze(1)).sum(1), (4,)),
    "squeezed, whatever the batch": (lambda s, x: x.squeeze().relu(), (4,)),
    "squeezed along the batch": (lambda s, x: x.squeeze(0).relu(), (4,)),
    "a branch by parity": (even, (4,)),
    "a branch for large batches": (large, (4,)),
    "a branch for one sample": (alone, (4,)),
    "a branch for one sample, after a product": (alone_after_a_product, (4,)),
    "a branch by the layout": (alone_by_layout, (4,)),
    "a branch for one sample, by a parameter": (Written(weighed_alone, a=ONE, b=TWO), (4,)),
    "a branch for one sample that cannot be run for more": (
        lambda s, x: x if x.shape[0] > 1 else x.squeeze(0)[None],
        (4,),
    ),
    "a branch for two samples": (lambda s, x: x.relu() if x.shape[0] == 2 else x.relu().clone(), (4,)),
    "numbers of samples, by their numbers": (own_numbers, (4,)),
    "numbers of samples as places": (Written(numbers_twice, c=parameter(1, 4)), (4,)),
    "numbers of samples from 1": (
        lambda s, x: x + torch.ones(x.shape[0] + 1, 4)[torch.arange(1, x.shape[0] + 1)],
        (4,),
    ),
    "a constant for the batch and one more": (
        lambda s, x: x + torch.ones(x.shape[0] + 1, 4).sum(0).clamp(max=1.5),
        (4,),
    ),
    "a constant of the batch, laid another way": (
        lambda s, x: x + torch.ones(x.shape[0], 4).view(2, -1).sum(1).sum().clamp(max=1.5),
        (4,),
    ),
    "a mask by the sample's number": (lambda s, x: torch.where(torch.arange(x.shape[0])[:, None] > 0, x, -x), (4,)),
    "a branch by the number of entries": (lambda s, x: x.relu() if x.numel() > 4 else x, (4,)),
    "the batch's size as a number": (weighed, (4,)),
    "a constant per sample": (lambda s, x: x + torch.arange(x.shape[0]).unsqueeze(1), (4,)),
    "a mean, written by its size": (lambda s, x: x - x.sum(0, keepdim=True) / x.shape[0], (4,)),
}

HARMLESS: dict[str, tuple[Forward, tuple[int, ...]]] = {
    "rolled": (lambda s, x: x - x.roll(1, 1), (4,)),
    "rolled along two axes": (lambda s, x: x - x.roll((1, 5), (1, -1)), (3, 4)),
    "reversed": (lambda s, x: x - 2 * x.flip(2), (3, 4)),
    "reversed, axes from behind": (lambda s, x: x - 2 * x.flip((-1, -2)), (3, 4)),
    "view by the size": (lambda s, x: x.view(x.size(0), -1).relu(), (3, 4)),
    "view by the size, from behind": (lambda s, x: x.view(x.size(-3), 12).relu(), (3, 4)),
    "view by what is left": (lambda s, x: x.view(-1, 12).relu(), (3, 4)),
    "reshape of a transpose": (lambda s, x: x.mT.reshape(x.shape[0], -1).relu(), (3, 4)),
    "flatten": (lambda s, x: x.flatten(1).relu(), (3, 4)),
    "flatten from behind": (lambda s, x: x.flatten(-2, -1).relu(), (3, 4)),
    "first entry": (lambda s, x: x[:, 0].relu(), (3, 4)),
    "last entry, by an ellipsis": (lambda s, x: x[..., -1].relu(), (3, 4)),
    "all samples, some entries": (lambda s, x: x[:, 1:3].relu(), (4,)),
    "some entries, all samples by their number": (lambda s, x: x[:, ::2].expand(x.shape[0], 2).relu(), (4,)),
    "entries by index": (lambda s, x: x.index_select(-1, torch.tensor([3, 0])).relu(), (4,)),
    "narrowed": (lambda s, x: x.narrow(1, 1, 2).relu(), (4,)),
    "chunks": (lambda s, x: torch.cat(x.chunk(2, -1)[::-1], 1).relu(), (4,)),
    "split": (lambda s, x: x.split([1, 3], 1)[1].relu(), (4,)),
    "unbound": (lambda s, x: x.unbind(1)[2].relu(), (3, 4)),
    "expanded": (lambda s, x: x.unsqueeze(1).expand(-1, 3, -1).relu(), (4,)),
    "repeated": (lambda s, x: x.repeat(1, 2).relu(), (4,)),
    "softmax": (lambda s, x: x.softmax(-1), (4,)),
    "softmax of one entry": (lambda s, x: x.softmax(1) * 3 + x, (1, 3)),
    "log softmax of one entry": (lambda s, x: x.log_softmax(-1) + x, (3, 1)),
    "constants stacked": (
        lambda s, x: x.relu() * torch.stack([s.c.expand(x.shape[0], 4), s.c.expand(x.shape[0], 4)], -1).sum(-1),
        (4,),
    ),
    "mean over entries": (lambda s, x: x - x.mean(1, keepdim=True), (4,)),
    "mean over all but the batch": (lambda s, x: x - x.mean((-1, -2), keepdim=True), (3, 4)),
    "maximum over entries": (lambda s, x: x.amax((1, 2)).unsqueeze(1).relu(), (3, 4)),
    "squeezed": (lambda s, x: x[:, :1].squeeze(1).relu(), (3, 4)),
    "squeezed, several axes": (lambda s, x: x[:, :1, :1].squeeze((1, -1)).relu().unsqueeze(1), (3, 4)),
    "transposed": (lambda s, x: x.transpose(1, 2).relu(), (3, 4)),
    "padded": (lambda s, x: F.pad(x, (1, 0)).relu(), (4,)),
    "cut": (lambda s, x: F.pad(x, (-1, 0, 0, 0)).relu(), (4,)),
    "products by a matrix on the left": (lambda s, x: s.w.t() @ x, (4, 3)),
    "products by an expanded matrix": (lambda s, x: s.w.expand(x.shape[0], 4, 3) @ x, (3, 2)),
    "constants by the sample's number": (chosen_by_number, (4,)),
    "constants laid out for many samples alone": (laid_out, (4,)),
    "copied after a transposition": (lambda s, x: x.transpose(0, 1).contiguous().transpose(0, 1).relu(), (3, 4)),
    "a branch that is the same for every batch": (lambda s, x: x.relu() if x.shape[0] * 4 > 3 else x, (4,)),
    "products by a matrix": (lambda s, x: x @ s.w, (4,)),
    "a norm of each sample": (lambda s, x: x / (x.square().sum(1, keepdim=True) + 1), (4,)),
    "a constant with a batch axis of one": (lambda s, x: x + torch.arange(4.0, dtype=x.dtype).unsqueeze(0), (4,)),
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", MIXING)
def test_a_module_that_mixes_samples_is_refused(name: str) -> None:
    written, shape = MIXING[name]
    module = written if isinstance(written, nn.Module) else Written(written)
    with pytest.raises(UnsupportedOp):
        to_graph(module, torch.randn(2, *shape))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", HARMLESS)
def test_what_acts_within_a_sample_is_lowered(name: str) -> None:
    forward, shape = HARMLESS[name]
    same(Written(forward, w=parameter(4, 3), c=parameter(1, 4)), *shape)
