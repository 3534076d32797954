"""Shapes that ops tell by hand are those of their values."""

from itertools import product

import pytest
import torch

from absdomain.ops import AvgPool, Concat, Mean, Sum


def test_windows_of_a_mean_are_counted_as_torch_counts_them() -> None:
    for n, k, s, p, up in product((4, 5, 7), (1, 2, 3), (1, 2, 3), (0, 1), (False, True)):
        if 2 * p <= k:
            pool = AvgPool((k, k), (s, s), (p, p), up)
            assert pool.shape((2, n, n)) == tuple(pool(torch.zeros(1, 2, n, n)).shape[1:]), (n, k, s, p, up)


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2), (-1,), (3, -2)])
@pytest.mark.parametrize("kind", [Sum, Mean])
def test_axes_that_are_summed_are_gone(kind: type[Sum] | type[Mean], axes: tuple[int, ...], keepdim: bool) -> None:
    x = torch.zeros(1, 2, 3, 4)
    assert kind(axes, keepdim).shape((2, 3, 4)) == tuple(x.sum(axes, keepdim).shape[1:])


def test_parts_are_counted() -> None:
    assert Concat(2).shape((2, 3, 4), (2, 1, 4), (2, 5, 4)) == (2, 9, 4)


@pytest.mark.parametrize(
    ("op", "shapes", "told"),
    [
        (Sum((0,)), [(2, 3)], "the batch is axis 0"),
        (Mean((3,)), [(2, 3)], r"axes \(3,\)"),
        (Concat(1), [(2, 3), (2, 4)], "differ along axis 1 alone"),
        (Concat(0), [(2, 3)], "axis 0"),
        (AvgPool((3, 3), (1, 1)), [(1, 2, 2)], "larger than the plane"),
    ],
)
def test_shapes_that_do_not_suit_are_refused(
    op: Sum | Mean | Concat | AvgPool, shapes: list[object], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        op.shape(*shapes)
