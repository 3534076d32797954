"""{ x -> x_k } for the neurons that are asked: what back-substitution starts from, in parts of a limited size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, prod

import torch
from torch import Tensor

from absdomain.linear.patches import Columns, Frame
from absdomain.linear.rows import Rows


@dataclass(frozen=True, eq=False)
class Roots:
    """`count` items; `take(a, b)` gives the rows of the items a to b - 1 and the neurons that they stand for.

    The neurons are positions (K, N) in a flat (B, *shape) tensor of bounds.
    """

    count: int
    rows: int  # (row, column) pairs of an item
    take: Callable[[int, int], tuple[Rows, Tensor]]


def units(shape: tuple[int, ...], like: Tensor, where: Tensor | None) -> Roots:
    """A row for each neuron that any sample asks, in a column per sample.

    like: any tensor (B, ...), for the batch, dtype and device; where: the neurons asked, boolean (B, *shape).
    """
    batch, size = len(like), prod(shape)
    index = torch.arange(size, device=like.device)
    if where is not None:
        index = where.reshape(batch, size).any(0).nonzero().squeeze(1)

    def take(first: int, last: int) -> tuple[Rows, Tensor]:
        part = index[first:last]
        samples = torch.arange(batch, device=like.device) * size
        return Rows.units(part, shape, like), part.unsqueeze(1) + samples

    return Roots(len(index), batch, take)


def pairs(shape: tuple[int, ...], like: Tensor, where: Tensor | None) -> Roots:
    """One row, with a column for each (sample, neuron) that is asked; `units` where that would not be half of them."""
    plain = units(shape, like, where)
    if where is None:
        return plain
    asked = where.reshape(len(like), prod(shape)).nonzero()
    if 2 * len(asked) >= len(like) * plain.count:
        return plain

    def take(first: int, last: int) -> tuple[Rows, Tensor]:
        sample, neuron = asked[first:last].unbind(1)
        rows = Rows(None, shape, unit=neuron.unsqueeze(0), like=like, columns=Columns(sample))
        return rows, (sample * prod(shape) + neuron).unsqueeze(0)

    return Roots(len(asked), 1, take)


def windows(shape: tuple[int, ...], like: Tensor, where: Tensor | None, *, most: float = inf) -> Roots:
    """The neurons of an activation (channels, *plane) as patches: a column for each place that any neuron is asked at.

    A row per channel, or a single row and a column per neuron where less than half of those at such places are asked,
    or where there are more than `most` channels.
    """
    channels, *plane = shape
    asked = like.new_ones(len(like), *shape, dtype=torch.bool) if where is None else where.reshape(len(like), *shape)
    places = asked.any(1).nonzero()
    few = where is not None and 2 * int(asked.sum()) < channels * len(places)
    few = few or channels > most
    if few:
        places = asked.movedim(1, -1).nonzero()
    strides = torch.tensor([prod(plane[axis + 1 :]) for axis in range(len(plane))], device=like.device)

    def take(first: int, last: int) -> tuple[Rows, Tensor]:
        part = places[first:last]
        sample, place = part[:, 0], part[:, 1 : 1 + len(plane)]
        columns = Columns(sample, place.unbind(1), tuple(plane))
        flat = sample * prod(shape) + (place * strides).sum(1)
        frame = Frame.points(len(plane))
        if few:
            unit = part[:, -1].unsqueeze(0)
            rows = Rows(None, shape, unit=unit, like=like, columns=columns, frame=frame)
            return rows, flat + unit * prod(plane)
        eye = torch.eye(channels, dtype=like.dtype, device=like.device).view(channels, 1, channels, *(1,) * len(plane))
        every = torch.arange(channels, device=like.device).unsqueeze(1) * prod(plane)
        return Rows(eye, shape, columns=columns, frame=frame), flat + every

    return Roots(len(places), 1 if few else channels, take)
