"""Where values lie between their bounds: by hand on three neurons, and 0 where bounds are a point or affine."""

import pytest
import torch
from torch import nn

from absdomain import Linf, parse
from absdomain.report.centring import centring, totals
from absdomain.report.measure import frozen


def network() -> nn.Sequential:
    """z = 2 relu(x - 0.45)."""
    made = nn.Sequential(nn.Flatten(), nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    with torch.no_grad():
        for layer, weight, bias in ((made[1], 1.0, -0.45), (made[3], 2.0, 0.0)):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
    return made


def test_the_distance_from_the_middle_by_hand() -> None:
    x = torch.tensor([[0.5], [0.7]], dtype=torch.float64)  # the second image's ball has no kink
    graph = frozen(network(), x[:1])
    rows = centring(graph, parse("box"), Linf(x, 0.1))
    assert [row.absolute for row in rows] == [pytest.approx(v, abs=1e-15) for v in ((0, 0), (0.025, 0), (0.05, 0))]
    assert [row.relative for row in rows] == [pytest.approx(v, abs=1e-14) for v in ((0, 0), (1 / 6, 0), (1 / 6, 0))]
    assert rows[1].mean_relative == pytest.approx(1 / 12)
    found = totals(rows)
    assert found["metric 1"] == pytest.approx((0.0375, 0.075 / 2**0.5))
    assert found["metric 2"] == pytest.approx((1 / 6, 1 / 3 / 2**0.5))


def test_bounds_of_one_point_have_their_values_in_the_middle() -> None:
    x = torch.tensor([[0.5]], dtype=torch.float64)
    rows = centring(frozen(network(), x), parse("box"), Linf(x, 0.0))
    assert [row.absolute + row.relative for row in rows] == [(0.0, 0.0)] * 3
    assert totals(rows) == {"metric 1": (0.0, 0.0), "metric 2": (0.0, 0.0)}
