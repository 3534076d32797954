"""The product of two activations: exact bands, corners as tangents, rows carried back as by two matrices."""

from __future__ import annotations

import pytest
import torch

from absdomain import ops
from absdomain.laws import check_op
from absdomain.linear import Bounds, Rows
from absdomain.ops import matmul

D64 = torch.float64


def boxes(*shapes: tuple[int, ...], size: float = 1.0) -> tuple[Bounds, ...]:
    found = []
    for shape in shapes:
        lower = torch.randn(2, *shape, dtype=D64)
        found.append(Bounds(lower, lower + size * torch.rand(2, *shape, dtype=D64)))
    return tuple(found)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("cached", [2**20, 3])
@pytest.mark.parametrize("shapes", [((2, 3), (3, 4)), ((1, 1), (1, 1)), ((2, 2, 3), (2, 3, 1))])
def test_the_laws_of_an_op(shapes: tuple[tuple[int, ...], ...], cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul, "_CACHED", cached)
    check_op(ops.MatMul(), *shapes, reference=torch.matmul)


def test_the_image_is_that_of_interval_arithmetic() -> None:
    x, y = boxes((2, 3), (3, 4))
    ends = [a.unsqueeze(-1) * b.unsqueeze(-3) for a in (x.lower, x.upper) for b in (y.lower, y.upper)]
    image = ops.MatMul().image((x, y))
    torch.testing.assert_close(image.lower, torch.stack(ends).amin(0).sum(-2))
    torch.testing.assert_close(image.upper, torch.stack(ends).amax(0).sum(-2))


def test_the_planes_at_corners_are_mccormicks() -> None:
    """At corners no product is written out, and each plane touches: its intercept is -p q."""
    op, (x, y) = ops.MatMul(), boxes((2, 3), (3, 2))
    for (p, q), end in zip(op.facets((x, y)), ("inf", "inf", "sup", "sup"), strict=True):
        torch.testing.assert_close(getattr(op, end)((p, q), (x, y)), -p @ q)


def test_of_the_corners_the_better_is_taken_for_each_k() -> None:
    op, args = ops.MatMul(), boxes((1, 3), (3, 1))
    (low, high), (left, right) = op.facets(args)[:2], op.facets(args)[2:]
    below, above = op.tight_slopes(args)

    def bound(slopes: tuple[torch.Tensor, ...], side: int) -> torch.Tensor:
        line = op.linearised(slopes).image(*args)
        return side * ((line.lower if side > 0 else line.upper) + (op.inf if side > 0 else op.sup)(slopes, args))

    for chosen, corners, side in ((below, (low, high), 1), (above, (left, right), -1)):
        for corner in corners:
            assert (bound(chosen, side) >= bound(corner, side) - 1e-2).all()


def test_rows_that_share_slopes_go_back_as_rows_of_their_own() -> None:
    op, (x, y) = ops.MatMul(), boxes((2, 2, 3), (2, 3, 4))
    line, c = op.linearised((x.lower, y.upper)), torch.randn(5, 2, 2, 2, 4, dtype=D64)
    together = line.adjoint(Rows.of(c), (2, 2, 3), (2, 3, 4))
    for k in range(5):
        alone = line.adjoint(Rows.of(c[k : k + 1]), (2, 2, 3), (2, 3, 4))
        for many, one in zip(together, alone, strict=True):
            torch.testing.assert_close(many.data[k : k + 1], one.data)


def test_what_is_not_known_is_not_known_of_the_product() -> None:
    lower = torch.tensor([[[1.0, torch.nan]]], dtype=D64)
    y = Bounds(torch.ones(1, 2, 1, dtype=D64), torch.ones(1, 2, 1, dtype=D64))
    assert ops.MatMul().image((Bounds(lower, lower + 1), y)).lower.isnan().all()
    endless = Bounds(torch.tensor([[[1.0, -torch.inf]]], dtype=D64), torch.tensor([[[1.0, 2.0]]], dtype=D64))
    image = ops.MatMul().image((endless, y))
    assert image.lower.item() == -torch.inf and not image.upper.item() < 3.0


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((3,), (3, 2)), ((2, 2, 3), (3, 2)), ((1, 2, 3), (2, 3, 2))])
def test_shapes_that_do_not_fit_are_told(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"shapes \(..., n, k\) and \(..., k, m\) are needed, got"):
        ops.MatMul().shape(*shapes)
