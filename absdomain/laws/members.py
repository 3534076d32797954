"""Whether a point is in a region, in fractions: nothing is rounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import isfinite
from random import Random
from typing import Any

import torch
from torch import Tensor

from absdomain.laws.broken import holds
from absdomain.laws.drawing import generator
from absdomain.region import L1, L2, Interval, Linf, Region
from absdomain.values import mapped

_SHARES = (1.0, 1e-9, 1e-300, 0.0)  # of a region's radius


def _linf(region: Any, x: Tensor, sample: int) -> bool:
    low, high = (-torch.inf, torch.inf) if region.clip is None else region.clip
    near = all(abs(d) <= r for d, r in _offsets(region, x, sample))
    return near and bool(((x >= low) & (x <= high)).all())


def _interval(region: Any, x: Tensor, sample: int) -> bool:
    return bool(((x >= region.lower[sample]) & (x <= region.upper[sample])).all())


def _l1(region: Any, x: Tensor, sample: int) -> bool:
    return _shares(region, x, sample, lambda shares: sum(shares) <= 1)


def _l2(region: Any, x: Tensor, sample: int) -> bool:
    return _shares(region, x, sample, lambda shares: sum(s * s for s in shares) <= 1)


def _shares(region: Any, x: Tensor, sample: int, within: Callable[[Sequence[Fraction]], bool]) -> bool:
    """|x_i - c_i| / r_i, where an axis of radius 0 allows nothing."""
    offsets = _offsets(region, x, sample)
    fixed = all(d == 0 for d, r in offsets if r == 0)
    return fixed and within([abs(d) / r for d, r in offsets if r > 0])


def _offsets(region: Any, x: Tensor, sample: int) -> list[tuple[Fraction, Fraction]]:
    centre = region.centre[sample]
    radius = torch.as_tensor(region.radius, dtype=centre.dtype).expand(region.centre.shape)[sample]
    listed = zip(x.flatten().tolist(), centre.flatten().tolist(), radius.flatten().tolist(), strict=True)
    return [(Fraction(a) - Fraction(b), Fraction(r)) for a, b, r in listed]


MEMBERS: dict[type[Region], Callable[[Any, Tensor, int], bool]] = {
    Linf: _linf, Interval: _interval, L1: _l1, L2: _l2,
}  # fmt: skip


def member(region: Region, x: Tensor, sample: int) -> bool:
    """Whether x (*shape) is in the sample's region, for a region of the library's own kinds; exactly."""
    return all(map(isfinite, x.flatten().tolist())) and MEMBERS[type(region)](region, x, sample)


def check_members(region: Region, rng: Random) -> None:
    """Samples and projections are members, and a projection moves none, in both dtypes and for radii down to 0."""
    for dtype in (torch.float64, torch.float32):
        for share in _SHARES:
            smaller = _smaller(region, dtype, share)
            box, seed = smaller.box(), generator(rng)
            reach = (box.upper - box.lower).abs() + torch.finfo(dtype).tiny
            way = torch.randn(6, *box.lower.shape, dtype=dtype, generator=seed)
            tried = (
                ("sample", smaller.sample(6, seed)),
                ("project", smaller.project(smaller.centre + 4 * way * reach)),
            )
            for law, points in tried:
                again = smaller.project(points)
                holds(torch.equal(again, points), f"project moves no point of the region ({law})", f"{smaller}")
                for point in points:
                    away = [b for b, x in enumerate(point) if not member(smaller, x, b)]
                    text = f"samples {away}: {point[away].tolist()} in {smaller}"
                    holds(not away, f"points of {law} are in the region, exactly", text)


def _smaller(region: Any, dtype: torch.dtype, share: float) -> Region:
    """The region in this dtype, drawn together by this factor; about a point of it where it has two ends."""
    twin = mapped(region, lambda t: t.to(dtype))
    if isinstance(twin, Interval):
        return Interval(twin.lower, torch.maximum(twin.lower, twin.lower + (twin.upper - twin.lower) * share))
    smaller: Region = replace(twin, radius=twin.radius * share)
    return smaller
