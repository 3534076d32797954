"""Every kind of network in this folder lowers to a graph, and is bounded there."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import absdomain
from absdomain import networks
from absdomain.networks import Normalise, advibp, crown_ibp, gowal, singleprop, wong

SMALL: dict[str, tuple[Callable[..., nn.Module], tuple[int, ...]]] = {
    "gowal-small": (gowal.small, (3, 12, 12)),
    "singleprop-small": (singleprop.small, (3, 8, 8)),
    "dm-small": (advibp.small, (3, 8, 8)),
    "crown-ibp-A": (crown_ibp.A, (3, 8, 8)),
    "crown-ibp-E": (crown_ibp.E, (3, 9, 9)),
    "crown-ibp-G": (crown_ibp.G, (3, 8, 8)),
    "wong-resnet": (wong.resnet, (3, 6, 6)),
    "wrn-10-10": (gowal.wrn_10_10, (3, 4, 4)),
    "cnn7": (networks.cnn7, (3, 6, 6)),
    "mlp": (networks.mlp, (3, 4, 4)),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", SMALL)
def test_a_network_lowers_and_its_ibp_bounds_hold_around_its_logits(name: str) -> None:
    constructor, shape = SMALL[name]
    normalise = Normalise([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])
    network = constructor(shape, 4, normalise=normalise).double().eval()
    x = torch.rand(2, *shape, dtype=torch.float64)
    graph = absdomain.to_graph(network, x[:1])  # refuses by itself if graph and module differ
    box = absdomain.parse("box")
    point = box.propagate(graph, absdomain.Linf(x, 0.0))
    torch.testing.assert_close(point.lower, network(x))
    region = absdomain.Linf(x, 0.01, clip=(0, 1))
    around = box.propagate(graph, region)
    for sample in region.sample(5, torch.Generator().manual_seed(0)):
        logits = network(sample)
        assert (around.lower <= logits).all()
        assert (logits <= around.upper).all()
