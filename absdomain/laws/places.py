"""Where an op is tried: around its kinks, poles, ends and bends, declared or found, and at sizes of 1e-6 to 1e6."""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor

from absdomain.kinds import Elementwise, Nonlinear, Shape
from absdomain.laws import boxes as trial
from absdomain.laws.boxes import Range
from absdomain.laws.choices import generator, indices, normal, uniform
from absdomain.linear import Bounds

SIZES = (-6.0, 6.0)  # powers of ten
NEAR = (-30.0, 0.0)  # of the distance from 0: at an end of a domain f may grow without bound
_GRID = 2000  # places on either side of 0, from which bends are told
_BENT = 0.2  # of a slope: a change from one place of the grid to the next that is a bend
_SEEN = 1e-9  # of f: a smaller bend is its rounding


def declared(op: Nonlinear) -> list[float]:
    """The finite breaks and ends of the domain that an op declares, and 0."""
    named = (*op.curvature.breaks, *op.curvature.domain)
    return sorted({0.0, *(float(place) for place in named if abs(place) < torch.inf)})


def found(op: Nonlinear, shape: Shape) -> Tensor:
    """Places at which an elementwise op's slope changes from one place of a logarithmic grid to the next, (count,).

    So a kink is seen that an op does not declare, and where it saturates; of an op of several entries, none.
    """
    if not isinstance(op, Elementwise):
        return torch.zeros(0, dtype=torch.float64)
    sizes = 10 ** torch.linspace(*SIZES, _GRID, dtype=torch.float64)
    x = torch.cat([-sizes.flip(0), torch.zeros(1, dtype=torch.float64), sizes])
    y = op(x.view(-1, *[1] * len(shape)).expand(-1, *shape).contiguous()).flatten(1)
    run = x.diff().unsqueeze(1)
    slope = y.diff(dim=0) / run
    change, steepest = slope.diff(dim=0).abs(), torch.maximum(slope[1:].abs(), slope[:-1].abs())
    seen = change * run[1:] > _SEEN * y[1:-1].abs()
    bent = (change > _BENT * steepest) & seen & y[1:-1].isfinite()
    edge = y.isfinite().diff(dim=0)  # f begins or ends here
    return torch.cat([x[1:-1][bent.any(1)], x[1:][edge.any(1)]]).unique()


def drawn(op: Nonlinear, rng: Random, batch: int, shapes: tuple[Shape, ...], within: Range) -> tuple[Bounds, ...]:
    """Boxes of all sizes at places of all sizes, each entry of an elementwise op at its own; cut to a range."""
    if len(shapes) > 1 or not isinstance(op, Elementwise):
        scale = 10 ** _uniform(rng, SIZES, batch)
        made = [trial.drawn(rng, batch, shape, degenerate=rng.random() < 0.5) for shape in shapes]
        lay = [scale.view(-1, *[1] * len(shape)) for shape in shapes]
        return tuple(Bounds(s * b.lower, s * b.upper) for s, b in zip(lay, made, strict=True))
    (shape,) = shapes
    bends, size = found(op, shape), (batch, *shape)
    anywhere = normal(rng, *size).sign() * 10 ** _uniform(rng, SIZES, *size)
    known = _picked(torch.tensor(declared(op), dtype=torch.float64), rng, size)
    bent = _picked(bends, rng, size) if len(bends) else known
    kind = _uniform(rng, (0.0, 1.0), *size)
    place = torch.where(kind < 0.3, known, torch.where(kind < 0.7, bent, anywhere))
    reach = torch.where(
        place == 0, 10 ** _uniform(rng, SIZES, *size), place.abs() * 10 ** _uniform(rng, (-5, 0.5), *size)
    )
    near = torch.where(place == 0, 10 ** _uniform(rng, NEAR, *size), place.abs() * 10 ** _uniform(rng, (-15, 0), *size))
    beside = _uniform(rng, (0.0, 1.0), *size) < 0.3  # of a place, and far from it by the measure of the box
    place = torch.where(beside, place + normal(rng, *size).sign() * 2 * near, place)
    reach = torch.where(beside, near, reach)
    left, right = (_uniform(rng, (0.0, 1.0), *size) * (normal(rng, *size) > -1) for _ in range(2))
    low, high = within
    return (Bounds((place - left * reach).clamp(low, high), (place + right * reach).clamp(low, high)),)


def _uniform(rng: Random, ends: Range, *size: int) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * uniform(rng, *size)


def _picked(places: Tensor, rng: Random, size: tuple[int, ...]) -> Tensor:
    return places[indices(rng, len(places), *size)]


def points(boxes: tuple[Bounds, ...], marks: Tensor, rng: Random) -> list[Tensor]:
    """Points of the boxes, (P, B, *shape) each: ends, marks that are inside, along the diagonal, and random ones."""
    found = []
    for box in boxes:
        low, high, axes = box.lower, box.upper, [1] * box.lower.dim()
        along = torch.linspace(0, 1, 65, dtype=low.dtype).view(-1, *axes)
        sizes = 10 ** torch.linspace(*SIZES, 13, dtype=low.dtype)
        fixed = torch.cat([marks.to(low), sizes, -sizes])
        shares = torch.rand(64, *low.shape, dtype=low.dtype, generator=generator(rng))
        corners = torch.where(normal(rng, 32, *low.shape) > 0, low, high)
        inner = torch.clamp(fixed.view(-1, *axes), low, high)
        found.append(torch.cat([corners, inner, torch.lerp(low, high, along), torch.lerp(low, high, shares)]))
    return found
