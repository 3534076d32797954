"""Boxes: their numbers, their intersection, and the images of affine ops."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

from absdomain.kinds import Affine, Op, Shape
from absdomain.laws import drawing, matrices, strategies
from absdomain.linear import Bounds
from absdomain.linear.bounds import ordered
from absdomain.ops import Add, Dense


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


BOX = Bounds(tensor([[-1.0, 2.0]]), tensor([[3.0, 2.5]]))


def test_centre_radius_and_width() -> None:
    assert BOX.centre.tolist() == [[1.0, 2.25]]
    assert BOX.radius.tolist() == [[2.0, 0.25]]
    assert BOX.width.tolist() == [[4.0, 0.5]]
    assert BOX.shape == (2,)
    assert BOX.box() is BOX


def test_the_meet_is_the_intersection_and_keeps_nan() -> None:
    met = BOX.meet(Bounds(tensor([[0.0, torch.nan]]), tensor([[9.0, 2.25]])))
    assert met.lower[0, 0] == 0.0
    assert met.upper.tolist() == [[3.0, 2.25]]
    assert met.lower[0, 1].isnan()


def test_bounds_that_rounding_has_crossed_give_way_to_each_other() -> None:
    met = Bounds(tensor([[1.0, 0.0]]), tensor([[2.0, 1.0]])).meet(
        Bounds(tensor([[0.0, 1 + 2**-50]]), tensor([[1 - 2**-50, 3.0]]))
    )
    assert met.lower.tolist() == [[1 - 2**-50, 1.0]]
    assert met.upper.tolist() == [[1.0, 1 + 2**-50]]


def test_an_overflow_is_not_exchanged_for_a_bound() -> None:
    found = ordered(tensor([[torch.inf, 1.0]]), tensor([[5.0, -torch.inf]]))
    assert (found.lower.tolist(), found.upper.tolist()) == ([[torch.inf, 1.0]], [[5.0, -torch.inf]])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_half_of_a_subnormal_width_loses_no_end(dtype: torch.dtype) -> None:
    t = torch.nextafter(torch.zeros(1, 4, dtype=dtype), torch.ones(1, 4, dtype=dtype))
    box = Bounds(t * torch.tensor([[1, -2, 0, 3]], dtype=dtype), t * torch.tensor([[2, -1, 1, 6]], dtype=dtype))
    for found in (
        Bounds(box.centre - box.radius, box.centre + box.radius),
        Dense(torch.eye(4, dtype=dtype)).image(box),
    ):
        assert bool((found.lower <= box.lower).all())
        assert bool((found.upper >= box.upper).all())


@given(strategies.ops(tuple(make for make in drawing.AFFINE if drawing.arguments(make) == 1)))
def test_the_hull_is_that_of_the_matrix(drawn: tuple[Op, Shape]) -> None:
    op, shape = drawn
    assert isinstance(op, Affine)
    lower = torch.full((1, *shape), 0.5, dtype=torch.float64)
    box = Bounds(lower, lower + torch.linspace(0, 2, lower.numel(), dtype=torch.float64).view(lower.shape))
    matrix, offset = matrices.of(op, (shape,))
    plus, minus = matrix[0].clamp(min=0).t(), matrix[0].clamp(max=0).t()
    low, high = box.lower.flatten(1), box.upper.flatten(1)
    found, room = op.image(box), 1e-9 * float(1 + matrix.abs().sum(-1).max() + offset.abs().max())
    torch.testing.assert_close(found.lower - offset, (low @ plus + high @ minus).view_as(offset), rtol=0, atol=room)
    torch.testing.assert_close(found.upper - offset, (high @ plus + low @ minus).view_as(offset), rtol=0, atol=room)


def test_a_sum_of_boxes_is_the_box_of_sums() -> None:
    total = Add().image(BOX, BOX)
    assert (total.lower.tolist(), total.upper.tolist()) == ([[-2.0, 4.0]], [[6.0, 5.0]])


def test_the_ends_of_a_hull_of_a_point_are_its_image() -> None:
    op, point = Dense(tensor([[1.0, -2.0]]), tensor([0.5])), tensor([[3.0, 1.0]])
    image = op.image(Bounds(point, point))
    assert image.lower.tolist() == image.upper.tolist() == op(point).tolist()
