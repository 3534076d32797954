"""Boxes, slopes and points on which a nonlinear op is tried: of all sizes, and degenerate in every way we know."""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor

from absdomain.kinds import Elementwise, Nonlinear, Op, Shape, Slopes
from absdomain.laws.choices import generator, indices, normal
from absdomain.linear import Bounds

Range = tuple[float, float]
EVERYWHERE: Range = (-torch.inf, torch.inf)
MARGIN = 1e-3
_CORNERS = 600
_LEVELS = 500


def defined(op: Op) -> Range:
    """Where an op can be tried: the domain of an elementwise one, less MARGIN at its ends, across which laws step."""
    low, high = op.curvature.domain if isinstance(op, Elementwise) else EVERYWHERE
    return low + MARGIN, high - MARGIN


def drawn(rng: Random, batch: int, shape: Shape, *, degenerate: bool, within: Range = EVERYWHERE) -> Bounds:
    """Boxes of all sizes in a range; degenerate ones have points, ends at 0, dead and barely unstable entries, ties."""
    centre, size = normal(rng, batch, *shape), 10 ** (1.5 * normal(rng, batch, *shape)).clamp(-4, 1)
    lower, upper = centre - size, centre + size
    if degenerate:
        kind = indices(rng, 11, *lower.shape)
        sides = (
            (lower, lower), (lower, lower.clamp(max=0) * 0), (lower * 0, upper.abs()), (-size, -1e-3 * size),
            (-1e-12 * size, size), (-size, 1e-12 * size), (lower.round(), lower.round() + 1), (lower * 0, lower * 0),
            (1e-9 * size, 3e-9 * size), (-1e-9 * size, 1e-9 * size),
        )  # fmt: skip
        for place, (low, high) in enumerate(sides):
            lower, upper = torch.where(kind == place, low, lower), torch.where(kind == place, high, upper)
    return _moved(torch.minimum(lower, upper), torch.maximum(lower, upper), within)


def _moved(lower: Tensor, upper: Tensor, within: Range) -> Bounds:
    """Boxes that stick out of the range, mirrored at its ends and cut there; their widths stay where there is room."""
    low, high = within
    lift = (2 * (low - lower)).relu() if low > -torch.inf else torch.zeros_like(lower)
    lower, upper = lower + lift, upper + lift
    drop = (2 * (upper - high)).relu() if high < torch.inf else torch.zeros_like(upper)
    return Bounds((lower - drop).clamp(low, high), (upper - drop).clamp(low, high))


def inside(box: Bounds, rng: Random) -> Tensor:
    """A random point of every box."""
    return torch.lerp(box.lower, box.upper, torch.rand(box.lower.shape, dtype=torch.float64, generator=generator(rng)))


def slopes(op: Nonlinear, boxes: tuple[Bounds, ...], rng: Random) -> list[Slopes]:
    """Slopes that a policy would give, and slopes that no policy should: each is sound."""

    def each(value: float) -> Slopes:
        return tuple(torch.full_like(b.lower, value) for b in boxes)

    def near(value: float) -> Slopes:
        return tuple(value + _log_uniform(rng, b.lower) * normal(rng, *b.lower.shape) for b in boxes)

    below, above = op.tight_slopes(boxes)
    wild = tuple(3 * normal(rng, *b.lower.shape) for b in boxes)
    policies = [each(0.0), each(1.0), op.chord(boxes), below, above, *op.facets(boxes)]
    return [*policies, wild, near(0.0), near(1.0), each(-2.0)]


def _log_uniform(rng: Random, like: Tensor) -> Tensor:
    return 10 ** (-9 * torch.rand(like.shape, dtype=torch.float64, generator=generator(rng)))


def points(boxes: tuple[Bounds, ...], slopes: Slopes, rng: Random) -> list[Tensor]:
    """Points of the boxes, (P, B, *shape) each: corners, all at one level, those by the slopes' signs, random."""
    found = []
    for box, slope in zip(boxes, slopes, strict=True):
        low, high = box.lower, box.upper
        corners = torch.where(normal(rng, _CORNERS, *low.shape) > 0, low, high)
        ends = torch.cat([low, high]).flatten().unique()
        picked = ends[torch.randperm(len(ends), generator=generator(rng))[:_LEVELS]]
        fixed = torch.cat([picked, torch.zeros(1, dtype=torch.float64)])
        levels = torch.clamp(fixed.view(-1, *[1] * low.dim()), low, high)
        signed = [torch.where(slope > 0, levels, low), torch.where(slope < 0, levels, high)]
        anywhere = torch.lerp(low, high, torch.rand(200, *low.shape, dtype=torch.float64, generator=generator(rng)))
        along = torch.lerp(low, high, torch.linspace(0, 1, 201, dtype=torch.float64).view(-1, *[1] * low.dim()))
        found.append(torch.cat([corners, levels, *signed, anywhere, along, low.unsqueeze(0), high.unsqueeze(0)]))
    most = min(len(x) for x in found)
    return [x[torch.randperm(len(x), generator=generator(rng))[:most]] if len(found) > 1 else x for x in found]
