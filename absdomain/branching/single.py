"""Slopes and multipliers that are looked for in float32, and bounds with them in float64."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from absdomain.branching.climb import Branches, Climb, Climbed, Lines
from absdomain.branching.decisions import Layout
from absdomain.branching.target import Target
from absdomain.graph import Graph
from absdomain.kinds import Nonlinear
from absdomain.linear import Bounds
from absdomain.values import moved


class Single:
    """A climb in float32, which takes half the time of one in float64 where activations are wide.

    Lines may come from anywhere: the bounds that are told are evaluated with them in float64.
    """

    def __init__(self, exact: Climb) -> None:
        self.exact = exact
        asked = in_single(exact.target)
        self.climb = Climb(asked, Layout.of(asked.boxes))
        self.dtype = self.climb.dtype

    def ascended(self, branches: Branches, lines: Lines, steps: int, rate: float) -> Climbed:
        """As `Climb.ascended`."""
        found = self.climb.ascended(self._branches(branches), _lines(lines, torch.float32), steps, rate)
        best, like = _lines(found.lines, torch.float64), branches.lower
        bound = self.exact.glanced(branches, best)
        return Climbed(bound, best, found.points.to(like), found.costs.to(like), found.gaps.to(like))

    def glanced(self, branches: Branches, lines: Lines) -> Tensor:
        """As `Climb.glanced`, to the precision of float32: for choices, and no proof."""
        return self.climb.glanced(self._branches(branches), _lines(lines, torch.float32)).to(branches.lower)

    def _branches(self, some: Branches) -> Branches:
        like = torch.zeros((), dtype=torch.float32)
        numbers = (some.lower, some.upper, some.held, some.C, some.d, some.slack)
        return Branches(*(t.to(like) for t in numbers))


def in_single(asked: Target) -> Target:
    """The question with all numbers rounded to float32: near to it, and no more."""
    like = torch.zeros((), dtype=torch.float32)
    graph = moved(asked.graph, like)
    pairs = list(zip(_nonlinear(asked.graph), _nonlinear(graph), strict=True))
    boxes = {new: tuple(Bounds(b.lower.to(like), b.upper.to(like)) for b in asked.boxes[old]) for old, new in pairs}
    errors = {new: tuple(e.to(like) for e in asked.errors[old]) for old, new in pairs}
    region, spec = moved(asked.region, like), moved(asked.spec, like)
    slack, bounds = asked.slack.to(like), asked.bounds.to(like)
    return replace(
        asked, graph=graph, region=region, spec=spec, errors=errors, boxes=boxes, slack=slack, bounds=bounds
    )  # fmt: skip


def _nonlinear(graph: Graph) -> list[Nonlinear]:
    return [step.op for step in graph.schedule if isinstance(step.op, Nonlinear)]


def _lines(lines: Lines, dtype: torch.dtype) -> Lines:
    """The same numbers, detached."""
    return Lines(*(t.detach().to(dtype) for t in lines.leaves()))
