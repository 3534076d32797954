"""A positive bound is no proof where rounding alone could have made it positive."""

import pytest
import torch
from torch import nn

from absdomain import Linf, margins, to_graph
from absdomain.algebra import parse
from absdomain.certification import Reason, Status, certify
from absdomain.rounding import Magnitude, allowance


def cancelling(bias: float) -> nn.Module:
    """x -> (relu(x + bias) - relu(bias) + small, 0): the big terms cancel, and what is left is their rounding."""
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
        net[0].bias.fill_(bias)
        net[2].weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 0.0]]))
        net[2].bias.copy_(torch.tensor([-1.5e-6, 0.0]))
    return net


@pytest.mark.parametrize("text", ["box", "crown-ibp", "deeppoly"])
def test_terms_that_cancel_are_not_believed(text: str) -> None:
    # in real arithmetic the margin at 1.4e-6 is -1e-7; in float64 the sum with 1e10 loses it
    x, y = torch.tensor([[2e-6]], dtype=torch.float64), torch.tensor([0])
    (verdict,) = certify(cancelling(1e10), x, y, eps=6e-7, clip=None, domains=[parse(text)])
    assert verdict.status is not Status.VERIFIED
    assert verdict.reason in (Reason.ROUNDING, Reason.LOOSE, None)
    (verdict,) = certify(cancelling(1.0), torch.ones_like(x), y, eps=0.1, clip=None, domains=[parse(text)])
    assert verdict.status is Status.VERIFIED


def test_the_magnitude_holds_every_value_and_does_not_cancel() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).double()
    x = torch.rand(4, 3, dtype=torch.float64)
    graph, region = to_graph(net, x), Linf(x, 0.3)
    trace = Magnitude().propagate(graph, region)
    for point in region.sample(50):
        assert bool((net(point).abs() <= trace.upper).all())
    first, last = net[0], net[2]
    hidden = (first.weight.abs() @ (x.abs() + 0.3).T).T + first.bias.abs()
    torch.testing.assert_close(trace.upper, hidden @ last.weight.abs().T + last.bias.abs())
    spec = margins(torch.zeros(4, dtype=torch.int64), 2)
    assert bool((allowance(graph, region, spec) > allowance(graph, region)).all())
