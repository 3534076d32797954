"""Normalisation, TensorFlow's padding, and how weights start."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from absdomain.networks import Chain, Conv, Normalise, Same, advibp, gowal, singleprop, size
from absdomain.networks.initialise import gaussian, orthogonal


def test_normalise_is_its_formula_per_channel() -> None:
    layer = Normalise([0.5, 0.1], [0.25, 2.0])
    x = torch.rand(3, 2, 4, 5)
    torch.testing.assert_close(layer(x)[:, 0], (x[:, 0] - 0.5) / 0.25)
    torch.testing.assert_close(layer(x)[:, 1], (x[:, 1] - 0.1) / 2.0)


def test_normalise_is_saved_but_not_trained() -> None:
    layer = Normalise([0.5], [0.25])
    assert set(layer.state_dict()) == {"mean", "std"}
    assert not list(layer.parameters())
    assert repr(layer) == "Normalise(mean=[0.5], std=[0.25])"


@pytest.mark.parametrize("std", [[0.0], [-1.0], [float("nan")], [float("inf")]])
def test_normalise_refuses_a_std_it_cannot_divide_by(std: list[float]) -> None:
    with pytest.raises(ValueError, match="each std must be positive and finite, but got"):
        Normalise([0.5], std)


def test_normalise_refuses_lists_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="got 2 means and 1 stds"):
        Normalise([0.5, 0.5], [0.25])


def tensorflow_same(x: torch.Tensor, layer: nn.Conv2d, stride: int) -> torch.Tensor:
    """SAME by its definition: output pixel i reads from i * stride - before, where before = total // 2."""
    kernel, outputs = layer.weight.shape[-1], -(-x.shape[-1] // stride)
    before = max((outputs - 1) * stride + kernel - x.shape[-1], 0) // 2
    wide = F.pad(x, [kernel] * 4)  # more zeros than are needed, so that every window can be read
    out = torch.empty(len(x), len(layer.weight), outputs, outputs)
    for i, j in itertools.product(range(outputs), repeat=2):
        top, left = (kernel + k * stride - before for k in (i, j))
        window = wide[:, :, top : top + kernel, left : left + kernel]
        out[:, :, i, j] = torch.einsum("bchw,ochw->bo", window, layer.weight)
    assert layer.bias is not None
    return out + layer.bias[:, None, None]


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 4, 5])
def test_same_pads_as_tensorflow(kernel: int, stride: int, side: int) -> None:
    layers, shape = Same(4, kernel, stride).layers((2, side, side))
    (conv,) = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    x = torch.randn(3, 2, side, side)
    out = nn.Sequential(*layers)(x)
    assert out.shape[1:] == shape
    torch.testing.assert_close(out, tensorflow_same(x, conv, stride))


def test_a_stride_of_two_lays_another_grid_in_tensorflow_than_in_pytorch() -> None:
    on_tensorflow, on_pytorch = Chain((Same(2, 3, 2),))((1, 8, 8)), Chain((Conv(2, 3, 2, 1),))((1, 8, 8))
    on_pytorch.load_state_dict(on_tensorflow.state_dict())
    x = torch.rand(2, 1, 8, 8)
    assert size(on_tensorflow, (1, 8, 8)) == size(on_pytorch, (1, 8, 8))
    assert not torch.allclose(on_tensorflow(x), on_pytorch(x))
    assert (gowal.large.rows[2], advibp.large.rows[2]) == (Same(128, 3, 2), Conv(128, 3, 2, 1))


def test_gowals_weights_start_orthogonal_and_biases_at_zero() -> None:
    network = Chain((Conv(4, 3),), (16,), orthogonal)((2, 5, 5))
    for layer in (network.get_submodule("conv1"), network.get_submodule("fc1")):
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        rows = layer.weight.flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)))
        assert layer.bias is not None
        assert not layer.bias.any()
    assert gowal.small.initialise is gowal.medium.initialise is gowal.large.initialise is orthogonal


def test_singleprops_weights_start_gaussian_with_variance_one_over_fan_in() -> None:
    network = Chain((Conv(64, 5),), (400,), gaussian)((3, 8, 8))
    for layer in (network.get_submodule("conv1"), network.get_submodule("fc1")):
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.05)
        assert layer.bias is not None
        assert not layer.bias.any()
    assert singleprop.small.initialise is singleprop.wide.initialise is gaussian


class Spelt(nn.Module):
    """Three spellings of ReLU, dropout that must not run, and a frozen weight."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.drop = nn.Dropout().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.layer(x))
        return F.relu(self.drop(self.frozen(y).relu_()), inplace=True)


def test_size_counts_relus_however_they_are_spelt_and_parameters_that_are_trained() -> None:
    network = Spelt()
    modes = [part.training for part in network.modules()]
    assert size(network, (4,)) == (15, 9)
    assert [part.training for part in network.modules()] == modes


@pytest.mark.parametrize("network", [gowal.small, advibp.small, singleprop.small])
def test_the_initial_weights_depend_on_the_seed_alone(network: Chain) -> None:
    torch.manual_seed(3)
    first = network()
    torch.manual_seed(3)
    second = network()
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))
