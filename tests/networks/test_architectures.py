"""The papers' networks have the papers' sizes, and what their tables say layer by layer."""

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import nn

from absdomain import networks, registry
from absdomain.networks import Chain, Conv, Normalise, Same, Size, advibp, crown_ibp, gowal, singleprop, wong

MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
Constructor = Callable[..., nn.Sequential]


def registered(name: str) -> Constructor:
    return cast(Constructor, registry.find("networks", name))


def on_paper(network: Constructor, shape: tuple[int, ...], classes: int = 10) -> Size:
    """The network's size, counted without making a weight."""
    with torch.device("meta"):
        return networks.size(network(shape, classes), shape)


# (name, shape, parameters or None where no source gives them, hidden units)
PUBLISHED = [
    ("gowal-small", MNIST, 329_606, 6_004),
    ("gowal-small", CIFAR, 470_918, 8_308),
    ("gowal-medium", MNIST, 893_418, 34_688),
    ("gowal-medium", CIFAR, 1_188_906, 46_912),
    ("gowal-large", MNIST, 13_257_290, 176_128),
    ("gowal-large", CIFAR, 17_190_602, 229_888),
    ("wong-small", CIFAR, None, 6_244),
    ("wong-large", MNIST, None, 48_064),
    ("wong-large", CIFAR, None, 62_464),
    ("wong-resnet", CIFAR, None, 107_496),
    ("dm-small", MNIST, None, 8_644),
    ("dm-large", MNIST, 13_257_290, 176_128),
    ("dm-large", CIFAR, 17_190_602, 229_888),
    ("wrn-10-10", (3, 56, 56), None, 1_806_336),
]


@pytest.mark.parametrize(("name", "shape", "parameters", "hidden"), PUBLISHED)
def test_published_sizes(name: str, shape: tuple[int, ...], parameters: int | None, hidden: int) -> None:
    size = on_paper(registered(name), shape)
    assert size.relus == hidden
    assert parameters in (None, size.parameters)


def test_published_size_of_the_wide_resnet() -> None:
    assert on_paper(gowal.wrn_10_10, (3, 56, 56), 1000) == Size(parameters=8_065_432, relus=1_806_336)


# Counted by hand from the tables: convolutions channels x height x width, then units.
BY_HAND: dict[tuple[str, tuple[int, ...]], int] = {
    ("crown-ibp-A", MNIST): 4 * 14**2 + 8 * 7**2 + 128,
    ("crown-ibp-B", MNIST): 8 * 14**2 + 16 * 7**2 + 256,
    ("crown-ibp-B", CIFAR): 8 * 16**2 + 16 * 8**2 + 256,
    ("crown-ibp-C", MNIST): 4 * 28**2 + 8 * 28**2 + 8 * 7**2 + 64,
    ("crown-ibp-D", CIFAR): 8 * 32**2 + 16 * 32**2 + 16 * 8**2 + 128,
    ("crown-ibp-E", MNIST): 4 * 26**2 + 8 * 24**2 + 8 * 6**2 + 64,
    ("crown-ibp-F", MNIST): 8 * 26**2 + 16 * 24**2 + 16 * 6**2 + 128,
    ("crown-ibp-G", MNIST): 4 * 28**2 + 4 * 14**2 + 8 * 14**2 + 8 * 7**2 + 2 * 256,
    ("crown-ibp-H", MNIST): 8 * 28**2 + 8 * 14**2 + 16 * 14**2 + 16 * 7**2 + 2 * 256,
    ("crown-ibp-I", MNIST): 4 * 28**2 + 4 * 14**2 + 8 * 14**2 + 8 * 7**2 + 2 * 512,
    ("crown-ibp-J", MNIST): 8 * 28**2 + 8 * 14**2 + 16 * 14**2 + 16 * 7**2 + 2 * 512,
    ("crown-ibp-K", MNIST): 16 * 28**2 + 16 * 14**2 + 32 * 14**2 + 32 * 7**2 + 2 * 256,
    ("crown-ibp-L", MNIST): 16 * 28**2 + 16 * 14**2 + 32 * 14**2 + 32 * 7**2 + 2 * 512,
    ("crown-ibp-M", CIFAR): 32 * 32**2 + 32 * 16**2 + 64 * 16**2 + 64 * 8**2 + 2 * 512,
    ("crown-ibp-N", MNIST): 64 * 28**2 + 64 * 14**2 + 128 * 14**2 + 128 * 7**2 + 2 * 512,
    ("crown-ibp-O", MNIST): 64 * 26**2 + 128 * 24**2 + 128 * 6**2 + 512,
    ("crown-ibp-P", MNIST): 32 * 26**2 + 64 * 24**2 + 64 * 6**2 + 512,
    ("crown-ibp-Q", MNIST): 16 * 26**2 + 32 * 24**2 + 32 * 6**2 + 512,
    ("crown-ibp-R", MNIST): 32 * 28**2 + 64 * 28**2 + 64 * 7**2 + 512,
    ("crown-ibp-S", CIFAR): 32 * 16**2 + 64 * 8**2 + 128,
    ("crown-ibp-T", CIFAR): 64 * 16**2 + 128 * 8**2 + 256,
    ("singleprop-small", MNIST): 16 * 14**2 + 32 * 14**2 + 100,
    ("singleprop-wide", MNIST): 128 * 28**2 + 256 * 14**2 + 512 * 7**2 + 1024,
    ("cnn7", MNIST): 2 * 64 * 28**2 + 3 * 128 * 14**2 + 512,
    ("mlp", MNIST): 2 * 100,
    ("mlp-2x100", MNIST): 2 * 100,
    ("mlp-2x256", MNIST): 2 * 256,
    ("mlp-4x256", MNIST): 4 * 256,
    ("mlp-6x256", MNIST): 6 * 256,
    ("toy", (1, 1, 2)): 3 * 100,
}


@pytest.mark.parametrize(("name", "shape"), BY_HAND)
def test_hidden_units_counted_by_hand(name: str, shape: tuple[int, ...]) -> None:
    assert on_paper(registered(name), shape).relus == BY_HAND[name, shape]


def test_every_registered_network_is_counted() -> None:
    counted = {name for name, *_ in PUBLISHED} | {name for name, _ in BY_HAND} | {"dm-medium"}
    assert counted == set(registry.names("networks"))


def test_the_networks_that_several_papers_share() -> None:
    assert advibp.medium == crown_ibp.M == wong.large


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", registry.names("networks"))
@pytest.mark.parametrize(("shape", "classes"), [(MNIST, 10), (CIFAR, 7)])
def test_every_network_maps_images_to_logits(name: str, shape: tuple[int, ...], classes: int) -> None:
    channels = shape[0]
    with torch.device("meta"):
        network = registered(name)(shape, classes, normalise=Normalise([0.5] * channels, [0.25] * channels))
        assert network(torch.empty(5, *shape)).shape == (5, classes)
    assert isinstance(network[0], Normalise)


def test_tables_read_as_the_papers_print_them() -> None:
    assert str(crown_ibp.C) == "Conv4 3x3 s1 p1, Conv8 3x3 s1 p1, Conv8 4x4 s4 p0, FC64"
    assert str(singleprop.small) == "Conv16 4x4 s2 SAME, Conv32 4x4 s1 SAME, FC100"


def test_layers_keep_their_names_with_normalisation() -> None:
    plain, normalised = gowal.small(), gowal.small(normalise=Normalise([0.1307], [0.3081]))
    weights = plain.state_dict()
    assert [name for name in weights if name.endswith("bias")] == ["conv1.bias", "conv2.bias", "fc1.bias", "fc2.bias"]
    assert set(normalised.state_dict()) == set(weights) | {"normalise.mean", "normalise.std"}


def test_cnn7_has_batch_norm_after_all_but_the_last_layer() -> None:
    kinds = [type(layer) for layer in networks.cnn7((1, 8, 8))]
    block = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert kinds == [*block * 5, nn.Flatten, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]


@pytest.mark.parametrize("network", [gowal.small, gowal.medium, crown_ibp.C, crown_ibp.E])
def test_an_image_too_small_is_refused_with_the_row_that_fails(network: Chain) -> None:
    with pytest.raises(ValueError, match=r"images of .* are too small for Conv\d+ \dx\d s\d p\d"):
        network((1, 3, 3))


def test_normalisation_of_other_images_is_refused() -> None:
    for network in (gowal.small, gowal.wrn_10_10, wong.resnet, networks.cnn7, networks.mlp):
        with pytest.raises(ValueError, match=r"images of \(1, 28, 28\) have 1 channels, but Normalise.* is for 3"):
            network(MNIST, normalise=Normalise([0.5] * 3, [0.2] * 3))


def test_residual_block_is_its_formula() -> None:
    block = wong.resnet((3, 8, 8)).get_submodule("block3")
    x = torch.randn(2, 16, 8, 8)
    first, second, skip = (block.get_submodule(name) for name in ("first", "second", "skip"))
    expected = torch.relu(second(torch.relu(first(x))) + skip(x))
    torch.testing.assert_close(block(x), expected)
    assert expected.shape == (2, 32, 4, 4)


@pytest.mark.parametrize("shape", [(3, 7, 7), (1, 9, 11), (3, 13, 8)])
def test_the_resnet_takes_odd_and_oblong_images(shape: tuple[int, ...]) -> None:
    assert wong.resnet(shape)(torch.rand(2, *shape)).shape == (2, 10)


def test_wide_block_shortcuts_from_its_first_relu() -> None:
    block = gowal.Wide(4, 6, 2)
    x = torch.randn(2, 4, 8, 8)
    active = torch.relu(x)
    torch.testing.assert_close(block(x), block.conv2(torch.relu(block.conv1(active))) + block.shortcut(active))


@pytest.mark.parametrize("rows", [(Conv(3, 3, 2),), (Same(3, 3, 2),), ()])
def test_a_chain_is_usable_for_a_design_of_ones_own(rows: tuple[networks.Conv, ...]) -> None:
    assert Chain(rows, (5,))((2, 6, 7), 4)(torch.rand(3, 2, 6, 7)).shape == (3, 4)
