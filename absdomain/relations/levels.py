"""Relaxations whose numbers are too large for floats: level lines there, and ends at infinity that are kept apart.

A slope or an intercept that is infinite, or so large that a product with it may be, turns into NaN what it meets, even
where the coefficient is 0. An output with such a line is given level ones, the ends of the op's image over the boxes.
An end that is infinite itself is no number of a line but a mark, which nonzero coefficients meet and others do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.kinds import Line, Nonlinear, Slopes
from absdomain.linear import Bounds, Rows
from absdomain.relations.backward import Constant, Pull, Share

# Powers of the largest float: slopes up to the one may meet each other a few times, and an intercept up to the other.
_SLOPE, _INTERCEPT = 0.25, 0.5


@dataclass(frozen=True, eq=False)
class Marks:
    """True where an output has no line below, or none above; (B, *output shape) each."""

    below: Tensor
    above: Tensor

    def open(self, band: Bounds) -> Bounds:
        """The band with its infinite ends."""
        return Bounds(band.lower.masked_fill(self.below, -torch.inf), band.upper.masked_fill(self.above, torch.inf))

    def met(self, rows: Rows) -> Tensor:
        """The rows c with c_k > 0 where there is no line below, or c_k < 0 where there is none above, (K, N)."""
        like = rows.data
        return rows.minimum(Bounds(-self.below.to(like), self.above.to(like))) < 0


def lines(op: Nonlinear, slopes: tuple[Slopes, Slopes], boxes: tuple[Bounds, ...]) -> tuple[Line, Line, Marks | None]:
    """op.lines of these slopes, level where their numbers are too large; None: nowhere."""
    below, above = op.lines(*slopes, boxes)
    given = [line.intercept for line in (below, above) if line.intercept is not None]
    if _usable((*below.slopes, *above.slopes), given):
        return below, above, None
    level = _level(op, (below.slopes, above.slopes), given)
    under = _without(op, below.slopes, level)
    over = under if below.slopes[0] is above.slopes[0] else _without(op, above.slopes, level)
    band, marks = _held(op, level, Bounds(op.inf(under, boxes), op.sup(over, boxes)), boxes)
    return Line(under, band.lower), Line(over, band.upper), marks


def band(op: Nonlinear, slopes: Slopes, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Bounds, Marks | None]:
    """The slopes and op.band of them, level where their numbers are too large; None: nowhere."""
    found = op.band(slopes, boxes)
    if _usable(slopes, [found.lower, found.upper]):
        return slopes, found, None
    level = _level(op, (slopes,), [found.lower, found.upper])
    kept = _without(op, slopes, level)
    return kept, *_held(op, level, op.band(kept, boxes), boxes)


def marked(pull: Pull, marks: Marks) -> Pull:
    """The relation whose rows have no bound where they meet a mark."""

    def pulled(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
        parts, constant = pull(rows)
        return parts, _lowered(constant, marks.met(rows))

    return pulled


def marked_share(share: Share, marks: Marks) -> Share:
    """The same of a relation for both signs of the rows."""

    def shared(rows: Rows) -> tuple[tuple[Rows, ...], Constant, Constant]:
        parts, low, high = share(rows)
        return parts, _lowered(low, marks.met(rows)), _lowered(high, marks.met(rows.negated()))

    return shared


def _lowered(constant: Constant, met: Tensor) -> Tensor:
    return torch.where(met, -torch.inf, 0.0 if constant is None else constant)


def _usable(slopes: Slopes, intercepts: list[Tensor]) -> bool:
    """Whether all these numbers may be multiplied; in a compiled graph, which no value breaks, they are taken to be."""
    if torch.compiler.is_compiling():
        return True
    with torch.no_grad():
        groups = ((slopes, _SLOPE), (intercepts, _INTERCEPT))
        totals = [_scaled(t, power).sum() for group, power in groups for t in group]  # inf or NaN if any of them is
        return not bool(_endless(sum(totals[1:], start=totals[0])))


def _level(op: Nonlinear, slopes: tuple[Slopes, ...], intercepts: list[Tensor]) -> Tensor:
    """The outputs with a number that is too large, or NaN."""
    ones = tuple(torch.ones_like(s) for s in slopes[0])
    read = op.linearised(ones)
    steep = [read(*(_beyond(s, _SLOPE).to(s) for s in each)) > 0 for each in slopes]
    return torch.stack([*steep, *(_beyond(t, _INTERCEPT) for t in intercepts)]).any(0)


def _without(op: Nonlinear, slopes: Slopes, level: Tensor) -> Slopes:
    """The slopes, 0 at what the level outputs read."""
    ones = op.linearised(tuple(torch.ones_like(s) for s in slopes))
    read = ones.transpose(ones.weight, level.to(slopes[0]), *(s.shape[1:] for s in slopes))
    return tuple(torch.where(r != 0, 0.0, s) for r, s in zip(read, slopes, strict=True))


def _held(op: Nonlinear, level: Tensor, found: Bounds, boxes: tuple[Bounds, ...]) -> tuple[Bounds, Marks]:
    """The band, where it is level the image of op, with 0 for the ends that are marked."""
    image = _image(op, boxes)
    lower, upper = torch.where(level, image.lower, found.lower), torch.where(level, image.upper, found.upper)
    marks = Marks(lower == -torch.inf, upper == torch.inf)
    return Bounds(lower.masked_fill(marks.below, 0.0), upper.masked_fill(marks.above, 0.0)), marks


def _image(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Bounds:
    """op.image, infinite where it is too large."""
    image = op.image(boxes)
    room = _most(image.lower, _INTERCEPT)
    return Bounds(
        torch.where(image.lower < -room, -torch.inf, image.lower.clamp(max=room)),
        torch.where(image.upper > room, torch.inf, image.upper.clamp(min=-room)),
    )


def _beyond(t: Tensor, power: float) -> Tensor:
    """Whether |t| is above this power of the largest float, or NaN."""
    return _endless(_scaled(t, power))


def _scaled(t: Tensor, power: float) -> Tensor:
    """t times so much that what is above this power of the largest float is infinite."""
    return t * _most(t, 1 - power)


def _endless(t: Tensor) -> Tensor:
    return ~(t - t == 0)


def _most(t: Tensor, power: float) -> float:
    most: float = torch.finfo(t.dtype).max ** power
    return most
