"""Balls of the norms 1 and 2 that are cut to a range: laws, exact optima, gradients."""

from itertools import product

import cvxpy as cp
import pytest
import torch
from torch import Tensor

from absdomain import L1, L2, Clipped, certify
from absdomain.laws import LawBroken, check_region
from absdomain.linear import Rows
from absdomain.ops import Permute, Scale
from absdomain.region.balls import Ball

D64 = torch.float64
BALLS: tuple[type[Ball], ...] = (L1, L2)
ZERO, ONE = torch.zeros((), dtype=D64), torch.ones((), dtype=D64)


def made(kind: type[Ball], radius: float, *shape: int) -> Clipped:
    centre = torch.rand(shape, dtype=D64)
    centre.flatten()[:3] = torch.tensor([0.0, 1.0, 0.5], dtype=D64)  # at the ends, too
    return Clipped(kind(centre, radius), ZERO, ONE)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("radius", [0.0, 0.1, 0.7, 3.0, 100.0])
@pytest.mark.parametrize("kind", BALLS)
def test_it_keeps_every_law_of_a_region(kind: type[Ball], radius: float) -> None:
    region = made(kind, radius, 3, 2, 3)
    check_region(region)
    weight = torch.tensor([[-2.0], [0.5]], dtype=D64)
    for op in (Scale(weight, weight), Permute((0, 2, 1))):
        check_region(region.image(op))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", BALLS)
def test_the_minimum_is_the_exact_one(kind: type[Ball]) -> None:
    for n, radius in product((1, 2, 7, 30), (0.05, 0.3, 1.0, 2.5, 7.0)):
        centre, c = torch.rand(1, n, dtype=D64), torch.randn(1, 1, n, dtype=D64) * (torch.rand(1, 1, n) > 0.2)
        reach = radius * (torch.rand(1, n, dtype=D64) + 0.5)
        region = Clipped(kind(centre, reach), ZERO, ONE)
        x = cp.Variable(n)
        within = cp.norm((x - centre[0].numpy()) / reach[0].numpy(), kind.order) <= 1
        best = cp.Problem(cp.Minimize(c[0, 0].numpy() @ x), [x >= 0, x <= 1, within]).solve(solver="CLARABEL")
        assert float(region.minimum(Rows.of(c))) == pytest.approx(best, abs=1e-6), (n, radius)  # the solver's tolerance


@pytest.mark.parametrize("kind", BALLS)
def test_gradients_are_those_of_finite_differences(kind: type[Ball]) -> None:
    c = torch.tensor([[[1.0, -2.0, 0.3, -0.7]]], dtype=D64, requires_grad=True)
    centre = torch.tensor([[0.2, 0.9, 0.4, 0.5]], dtype=D64, requires_grad=True)
    radius = torch.tensor(0.45, dtype=D64, requires_grad=True)

    def minimum(c: Tensor, centre: Tensor, radius: Tensor) -> Tensor:
        return Clipped(kind(centre, radius), ZERO, ONE).minimum(Rows.of(c))

    assert torch.autograd.gradcheck(minimum, (c, centre, radius))


def test_it_is_smaller_than_ball_and_range() -> None:
    region = made(L2, 0.8, 4, 5)
    c = torch.randn(6, 4, 5, dtype=D64)
    least = region.minimum(Rows.of(c))
    assert bool((least > region.ball.minimum(Rows.of(c)) + 1e-3).any())
    assert bool((least >= region.ball.minimum(Rows.of(c)) - 1e-12).all())


class Wrong(Clipped):
    """As if the range did not matter where the ball leaves it."""

    def _against(self, c: Tensor) -> tuple[Tensor, Tensor]:
        steep, room = super()._against(c)
        return steep, room.clamp(max=0.3)


def test_a_wrong_one_breaks_the_law() -> None:
    region = made(L2, 0.7, 3, 2, 3)
    with pytest.raises(LawBroken):
        check_region(Wrong(region.ball, ZERO, ONE))


def test_a_centre_outside_and_wrong_arguments_are_told() -> None:
    with pytest.raises(ValueError, match=r"centre is 2 at index \[0, 1\]"):
        Clipped(L2(torch.tensor([[0.5, 2.0]]), 0.1), torch.zeros(()), torch.ones(()))
    with pytest.raises(ValueError, match="broadcast"):
        Clipped(L2(torch.zeros(1, 2), 0.1), torch.zeros(3, 2), torch.ones(()))
    with pytest.raises(TypeError, match="Linf has a clip"):
        Clipped(torch.zeros(1, 2), torch.zeros(()), torch.ones(()))  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", [1, 2])
def test_images_are_certified_over_it(norm: int) -> None:
    """Interval bounds are at least those over the whole ball, and some better; witnesses lie in the range."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.ReLU(), torch.nn.Linear(12, 3))
    x = torch.rand(12, 6).round(decimals=1)
    y = net(x).argmax(1)
    given = {"eps": 0.6, "norm": norm, "domains": ["box", "deeppoly", "zonotope"], "every": True}
    cut, whole = (certify(net, x, y, clip=clip, **given).verdicts for clip in ((0, 1), None))  # type: ignore[arg-type]
    better = [a.lower["box"] - b.lower["box"] for a, b in zip(cut, whole, strict=True)]
    assert min(better) > -1e-9
    assert max(better) > 0.01
    broken = [v for v in cut if v.witness is not None]
    assert broken
    for v in broken:
        assert v.witness is not None
        assert torch.linalg.vector_norm((v.witness.double() - x[v.index].double()), norm) <= 0.6
        assert v.witness.min() >= 0 and v.witness.max() <= 1
