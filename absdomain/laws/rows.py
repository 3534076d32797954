"""{ x -> <c_k, x> } : however a bundle of rows is kept, it answers as its coefficients written out do."""

from __future__ import annotations

from math import prod
from random import Random

import torch
from torch import Tensor

from absdomain.kinds import Affine, Shape
from absdomain.laws import drawing
from absdomain.laws.broken import at_most, equal, holds, slack
from absdomain.laws.drawing import generator, normal
from absdomain.linear import Bounds, Rows, roots
from absdomain.ops import Conv


def bundles(rng: Random, batch: int, shape: Shape) -> list[Rows]:
    """Rows over an activation, kept in every way: whole, as unit vectors, listed, on windows, and after a convolution.

    The last reach over the edge of the activation, where a padded convolution reads zeros.
    """
    like, size = torch.zeros(batch, *shape, dtype=torch.float64), prod(shape)
    index = torch.randint(max(1, size), (3,), generator=generator(rng))
    some = torch.rand(like.shape, dtype=torch.float64, generator=generator(rng)) < 0.2
    found = [Rows.of(normal(rng, 3, n, *shape)) for n in (1, batch)]
    found += [Rows.units(index, shape, like), *_taken(roots.units(shape, like, some))]
    if len(shape) > 1:
        found += [*_taken(roots.windows(shape, like, None)), *_taken(roots.windows(shape, like, some))]
        found += next((after for _ in range(6) if (after := _after_a_convolution(rng, like))), [])
        found += over_the_edge(rng, like)
    return found


def over_the_edge(rng: Random, like: Tensor) -> list[Rows]:
    """Rows on windows that reach over the edge of a plane, (B, channels, *plane): of padded convolutions of it.

    Coefficients there belong to zeros that the convolution reads. Their windows are small, of one entry too, so that
    they stay on windows when they are carried through one more op.
    """
    channels, axes = like.shape[1], like.dim() - 2
    if axes not in (1, 2):
        return []
    found = []
    for kernel, stride in ((1, 1), (2, 1), (3, 2)):
        weight = normal(rng, 2, channels, *(kernel,) * axes).to(like)
        op = Conv(weight, None, (stride,) * axes, (1,) * axes, (1,) * axes)
        value = like.new_zeros(len(like), *op.shape(tuple(like.shape[1:])))
        found += [
            op.adjoint(rows, tuple(like.shape[1:]))[0]
            for rows in _taken(roots.windows(tuple(value.shape[1:]), value, None))
        ]
    return [rows for rows in found if rows.frame is not None]


def _taken(from_: roots.Roots) -> list[Rows]:
    """All rows of some roots; none where nothing is asked."""
    return [from_.take(0, from_.count)[0]] if from_.count else []


def _after_a_convolution(rng: Random, like: Tensor) -> list[Rows]:
    """Rows on windows over the argument of a random convolution; none where it does not suit, or windows are large."""
    shape = tuple(like.shape[1:])
    make = {2: drawing.conv1d, 3: drawing.conv2d}.get(len(shape))
    op = None if make is None else make(rng, shape)
    if not isinstance(op, Affine):
        return []
    value = torch.zeros(len(like), *op.shape(shape), dtype=torch.float64)
    found = [op.adjoint(rows, shape)[0] for rows in _taken(roots.windows(tuple(value.shape[1:]), value, None))]
    return [rows for rows in found if rows.frame is not None]


def seen(rows: Rows, t: Tensor) -> Tensor:
    """t (B or 1, *shape), one per sample, as the columns of the rows written out see it, (N or 1, *shape)."""
    return t if rows.columns is None else rows.columns.own(t)


def pair(rows: Rows, v: Tensor) -> Tensor:
    """<c_k, v> by the coefficients written out, (K, N); v (B or 1, *shape)."""
    return _pair(rows.dense().data, seen(rows, v))


def _pair(c: Tensor, v: Tensor) -> Tensor:
    return (c * v).flatten(2).sum(-1) if c.dim() > 2 else c * v


def check_rows(rows: Rows, *, rng: Random, batch: int) -> None:
    """Every law of a bundle of functionals over activations of this batch; raises LawBroken.

    `dot`, `minimum`, `maximum`, `negated`, `signed`, `reshape` and `+` agree with the coefficients written out.
    """
    c = rows.dense().data
    count = batch if rows.columns is None else len(rows.columns.sample)
    stated = c.shape[1] in (1, count) and tuple(c.shape[2:]) == rows.shape
    holds(stated, "rows are (K, N or 1, *shape)", f"{tuple(c.shape)} over {rows.shape} in {count} columns")
    _dot(rows, rng, batch)
    _over_a_box(rows, c, rng, batch)
    for law, other, exact in (
        ("negated", rows.negated(), -c), ("signed", rows.signed(), torch.cat([c, -c])), ("+", rows + rows, 2 * c),
        ("cleaned", rows.cleaned(), c),
    ):  # fmt: skip
        equal(other.dense().data, exact, slack(c.abs().sum()), f"{law} is that of the coefficients")
    flat = rows.reshape((prod(rows.shape),))
    equal(flat.dense().data, c.flatten(2), slack(c.abs().sum()), "reshape keeps the order of the coefficients")


def _dot(rows: Rows, rng: Random, batch: int) -> None:
    """At one value for all samples, broadcast along axes or not, and at one per sample."""
    whole = normal(rng, batch, *rows.shape)
    shared = [1 if rng.random() < 0.5 else n for n in rows.shape]
    for v in (whole, whole[:1], whole[0], normal(rng, *shared)):
        wide = v.expand(-1 if v.dim() > len(rows.shape) else 1, *rows.shape)
        room = slack(_pair(rows.dense().data.abs(), seen(rows, wide).abs()).max())
        equal(rows.dot(v), pair(rows, wide), room, "dot is <c_k, v>")


def _over_a_box(rows: Rows, c: Tensor, rng: Random, batch: int) -> None:
    """The minimum and the maximum over a box are attained at its corners, and no point is beyond them."""
    centre, radius = normal(rng, batch, *rows.shape), normal(rng, batch, *rows.shape).relu()  # half are points
    box = Bounds(centre - radius, centre + radius)
    least, most = rows.minimum(box), rows.maximum(box)
    low, high = seen(rows, box.lower), seen(rows, box.upper)
    allowed = slack(_pair(c.abs(), seen(rows, centre.abs() + radius)).max())
    equal(least, _pair(c.clamp(min=0), low) + _pair(c.clamp(max=0), high), allowed, "minimum over a box")
    equal(most, _pair(c.clamp(min=0), high) + _pair(c.clamp(max=0), low), allowed, "maximum over a box")
    share = torch.rand(centre.shape, dtype=torch.float64, generator=generator(rng))
    inside = pair(rows, torch.lerp(box.lower, box.upper, share))
    at_most(least, inside, allowed, "the minimum over a box is below <c_k, v>")
    at_most(inside, most, allowed, "<c_k, v> is below the maximum over a box")
