"""graph(x) == module(x), whatever way the module is written, on every size of batch; and its bounds hold its values."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from absdomain import registry, to_graph
from absdomain.data.normalise import Normalise
from tests.written import Written, operations, parameter, same

Shape = tuple[int, ...]


def numbers(n: int) -> Tensor:
    """1 + 1/1, 1 + 1/2, ...: a constant that is no parameter."""
    return 1 + 1 / torch.arange(1.0, n + 1, dtype=torch.float64)


# Every way of writing the operations that the table of the lowering knows


def written_in_place(self: Any, x: Tensor) -> Tensor:
    h = F.relu_(self.layer(x))
    return h.mul_(2).add_(1).sub_(x)


def aliased_in_place(self: Any, x: Tensor) -> Tensor:
    h = self.layer(x)
    return F.relu(h, inplace=True) + h  # the second h is the first one's relu


def without_gradients(self: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        h = self.layer(x)
    return self.head(h.relu())


def unpacked(self: Any, x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    return x.view(batch, channels * height, width).permute(0, 2, 1).reshape(batch, -1)


def counted(self: Any, x: Tensor) -> Tensor:
    return x.sum(1, keepdim=True) / x.size(1) + x.shape[-1]


def tied() -> nn.Module:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


def hooked() -> nn.Module:
    layer = nn.Linear(4, 4)
    layer.register_forward_hook(lambda module, args, output: 3 * output)
    return nn.Sequential(layer, nn.ReLU())


def normed_the_old_way() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.nn.utils.weight_norm(nn.Linear(4, 3))


def trained_norm(norm: nn.Module, *shape: int) -> nn.Module:
    """A batch norm whose running statistics and scales are no longer those of a new one."""
    norm(1 + 2 * torch.randn(50, *shape))
    for p in norm.parameters():
        nn.init.normal_(p)
    return norm


W = Written
MODULES: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    # residual and branching
    "residual": (lambda: W(lambda s, x: x + s.b(s.a(x).relu()), a=nn.Linear(4, 5), b=nn.Linear(5, 4)), (4,)),
    "diamond": (
        lambda: W(lambda s, x: (h := s.a(x).relu()) + s.b(h) - 0.5 * h, a=nn.Linear(4, 3), b=nn.Linear(3, 3)),
        (4,),
    ),
    "x + x": (lambda: W(lambda s, x: F.relu(x + x) - x), (4,)),
    "dense block": (
        lambda: W(lambda s, x: torch.cat([x, s.c(x).relu(), x[:, :1]], 1), c=nn.Conv2d(2, 3, 3, padding=1)),
        (2, 4, 4),
    ),
    "unread branch": (
        lambda: W(lambda s, x: (s.a(x).cumsum(1), s.b(x))[1], a=nn.Linear(4, 4), b=nn.Linear(4, 3)),
        (4,),
    ),
    "submodule twice": (lambda: W(lambda s, x: s.a(s.r(s.a(s.r(x)))), a=nn.Linear(4, 4), r=nn.ReLU()), (4,)),
    "block twice": (lambda: W(lambda s, x: s.q(s.q(x)), q=nn.Sequential(nn.Linear(4, 4), nn.ReLU())), (4,)),
    "list of modules": (
        lambda: W(lambda s, x: s.ls[1](s.ls[0](x)), ls=nn.ModuleList([nn.Linear(4, 3), nn.LeakyReLU()])),
        (4,),
    ),
    "tied weights": (tied, (4,)),
    "forward hook": (hooked, (4,)),
    "no_grad block": (lambda: W(without_gradients, layer=nn.Linear(4, 4), head=nn.Linear(4, 2)), (4,)),
    # in place
    "in place": (lambda: W(written_in_place, layer=nn.Linear(4, 4)), (4,)),
    "in place, aliased": (lambda: W(aliased_in_place, layer=nn.Linear(4, 4)), (4,)),
    "in-place modules": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.LeakyReLU(0.3, inplace=True)),
        (4,),
    ),
    "wrapped, with forward(*args)": (lambda: nn.DataParallel(nn.Sequential(nn.Linear(4, 3), nn.ReLU())), (4,)),
    # affine maps
    "x @ W": (lambda: W(lambda s, x: x @ s.w, w=parameter(4, 3)), (4,)),
    "x @ W, more axes": (lambda: W(lambda s, x: x @ s.w, w=parameter(4, 3)), (2, 5, 4)),
    "mm": (lambda: W(lambda s, x: x.mm(s.w), w=parameter(4, 3)), (4,)),
    "addmm": (lambda: W(lambda s, x: torch.addmm(s.b, x, s.w), b=parameter(3), w=parameter(4, 3)), (4,)),
    "addmm, bias (1, m)": (
        lambda: W(lambda s, x: torch.addmm(s.b, x.relu(), s.w), b=parameter(1, 3), w=parameter(4, 3)),
        (4,),
    ),
    "linear on the last axis": (lambda: nn.Linear(4, 3), (5, 4)),
    "linear to one, squeezed": (lambda: W(lambda s, x: s.a(x).squeeze(1).relu(), a=nn.Linear(4, 1)), (4,)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), (4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 8, (3, 2), (2, 1), (1, 0), (1, 2), groups=4, bias=False), (4, 9, 8)),
    "conv1d same": (lambda: nn.Conv1d(2, 3, 4, padding="same"), (2, 9)),
    "conv2d same": (lambda: nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 2)), (2, 9, 8)),
    "conv2d valid": (lambda: nn.Conv2d(2, 3, 3, padding="valid"), (2, 9, 8)),
    "conv2d reflect": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 5, 5)),
    "conv2d replicate": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="replicate"), (2, 5, 5)),
    "conv2d circular": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 5, 5)),
    "conv of an unsqueezed input": (lambda: W(lambda s, x: s.c(x.unsqueeze(1)), c=nn.Conv2d(1, 2, 3)), (5, 5)),
    # batch norm, in training mode when it is given
    "batch norm of vectors": (lambda: trained_norm(nn.BatchNorm1d(4), 4), (4,)),
    "batch norm of sequences": (lambda: trained_norm(nn.BatchNorm1d(4), 4, 3), (4, 3)),
    "batch norm of images": (lambda: trained_norm(nn.BatchNorm2d(4, eps=0.3), 4, 3, 3), (4, 3, 3)),
    "batch norm without scales": (lambda: trained_norm(nn.BatchNorm2d(4, affine=False), 4, 3, 3), (4, 3, 3)),
    "batch norm as a function": (
        lambda: W(
            lambda s, x: F.batch_norm(x, s.m, s.v, eps=0.3), m=nn.Buffer(torch.randn(4)), v=nn.Buffer(torch.rand(4))
        ),
        (4,),
    ),
    # weights that are computed
    "weight norm": (lambda: parametrizations.weight_norm(nn.Linear(4, 3)), (4,)),
    "weight norm, old": (normed_the_old_way, (4,)),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Linear(4, 3)), (4,)),
    "orthogonal": (lambda: parametrizations.orthogonal(nn.Linear(4, 3)), (4,)),
    "weights cut and joined": (
        lambda: W(
            lambda s, x: F.linear(x, torch.cat([s.a.chunk(2)[1], s.b.abs()])), a=parameter(4, 4), b=parameter(1, 4)
        ),
        (4,),
    ),
    "weights by another network": (
        lambda: W(lambda s, x: x * s.n(torch.ones(1, 4).to(x)), n=nn.Sequential(nn.Linear(4, 4), nn.Softmax(1))),
        (4,),
    ),
    # constants and numbers, on either side
    "numbers": (lambda: W(lambda s, x: 2 - (3 * x + 1) / 4 - x * -1 + (-x) / 3), (4,)),
    "constant tensors": (lambda: W(lambda s, x: (numbers(4) - x) * numbers(4) + x / numbers(4) - numbers(4)), (4,)),
    "integers": (lambda: W(lambda s, x: x * torch.arange(4) - torch.arange(4) + x / torch.tensor([3, 7, 9, 11])), (4,)),
    "unsigned integers": (lambda: W(lambda s, x: x - torch.tensor([1, 2, 3, 4], dtype=torch.uint8)), (4,)),
    "a constant in single precision": (lambda: W(lambda s, x: x / numbers(4).float()), (4,)),
    "mask": (lambda: W(lambda s, x: torch.tensor([True, False, True, True]) * x), (4,)),
    "constant with a batch axis": (lambda: W(lambda s, x: s.c - s.c * x, c=parameter(1, 4)), (4,)),
    "constant that enlarges": (lambda: W(lambda s, x: x * s.c + s.c, c=parameter(3, 5)), (3, 1)),
    "activation that enlarges": (lambda: W(lambda s, x: x - x.mean((1, 2), keepdim=True) + x[:, :, :1]), (3, 4)),
    "alpha": (lambda: W(lambda s, x: torch.sub(torch.add(s.c, x, alpha=3), s.c, alpha=2), c=parameter(4)), (4,)),
    "rsub": (lambda: W(lambda s, x: torch.rsub(x, 2, alpha=3)), (4,)),
    "normalised": (lambda: nn.Sequential(Normalise((0.1, 0.2), (0.3, 0.7)), nn.Conv2d(2, 3, 3)), (2, 4, 4)),
    # pooling; the inputs are negative
    "max pool": (lambda: W(lambda s, x: F.max_pool2d(x - 20, 2)), (2, 6, 7)),
    "max pool, padded": (lambda: W(lambda s, x: F.max_pool2d(x - 20, 3, 2, 1)), (2, 6, 7)),
    "max pool, ceil_mode": (lambda: W(lambda s, x: F.max_pool2d(x - 20, 3, 2, 1, ceil_mode=True)), (2, 6, 6)),
    "max pool, all options": (lambda: nn.MaxPool2d((3, 2), (1, 2), (1, 0), (2, 1), ceil_mode=True), (2, 7, 6)),
    "max pool, a window in the padding": (lambda: nn.MaxPool2d(2, 3, ceil_mode=True), (1, 7, 4)),
    "max pool, indices unread": (lambda: W(lambda s, x: s.p(x)[0], p=nn.MaxPool2d(2, return_indices=True)), (2, 4, 4)),
    "avg pool": (lambda: nn.AvgPool2d(3, 2, 1), (2, 7, 6)),
    "avg pool, ceil_mode": (lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 6, 6)),
    "avg pool, divisor": (lambda: nn.AvgPool2d((2, 3), divisor_override=5), (2, 6, 6)),
    "adaptive pool to 1": (lambda: nn.AdaptiveAvgPool2d(1), (2, 6, 5)),
    "adaptive pool to a divisor": (lambda: nn.AdaptiveAvgPool2d((3, None)), (2, 6, 5)),
    "max over axes": (lambda: W(lambda s, x: x.amax((1, -1)) - x.max(2).values[:, 0].sum(1, True)), (3, 4, 2)),
    "max, the axis kept": (lambda: W(lambda s, x: x - x.amax(1, keepdim=True)), (3, 4)),
    "mean and sum": (lambda: W(lambda s, x: x.mean([-1, -2]) + x.sum(3).sum(-1)), (2, 3, 4)),
    # layout
    "view(B, -1)": (lambda: W(lambda s, x: x.view(x.size(0), -1)), (2, 3, 4)),
    "view(-1, n)": (lambda: W(lambda s, x: x.view(-1, 24).relu()), (2, 3, 4)),
    "reshape": (lambda: W(lambda s, x: x.reshape(x.size(0), 4, 6)), (2, 3, 4)),
    "shape unpacked": (lambda: W(unpacked), (2, 3, 4)),
    "sizes as numbers": (lambda: W(counted), (2, 3)),
    "flatten and unflatten": (lambda: nn.Sequential(nn.Flatten(), nn.Unflatten(1, (4, 6))), (2, 3, 4)),
    "squeeze": (lambda: W(lambda s, x: x.squeeze(1).unsqueeze(-1).squeeze(-1)), (1, 4)),
    "permute": (lambda: W(lambda s, x: x.permute(0, 3, 1, 2).mT.swapaxes(1, -1).movedim(-1, 1)), (2, 3, 4)),
    "permute, then view": (lambda: W(lambda s, x: x.transpose(1, 2).contiguous().view(x.shape[0], -1)), (3, 4)),
    "slices": (lambda: W(lambda s, x: x[:, 1:-1:2, ..., -1] - x[:, 2::2, 0]), (6, 3)),
    "chunks": (
        lambda: W(lambda s, x: torch.cat(x.chunk(2, 1)[::-1], 1) * x.split([1, 3], 1)[1].sum(1, True).shape[1]),
        (4,),
    ),
    "unbind and stack": (lambda: W(lambda s, x: torch.stack((*x.unbind(1)[1:], 2 * x[:, 0]), -1)), (4, 2)),
    "flip, roll, repeat": (lambda: W(lambda s, x: x.flip(1).roll(1, 2).repeat(1, 2, 1)), (2, 3)),
    "expand": (lambda: W(lambda s, x: x.expand(-1, 3, 4) + x.expand(x.shape[0], 3, 4)), (1, 4)),
    "index_select": (lambda: W(lambda s, x: x.index_select(1, torch.tensor([2, 0, 0]))), (4,)),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), (4, 2, 3)),
    "pad with zeros": (lambda: W(lambda s, x: F.pad(x, (1, 2, 0, 1, 1, 0)).relu()), (2, 3, 3)),
    "pad and cut": (lambda: W(lambda s, x: F.pad(F.pad(x, (-1, 0, 0, -2)), (0, 1))), (2, 4, 4)),
    "pad by reflection": (lambda: W(lambda s, x: F.pad(x, (1, 2, 2, 1), mode="reflect")), (2, 4, 4)),
    "pad by replication": (lambda: W(lambda s, x: F.pad(x, (1, 2), mode="replicate").relu()), (2, 4)),
    "downsampled shortcut": (
        lambda: W(lambda s, x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)) + s.c(x), c=nn.Conv2d(2, 4, 3, 2, 1)),
        (2, 6, 6),
    ),
    # evaluation mode
    "dropout": (
        lambda: nn.Sequential(nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout(), nn.Identity(), nn.ReLU()),
        (2, 3, 3),
    ),
    "dropout as a function": (lambda: W(lambda s, x: F.dropout(x, 0.5, s.training).relu()), (4,)),
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", MODULES)
def test_the_graph_is_the_module(name: str) -> None:
    make, shape = MODULES[name]
    same(make(), *shape)


PAIRS: dict[str, tuple[nn.Module, Callable[[Any, Tensor], Tensor], Shape]] = {
    "linear": (nn.Linear(4, 3), lambda m, x: F.linear(x, m.weight, m.bias), (4,)),
    "conv": (nn.Conv2d(2, 4, 3, 2, 1), lambda m, x: F.conv2d(x, m.weight, m.bias, 2, 1), (2, 6, 6)),
    "same": (nn.Conv1d(2, 4, 4, padding="same"), lambda m, x: F.conv1d(x, m.weight, m.bias, padding="same"), (2, 7)),
    "relu": (nn.ReLU(inplace=False), lambda m, x: x.relu(), (4,)),
    "leaky relu": (nn.LeakyReLU(0.3), lambda m, x: F.leaky_relu(x, 0.3), (4,)),
    "flatten": (nn.Flatten(), lambda m, x: x.view(x.size(0), -1), (2, 3)),
    "max pool": (nn.MaxPool2d(3, 2, 1, 1, ceil_mode=True), lambda m, x: F.max_pool2d(x, 3, 2, 1, 1, True), (2, 6, 6)),
    "avg pool": (nn.AvgPool2d(2), lambda m, x: F.avg_pool2d(x, (2, 2)), (2, 6, 6)),
    "adaptive": (nn.AdaptiveAvgPool2d((1, 1)), lambda m, x: F.adaptive_avg_pool2d(x, 1), (2, 6, 6)),
    "pad": (nn.ZeroPad2d((1, 2, 0, 1)), lambda m, x: F.pad(x, (1, 2, 0, 1)), (2, 3, 3)),
    "batch norm": (
        nn.BatchNorm2d(2),
        lambda m, x: F.batch_norm(x, m.running_mean, m.running_var, m.weight, m.bias),
        (2, 3, 3),
    ),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", PAIRS)
def test_modules_and_functions_lower_alike(name: str) -> None:
    module, function, shape = PAIRS[name]
    by_module = same(nn.Sequential(module), *shape)
    by_function = same(Written(lambda self, x: function(self.part, x), part=module), *shape)
    assert operations(by_module) == operations(by_function)
    x = torch.randn(4, *shape, dtype=torch.float64)
    assert torch.equal(by_module(x), by_function(x))


FEW = ("cnn7", "crown-ibp-B", "gowal-small", "mlp-2x100", "wong-resnet", "wrn-10-10")


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FEW else pytest.mark.slow) for n in registry.names("networks")]
)
def test_every_architecture_of_the_networks(name: str) -> None:
    make: Any = registry.find("networks", name)
    for shape in ((1, 28, 28), (3, 32, 32)):
        network = make(shape, 10, normalise=Normalise((0.4,) * shape[0], (0.2,) * shape[0])).eval()
        graph = to_graph(network, torch.rand(1, *shape))  # an example of one sample
        x = torch.rand(3, *shape)
        with torch.no_grad():
            value = network(x)
            torch.testing.assert_close(graph(x), value, rtol=0, atol=1e-5 * value.abs().max().item())
        assert graph.output.shape == (10,)
        if name in FEW:
            return
