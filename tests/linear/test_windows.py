"""Rows on windows of an activation answer as the same rows written out."""

from math import prod
from random import Random

import pytest
import torch
from torch import Tensor

from absdomain.kinds import Affine, Shape
from absdomain.laws import drawing
from absdomain.laws.drawing import normal
from absdomain.linear import Bounds, Rows
from absdomain.linear.patches import Columns, Frame
from absdomain.linear.roots import units, windows

D64 = torch.float64


def bundle(rng: Random, shape: Shape, *, shared: bool, clean: bool) -> Rows:
    """Three rows on windows of an activation of this shape, in four columns of a batch of three."""
    axes = len(shape) - 1
    grid = tuple(rng.randint(2, 4) for _ in range(axes))
    place = tuple(torch.tensor([rng.randrange(g) for _ in range(4)]) for g in grid)
    columns = Columns(torch.tensor([2, 0, 1, 0]), place, grid)
    frame = Frame(tuple(rng.randint(1, 3) for _ in grid), tuple(rng.randint(0, 2) for _ in grid), clean=False)
    window = tuple(rng.randint(1, 4) for _ in grid)
    data = normal(rng, 3, 1 if shared else 4, shape[0], *window)
    rows = Rows(data, shape, columns=columns, frame=frame)
    return rows.cleaned() if clean else rows


def by_columns(rows: Rows) -> Tensor:
    """The coefficients over the whole activation, (K, 4, *shape), entry by entry."""
    assert rows.frame is not None and rows.columns is not None
    data = rows.data.expand(-1, 4, *(-1,) * (rows.data.dim() - 2))
    whole = torch.zeros(*data.shape[:2], *rows.shape, dtype=D64)
    for n in range(4):
        for at in torch.cartesian_prod(*(torch.arange(k) for k in data.shape[3:])).view(-1, len(rows.window)).tolist():
            geometry = zip(rows.columns.place, rows.frame.stride, rows.frame.pad, at, strict=True)
            target = [int(i[n]) * s - p + a for i, s, p, a in geometry]
            if all(0 <= t < size for t, size in zip(target, rows.shape[1:], strict=True)):
                whole[(slice(None), n, slice(None), *target)] += data[(slice(None), n, slice(None), *at)]
    return whole


@pytest.mark.parametrize("seed", range(12))
def test_rows_on_windows_answer_as_the_same_rows_written_out(seed: int) -> None:
    rng = Random(seed)
    shape: Shape = (2, *(rng.randint(3, 6) for _ in range(rng.choice((1, 2)))))
    rows = bundle(rng, shape, shared=seed % 2 == 0, clean=seed % 3 == 0)
    assert rows.columns is not None
    c, sample = by_columns(rows), rows.columns.sample
    v, r = normal(rng, 3, *shape), normal(rng, 3, *shape).abs()
    low, high = (v - r)[sample], (v + r)[sample]

    def near(mine: Tensor, exact: Tensor) -> None:
        torch.testing.assert_close(mine.expand_as(exact), exact, rtol=1e-12, atol=1e-12)

    near(rows.dense().data, c)
    near(rows.cleaned().dense().data, c)
    near(rows.dot(v), (c * v[sample]).flatten(2).sum(-1))
    near(rows.dot(v[:1]), (c * v[0]).flatten(2).sum(-1))
    for shared in (v[0], v[0, :, :1, ...], v[0].flatten(1)[:, :1].view(2, *(1,) * (len(shape) - 1)), torch.tensor(2.0)):
        near(rows.dot(shared), (c * shared).flatten(2).sum(-1))
        near(rows.times(shared).dense().data, c * shared)
    near(rows.times(v).dense().data, c * v[sample])
    positive, negative = c.clamp(min=0), c.clamp(max=0)
    near(rows.minimum(Bounds(v - r, v + r)), (positive * low + negative * high).flatten(2).sum(-1))
    near(rows.maximum(Bounds(v - r, v + r)), (positive * high + negative * low).flatten(2).sum(-1))
    near(rows.signed().dense().data, torch.cat([c, -c]))
    flat = (prod(shape),)
    near(rows.reshape(flat).data, c.flatten(2))
    split, const = rows.split(v, r, None, r)
    near(split.dense().data, positive * v[sample] + negative * r[sample])
    near(const, (negative * r[sample]).flatten(2).sum(-1))
    near(rows.split(v, r, v, r)[1], (positive * v[sample] + negative * r[sample]).flatten(2).sum(-1))
    for least, end in zip(rows.minima(v, r), (c, -c), strict=True):
        near(least, (end.clamp(min=0) * v[sample] + end.clamp(max=0) * r[sample]).flatten(2).sum(-1))
    assert rows.frame is not None
    other = Rows(normal(rng, 3, 4, *(rows.data.shape[2:])), shape, columns=rows.columns, frame=rows.frame)
    wider = other.frame.widened(other.data, (3,) * (len(shape) - 1), (5,) * (len(shape) - 1), clean=False)  # type: ignore[union-attr]
    moved = Rows(wider[0], shape, columns=rows.columns, frame=wider[1])
    near((rows + moved).dense().data, c + by_columns(other))
    near((rows + other.dense()).dense().data, c + by_columns(other))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("maker", drawing.AFFINE, ids=lambda maker: maker.__name__)
def test_every_affine_op_carries_windows_as_it_carries_rows_written_out(maker: drawing.Maker) -> None:
    tried = kept = 0
    for seed in range(60):
        rng = Random(seed)
        shape: Shape = (rng.randint(1, 3), *(rng.randint(4, 7) for _ in range(rng.choice((1, 2)))))
        op = maker(rng, shape)
        shapes = (shape,) * drawing.arguments(maker)
        if not isinstance(op, Affine) or len(op.shape(*shapes)) < 2 or 0 in op.shape(*shapes):
            continue
        rows = bundle(rng, op.shape(*shapes), shared=seed % 2 == 0, clean=False)
        (parts, constant), (exact, offset) = op.pull(rows, *shapes), op.pull(rows.dense(), *shapes)
        for mine, other in zip(parts, exact, strict=True):
            data = mine.dense().data
            torch.testing.assert_close(data.expand_as(other.data), other.data, rtol=1e-10, atol=1e-10)
            kept += mine.frame is not None
        assert (constant is None) == (offset is None)
        if constant is not None and offset is not None:
            torch.testing.assert_close(constant.expand_as(offset), offset, rtol=1e-10, atol=1e-10)
        tried += 1
    assert tried > 5 or maker in (drawing.dense_per_sample, drawing.reshape, drawing.gather)
    spatial = (drawing.conv1d, drawing.conv2d, drawing.scale, drawing.batch_norm, drawing.add, drawing.avg_pool)
    assert kept > 0 or maker not in (*spatial, drawing.pad, drawing.concat)


def test_windows_of_all_neurons_are_the_unit_vectors() -> None:
    like = torch.zeros(2, 1, dtype=D64)
    shape: Shape = (3, 2, 4)
    for where in (None, torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)) < 0.2):
        single = windows(shape, like, where, most=2)
        assert single.rows == 1 and windows(shape, like, None, most=3).rows == 3
        for roots in (windows(shape, like, where), single, units(shape, like, where)):
            value = torch.arange(2.0 * prod(shape), dtype=D64).view(2, *shape)
            found = [roots.take(a, a + 1) for a in range(roots.count)]
            asked = torch.zeros(2 * prod(shape), dtype=torch.bool)
            for rows, neurons in found:
                torch.testing.assert_close(rows.dot(value), neurons.to(D64))
                torch.testing.assert_close(rows.dense().dot(value), neurons.to(D64))
                asked[neurons.flatten()] = True
            assert bool(asked.view(2, *shape)[torch.ones_like(asked.view(2, *shape)) if where is None else where].all())
