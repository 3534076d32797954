"""Every region keeps its laws; what is empty or undefined is refused."""

from random import Random

import pytest
import torch
from hypothesis import given
from torch import Tensor

from absdomain import L1, L2, Clipped, Guarantee, Interval, Linf, Region, Rows, margins
from absdomain.laws import LawBroken, check_region, drawing, strategies
from absdomain.laws.examples import REGIONS, RegionMaker
from absdomain.ops import Conv, Dense, Permute, Reshape, Scale

D64 = torch.float64
CENTRE = torch.tensor([[0.25, -1.0, 2.0], [0.0, 0.5, 1.0]], dtype=D64)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("make", REGIONS, ids=lambda make: make.__name__)
def test_every_region_keeps_its_laws(make: RegionMaker) -> None:
    for seed in range(15):
        rng = Random(seed)
        check_region(make(rng, 2, drawing.shape(rng)), seed=seed)


@given(strategies.regions((2, 3), batch=1))
def test_the_strategy_of_regions_composes(region: Region) -> None:
    assert region.centre.shape == (1, 2, 3)
    assert region.guarantee is Guarantee.SOUND


@pytest.mark.sampled(3)
@pytest.mark.parametrize("radius", [0.5, *(torch.full(shape, 0.5) for shape in ((), (3,), (2, 1), (2, 3)))])
@pytest.mark.parametrize("kind", [Linf, L2, L1])
def test_a_radius_broadcasts_to_the_centre(kind: type[Linf] | type[L2] | type[L1], radius: Tensor | float) -> None:
    region = kind(CENTRE, radius)
    check_region(region)
    torch.testing.assert_close(region.box().radius, torch.full_like(CENTRE, 0.5))


def test_closed_forms() -> None:
    rows = Rows.of(torch.tensor([[[3.0, -4.0, 0.0]]], dtype=D64))
    at_centre = CENTRE @ torch.tensor([3.0, -4.0, 0.0], dtype=D64)
    for region, dual in ((Linf(CENTRE, 0.5), 7.0), (L2(CENTRE, 0.5), 5.0), (L1(CENTRE, 0.5), 4.0)):
        torch.testing.assert_close(region.minimum(rows)[0], at_centre - 0.5 * dual)


def test_a_radius_per_axis_is_an_ellipsoid() -> None:
    region = L2(CENTRE, torch.tensor([1.0, 2.0, 0.0]))
    rows = Rows.of(torch.tensor([[[3.0, 2.0, 9.0]]], dtype=D64))
    torch.testing.assert_close(region.minimum(rows)[0], CENTRE @ rows.data[0, 0] - 5.0)


def test_clipping_is_in_the_space_of_the_centre() -> None:
    region = Linf(torch.tensor([[0.0, 0.9]], dtype=D64), 0.2, clip=(0.0, 1.0))
    assert region.box().lower.tolist() == [[0.0, pytest.approx(0.7)]]
    assert region.box().upper.tolist() == [[pytest.approx(0.2), 1.0]]
    everywhere = Linf(torch.zeros(1, 2, dtype=D64), 0.5, clip=(-torch.inf, torch.inf))
    assert everywhere.box().lower.tolist() == [[-0.5, -0.5]]


@pytest.mark.parametrize("make", [
    lambda: Interval(torch.ones(1, 2), torch.zeros(1, 2)),
    lambda: Interval(torch.zeros(1, 2), torch.full((1, 2), torch.nan)),
    lambda: Linf(torch.zeros(1, 2), -0.1),
    lambda: Linf(torch.full((1, 2), 2.0), 0.1, clip=(0.0, 1.0)),
    lambda: Linf(torch.full((1, 2), torch.nan), 0.1),
    lambda: L2(torch.zeros(1, 2), -1.0),
    lambda: L2(torch.zeros(1, 2), torch.tensor([0.1, torch.nan])),
    lambda: L1(torch.full((1, 2), torch.nan), 0.1),
])  # fmt: skip
def test_an_empty_or_undefined_region_is_refused(make: object) -> None:
    with pytest.raises(ValueError, match="empty or undefined"):
        make()  # type: ignore[operator]


def test_ends_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="lower has shape"):
        Interval(torch.zeros(1, 2), torch.ones(1, 3))


def test_a_ball_is_not_replaced_by_its_hull_before_the_first_layer() -> None:
    """The bound of one row over an L2 ball in 784 dimensions is 22 to 28 times that of the hull."""
    centre = torch.zeros(1, 784, dtype=D64)
    row = Dense(drawing.normal(Random(0), 1, 784))
    exact, hull = L2(centre, 1.0).image(row).box(), Linf(centre, 1.0).image(row).box()
    assert 15 < (hull.radius / exact.radius).item() < 28


@pytest.mark.sampled(3)
@pytest.mark.parametrize("make", REGIONS, ids=lambda make: make.__name__)
def test_diagonal_ops_move_a_region_to_one_of_its_kind(make: RegionMaker) -> None:
    region = make(Random(1), 2, (2, 3))
    weight = torch.tensor([[-2.0], [0.5]], dtype=D64)
    for op, shape in ((Scale(weight, weight), (2, 3)), (Permute((0, 2, 1)), (3, 2)), (Reshape((6,)), (6,))):
        moved = region.image(op)
        assert isinstance(moved, Region)
        assert moved.centre.shape == (2, *shape)
        check_region(moved)
    assert not isinstance(region.image(Dense(drawing.normal(Random(2), 2, 3))), Region)


@pytest.mark.parametrize("make", REGIONS, ids=lambda make: make.__name__)
def test_the_same_generator_gives_the_same_samples(make: RegionMaker) -> None:
    region = make(Random(3), 2, (4,))
    one, two = (region.sample(9, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, two)


def test_projection_is_the_nearest_point_of_a_ball() -> None:
    """Against a fine grid of directions in the plane."""
    centre, point = torch.zeros(1, 2, dtype=D64), torch.tensor([[1.3, 0.4]], dtype=D64)
    angles = torch.linspace(0, 2 * torch.pi, 20001, dtype=D64)
    circle = torch.stack([angles.cos(), angles.sin()], -1)
    for region, norm in ((Linf(centre, 1.0), torch.inf), (L2(centre, 1.0), 2.0), (L1(centre, 1.0), 1.0)):
        sphere = circle / torch.linalg.vector_norm(circle, norm, dim=-1, keepdim=True)
        nearest = (sphere - point).norm(dim=-1).min()
        torch.testing.assert_close((region.project(point) - point).norm(), nearest, atol=1e-6, rtol=0)


def test_gradients_reach_centre_and_radius() -> None:
    for kind in (Linf, L2, L1):
        centre, radius = CENTRE.clone().requires_grad_(), torch.tensor(0.5, dtype=D64, requires_grad=True)
        region = kind(centre, radius)
        region.minimum(Rows.of(torch.ones(1, 1, 3, dtype=D64))).sum().backward()
        assert centre.grad is not None
        assert radius.grad is not None
        assert float(centre.grad.abs().min()) > 0
        assert float(radius.grad) < 0


class Forgetful(L2):
    """An L2 ball that concretises as if it were a box of its inscribed cube."""

    def minimum(self, c: Rows) -> Tensor:
        return c.dot(self.centre) - L1.dual_norm((c.data * self.reach).flatten(2))


def test_a_broken_region_is_told_which_law_it_breaks() -> None:
    with pytest.raises(LawBroken, match="minimum"):
        check_region(Forgetful(CENTRE, 0.5))


def test_a_hull_of_a_convolution_is_exact_at_padded_borders() -> None:
    """The full kernel's norm would be loose there (Gowal et al. use it)."""
    kernel = drawing.normal(Random(5), 1, 1, 3, 3)
    region = L2(torch.zeros(1, 1, 4, 4, dtype=D64), 1.0)
    radius = region.image(Conv(kernel, None, (1, 1), (1, 1))).box().radius
    torch.testing.assert_close(radius[0, 0, 1, 1], kernel.norm())
    torch.testing.assert_close(radius[0, 0, 0, 0], kernel[0, 0, 1:, 1:].norm())


def test_regions_and_specifications_are_one_line() -> None:
    assert repr(Linf(CENTRE, 0.1, clip=(-1, 2))) == "Linf(centre=<2, 3>, radius=0.1, clip=(-1, 2))"
    assert repr(Clipped(L2(CENTRE, torch.tensor(8.0)), CENTRE, CENTRE)) == (
        "Clipped(ball=L2(centre=<2, 3>, radius=8), lower=<2, 3>, upper=<2, 3>)"
    )
    assert repr(margins(torch.tensor([0, 1]), 3)) == "Spec(C=<2, 2, 3>, d=<1, 2>, groups=None)"
