"""Piecewise constant ops: both sides of a jump are in the band, and nothing is certified across one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from absdomain import Linf, parse, to_graph
from absdomain.laws import check_op
from absdomain.linear import Bounds
from absdomain.ops import Ceil, Floor, Heaviside, Round, Sign
from absdomain.ops.steps import Steps
from tests.written import Written

D64 = torch.float64


def box(low: float, high: float) -> Bounds:
    return Bounds(*(torch.tensor([[end]], dtype=D64) for end in (low, high)))


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("op", "reference"), [
    (Sign(), torch.sign), (Heaviside(0.5), lambda x: torch.heaviside(x, x.new_tensor(0.5))), (Floor(), torch.floor),
    (Ceil(), torch.ceil), (Round(), torch.round),
])  # fmt: skip
def test_the_laws_of_an_op(op: Steps, reference: Callable[..., Tensor]) -> None:
    check_op(op, (2, 3), reference=reference, exact=False)  # beside a jump the band is that of the jump


@pytest.mark.parametrize(("op", "low", "high", "image"), [
    (Sign(), -1, 1, (-1, 1)), (Sign(), 0, 1, (-1, 1)), (Sign(), 0, 0, (-1, 1)), (Sign(), -1, -1e-9, (-1, -1)),
    (Sign(), -1, -1e-14, (-1, 1)), (Heaviside(), 0, 1, (0, 1)), (Heaviside(1.0), 1e-14, 1, (0, 1)),
    (Heaviside(0.5), 1e-9, 2, (1, 1)), (Floor(), -0.5, 2, (-1, 2)), (Floor(), 1, 1.5, (0, 1)),
    (Floor(), 1.25, 1.5, (1, 1)), (Ceil(), 1, 1.5, (1, 2)), (Round(), 0.5, 1.5, (0, 2)),
    (Round(), 0.6, 1.4, (1, 1)),
])  # fmt: skip
def test_the_image_has_both_limits_of_a_jump_that_rounding_may_reach(
    op: Steps, low: float, high: float, image: tuple[float, float]
) -> None:
    found = op.image((box(low, high),))
    assert (found.lower.item(), found.upper.item()) == image
    (settled,) = op.settled((box(low, high),)) or ()
    assert bool(settled) == (image[0] == image[1])


def test_the_band_holds_both_limits_at_a_jump() -> None:
    slope = torch.ones(1, 1, dtype=D64)
    for op, low, high in ((Floor(), -1.0, 0.0), (Ceil(), 0.0, 1.0)):
        band = op.band((slope,), (box(-1.5, 1.5),))
        assert band.lower.item() == pytest.approx(low, abs=1e-9)
        assert band.upper.item() == pytest.approx(high, abs=1e-9)


@pytest.mark.parametrize(("op", "low", "high", "slopes"), [
    (Sign(), -1.0, 3.0, (2 / 3, 0.0)), (Floor(), -2.5, 3.5, (1.0, 1.0)), (Round(), 0.6, 1.4, (0.0, 0.0)),
])  # fmt: skip
def test_slopes_over_the_middle_are_those_of_the_hull(
    op: Steps, low: float, high: float, slopes: tuple[float, float]
) -> None:
    for (found,), slope in zip(op.tight_slopes((box(low, high),)), slopes, strict=True):
        assert found.item() == pytest.approx(slope)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("domain", ["box", "deeppoly", "box & deeppoly", "zonotope", "lp.guided(by=box)"])
def test_a_network_with_steps_is_enclosed(domain: str) -> None:
    torch.manual_seed(0)
    first, last = nn.Linear(3, 4), nn.Linear(4, 2)
    module = Written(lambda s, x: s.b((3 * s.a(x)).round().sign() + s.a(x).floor()), a=first, b=last).double()
    x = torch.rand(2, 3, dtype=D64)
    trace = parse(domain).propagate(to_graph(module, x), region := Linf(x, 0.3))
    points = torch.stack([module(p) for p in region.sample(200)])
    assert (trace.lower <= points + 1e-6).all() and (points <= trace.upper + 1e-6).all()


def test_a_value_at_zero_lies_between_the_levels() -> None:
    with pytest.raises(ValueError, match=r"Heaviside: at_zero is 1.5; give a number from 0 to 1"):
        Heaviside(1.5)
