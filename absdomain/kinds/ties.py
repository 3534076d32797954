"""Slopes that are good only together: how a search moves them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

Signs = tuple[int, ...]  # one per argument: 1 where the slope grows, -1 where it shrinks


class Ties(NamedTuple):
    """The edge between two good planes of a side: each slope goes from one end of its range to the other as t does.

    An edge has one number t for all entries along an axis that is in `over`, one for each where that is None.
    """

    below: Signs
    above: Signs
    over: tuple[int | None, ...]  # per argument

    def along(self, below: tuple[Tensor, ...], above: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The gradients of the slopes below and above, in units of their ranges, as they move with t: +-df / dt."""
        return (*self._side(self.below, below), *self._side(self.above, above))

    def _side(self, signs: Signs, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        signed = [sign * g for sign, g in zip(signs, gradients, strict=True)]
        summed = [g if axis is None else g.sum(axis) for g, axis in zip(signed, self.over, strict=True)]
        total = sum(summed[1:], start=summed[0])
        kept = [total if axis is None else total.unsqueeze(axis) for axis in self.over]
        return tuple((sign * t).expand_as(g) for sign, t, g in zip(signs, kept, gradients, strict=True))
