"""{ y = f(x) } is where y is on a piece whose domain holds x and within the bands of all facets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from absdomain.kinds import Nonlinear, Piece, Slopes
from absdomain.laws.broken import at_most, equal, finite, holds
from absdomain.linear import Bounds


def check_pieces(op: Nonlinear, boxes: tuple[Bounds, ...], xs: Sequence[Tensor], room: Tensor) -> None:
    """The law of `facets` and `pieces` at points xs of the boxes, (P, B, *shape) each; raises LawBroken.

    Each facet's band holds f. Where the op has pieces, f is on one of them at each point; and a piece that is on the
    graph of no point is told from f by a facet.
    """
    value = _at(op, xs)
    facets = [(slopes, op.band(slopes, boxes)) for slopes in op.facets(boxes)]
    for slopes, band in facets:
        stated = all(s.shape == b.lower.shape for s, b in zip(slopes, boxes, strict=True))
        holds(stated, "facets are slopes of the arguments' shapes", repr(op))
        for s in slopes:
            finite(s, "facets are finite", repr(op))
        gap = value - _inner(op, slopes, xs)
        at_most(band.lower, gap, room, "a facet's band holds f", repr(op))
        at_most(gap, band.upper, room, "a facet's band holds f", repr(op))
    pieces = op.pieces(boxes)
    if pieces is None:
        return
    inside, on = [_held(op, piece, xs) for piece in pieces], [_on(op, piece, xs) for piece in pieces]
    nearest = torch.stack([torch.where(i, (y - value).abs(), torch.inf) for i, y in zip(inside, on, strict=True)])
    zero = torch.zeros_like(value)
    equal(nearest.amin(0), zero, room, "f is on a piece whose domain holds the point", repr(op))
    for i, y in zip(inside, on, strict=True):
        kept = i & _within(op, facets, xs, y, room)
        equal(torch.where(kept, y - value, zero), zero, 10 * room, "a piece within all facets' bands is f", repr(op))


def _at(op: Nonlinear, xs: Sequence[Tensor]) -> Tensor:
    return op(*(x.flatten(0, 1) for x in xs)).unflatten(0, xs[0].shape[:2])


def _inner(op: Nonlinear, slopes: Slopes, xs: Sequence[Tensor]) -> Tensor:
    many = tuple(s.expand(x.shape).flatten(0, 1) for s, x in zip(slopes, xs, strict=True))
    return op.linearised(many)(*(x.flatten(0, 1) for x in xs)).unflatten(0, xs[0].shape[:2])


def _on(op: Nonlinear, piece: Piece, xs: Sequence[Tensor]) -> Tensor:
    """The piece's line at the points."""
    y = _inner(op, piece.line.slopes, xs)
    return y if piece.line.intercept is None else y + piece.line.intercept


def _held(op: Nonlinear, piece: Piece, xs: Sequence[Tensor]) -> Tensor:
    """Output by output, whether the piece's domain holds all that the output reads of the point."""
    outside = [((x < d.lower) | (x > d.upper)).to(x) for x, d in zip(xs, piece.domain, strict=True)]
    ones = tuple(torch.ones_like(d.lower) for d in piece.domain)
    return _inner(op, ones, outside) == 0


def _within(
    op: Nonlinear, facets: Sequence[tuple[Slopes, Bounds]], xs: Sequence[Tensor], y: Tensor, room: Tensor
) -> Tensor:
    """Whether (x, y) satisfies all that the facets say, up to rounding."""
    kept = torch.ones_like(y, dtype=torch.bool)
    for slopes, band in facets:
        gap = y - _inner(op, slopes, xs)
        kept &= (gap >= band.lower - room) & (gap <= band.upper + room)
    return kept
