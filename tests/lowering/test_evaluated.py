"""A graph as a module: the same function, in the module's dtype, and lowered again the same bounds."""

import pytest
import torch
from torch import nn

import absdomain
from absdomain.lowering.evaluated import Evaluated


def test_a_graph_is_certified_as_the_module_is() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
    )
    x = torch.rand(4, 1, 6, 6)
    graph = absdomain.to_graph(net.eval(), x)
    module = Evaluated(graph)
    torch.testing.assert_close(module(x), net(x))
    torch.testing.assert_close(module(x.flatten(1)), net(x))
    assert module.to(torch.float64)(x.double()).dtype is torch.float64
    y = net(x).argmax(1)
    found, wanted = (absdomain.certify(one, x, y, eps=0.05, domains="box & deeppoly") for one in (graph, net))
    assert [v.status for v in found] == [v.status for v in wanted]
    bounds = [torch.tensor([v.lower["box & deeppoly"] for v in one.verdicts if v.lower]) for one in (found, wanted)]
    torch.testing.assert_close(*bounds)


@pytest.mark.parametrize(
    ("shape", "fits"), [((3, 4, 5), True), ((1, 3, 4, 5), True), ((60,), True), ((4, 5, 3), False), ((59,), False)]
)
def test_inputs_with_their_axes_in_another_order_are_refused(shape: tuple[int, ...], fits: bool) -> None:
    """(H, W, C) for (C, H, W) would be read as another image."""
    module = Evaluated(absdomain.to_graph(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()), torch.rand(2, 3, 4, 5)))
    x = torch.rand(2, 3, 4, 5)
    if fits:
        torch.testing.assert_close(module(x.view(2, *shape)), module(x))
    else:
        with pytest.raises(ValueError, match=r"takes inputs of shape \(3, 4, 5\)"):
            module(torch.rand(2, *shape))
