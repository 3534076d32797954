"""The maximum over an axis, and the windows of pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.kinds import Line, Linearised, Nonlinear, Piece, Shape, Slopes
from absdomain.linear import Bounds


@dataclass(frozen=True, eq=False)
class WeightedSum(Linearised):
    """x -> the sum of w x over one axis, counted from the right (negative)."""

    weight: Tensor
    axis: int = -1

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        assert w is not None
        return (w * xs[0]).sum(self.axis)

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        return (y.unsqueeze(self.axis) * w,)


@dataclass(frozen=True, eq=False)
class Max(Nonlinear):
    """max over one axis, counted from the right (negative); windows are gathered before it."""

    axis: int
    lemma = "max"

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].amax(self.axis)

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """0: one of the values is kept."""
        return torch.zeros_like(self(boxes[0].lower))

    def linearised(self, slopes: Slopes) -> Linearised:
        return WeightedSum(slopes[0], self.axis)

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """min over t in {max l} and {max(u_i, max l)} of t - sum_{a>0} a_i min(u_i, t) - sum_{a<0} a_i l_i."""
        (a,), (box,) = slopes, boxes
        floor = box.lower.amax(self.axis, keepdim=True)
        ends = torch.cat([floor, torch.maximum(box.upper, floor)], self.axis).movedim(self.axis, 0)
        positive, fixed = a.clamp(min=0), (a.clamp(max=0) * box.lower).sum(self.axis)
        gaps = [t - (positive * torch.minimum(box.upper, t.unsqueeze(self.axis))).sum(self.axis) for t in ends]
        return torch.stack(gaps).amin(0) - fixed

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """sum_j h_j + max_i (sup (1 - a_i) x_i - h_i), where h_j = sup -a_j x_j."""
        (a,), (box,) = slopes, boxes
        h = torch.maximum(-a * box.lower, -a * box.upper)
        best = torch.maximum((1 - a) * box.lower, (1 - a) * box.upper)
        return h.sum(self.axis) + (best - h).amax(self.axis)

    def image(self, boxes: tuple[Bounds, ...]) -> Bounds:
        return Bounds(self(boxes[0].lower), self(boxes[0].upper))

    def facets(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, ...]:
        """The unit vectors: y >= x_i for each i of the window; and the chord: y <= max u."""
        (box,) = boxes
        return (*self._units(box), self.chord(boxes))

    def pieces(self, boxes: tuple[Bounds, ...]) -> tuple[Piece, ...] | None:
        """y = x_i for each i of the window: with y >= x_j for all j, the facets, that is the maximum."""
        level = torch.zeros_like(self(boxes[0].lower))
        return tuple(Piece(Line(unit, level), boxes) for unit in self._units(boxes[0]))

    def _units(self, box: Bounds) -> list[Slopes]:
        """One bundle of slopes per entry of the window: 1 there and 0 elsewhere."""
        zero = torch.zeros_like(box.lower)
        places = range(zero.shape[self.axis])
        return [(zero.index_fill(self.axis, torch.tensor([i], device=zero.device), 1.0),) for i in places]

    def _leader(self, box: Bounds) -> tuple[Tensor, Tensor]:
        """The entry of the largest lower end as a unit vector, and whether it is the largest whatever happens."""
        index = box.lower.argmax(self.axis, keepdim=True)
        leader = torch.zeros_like(box.lower).scatter(self.axis, index, 1.0)
        others = box.upper.masked_fill(leader.bool(), -torch.inf).amax(self.axis, keepdim=True)
        return leader, box.lower.amax(self.axis, keepdim=True) >= others

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        leader, wins = self._leader(boxes[0])
        return (leader * wins,)

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """[0, 1], since the maximum moves no faster than any entry; of an entry that always leads it is that entry."""
        leader, wins = self._leader(boxes[0])
        own = leader * wins
        return (Bounds(own, torch.maximum(own, (~wins).to(own))),)

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        leader, wins = self._leader(boxes[0])
        return (leader,), (leader * wins,)


def windows(
    size: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The flat positions of pooling windows in a plane of this size: (kernel size, *output plane).

    A place in the padding holds the position of another entry of the same window, so that a max over the window is
    that of its entries inside the plane (padding by zero would be wrong for negative inputs).
    """
    dilation = (1,) * len(size) if dilation is None else dilation
    each = zip(size, kernel, stride, padding, dilation, strict=True)
    return positions(size, [_starts(*one, ceil_mode) for one in each])


def positions(size: Shape, axes: Sequence[Tensor]) -> Tensor:
    """The flat positions in a plane of this size of the windows whose places along each axis are (kernel, out)."""
    count, flat = len(size), torch.zeros((), dtype=torch.long)
    for axis, places in enumerate(axes):
        lay = [1] * (2 * count)
        lay[axis], lay[count + axis] = places.shape
        flat = flat * size[axis] + places.view(lay)
    return flat.flatten(0, count - 1)


def _starts(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> Tensor:
    """Positions (kernel, out) of one axis; those outside [0, size) are replaced by one of the same window inside."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    out = -(-span // stride) + 1 if ceil_mode else span // stride + 1
    if ceil_mode and (out - 1) * stride >= size + padding:  # PyTorch drops a window that starts in the right padding
        out -= 1
    places = torch.arange(out) * stride - padding + torch.arange(kernel)[:, None] * dilation
    inside = (places >= 0) & (places < size)
    if not bool(inside.any(0).all()):
        raise ValueError(f"a window of {kernel} (dilation {dilation}, padding {padding}) misses all {size} entries")
    substitute = places.gather(0, inside.int().argmax(0, keepdim=True)).expand_as(places)
    return torch.where(inside, places, substitute)
