"""A region's support function, hull, images, samples and projections agree with its definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from random import Random
from typing import Any

import torch
from torch import Tensor

from absdomain.kinds import Affine
from absdomain.laws import drawing, matrices, witnesses
from absdomain.laws.broken import at_most, equal, finite, holds, slack
from absdomain.laws.members import check_members
from absdomain.linear import Bounds, Rows
from absdomain.region import L1, L2, Interval, Linf, Region


def _of_box(region: Any, c: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    return (c.clamp(min=0) * lower.flatten(1) + c.clamp(max=0) * upper.flatten(1)).sum(-1)


def _linf(region: Any, c: Tensor) -> Tensor:
    lower, upper = region.centre - region.radius, region.centre + region.radius
    if region.clip is not None:
        lower, upper = lower.clamp(min=region.clip[0]), upper.clamp(max=region.clip[1])
    return _of_box(region, c, lower, upper)


def _interval(region: Any, c: Tensor) -> Tensor:
    return _of_box(region, c, region.lower, region.upper)


def _ball(order: float) -> Callable[[Any, Tensor], Tensor]:
    def minimum(region: Any, c: Tensor) -> Tensor:
        reach = (torch.zeros_like(region.centre) + region.radius).flatten(1)
        return (c * region.centre.flatten(1)).sum(-1) - torch.linalg.vector_norm(c * reach, order, dim=-1)

    return minimum


# The definition of each region, apart from absdomain.region: min over the region of <c_k, x>, c (K, B, n) -> (K, B).
MINIMA: dict[type[Region], Callable[[Any, Tensor], Tensor]] = {
    Linf: _linf, Interval: _interval, L2: _ball(2.0), L1: _ball(torch.inf),
}  # fmt: skip


def minimum(region: Region, c: Tensor) -> Tensor:
    """min of <c_k, x> over a region of the library's own kinds by its definition, (K, B); c (K, B, n)."""
    return MINIMA[type(region)](region, c)


def alone(region: Region, sample: int) -> Region:
    """The region of one sample of the batch."""
    return region.select(torch.tensor([sample], device=region.centre.device))


def points(rng: Random, centre: Tensor) -> Region:
    """A region of one point per sample, of any kind."""
    kinds: tuple[Callable[[], Region], ...] = (
        lambda: Linf(centre, 0.0),
        lambda: Interval(centre, centre),
        lambda: L2(centre, torch.zeros(())),
        lambda: L1(centre, 0.0),
    )
    return rng.choice(kinds)()


def part(region: Region, rng: Random) -> Region:
    """A region of the same kind inside this one; at times the same, or its centre."""
    share = rng.choice((0.0, 0.5, 0.9, 1.0))
    whole: Any = region  # a dataclass, as regions are
    if isinstance(region, Interval):
        ends = (torch.lerp(region.centre, end, share) for end in (region.lower, region.upper))
        return Interval(*ends)
    inner: Region = replace(whole, radius=whole.radius * share)
    return inner


def check_region(region: Region, *, seed: int = 0) -> None:
    """Every law of a region; raises LawBroken.

    `minimum` is below <c, x> at every sampled and projected point, attained at `argmin`, and by one of a library
    kind's definition; `box` is the minimum along the axes; `image` of affine ops agrees with their matrices, and is a
    region where an op is diagonal; `sample` and `project` stay inside, and a projection moves no point of the region;
    `select` gives the samples it is asked for. A part of a larger region (`whole`) may have that one's box and images.

    Of a library kind, points are inside as fractions are, to the last bit, in both dtypes and for radii down to 0.
    """
    rng = Random(seed)
    n, batch = prod(region.centre.shape[1:]), len(region.centre)
    box, scale = region.box(), _scale(region)
    finite(box.lower, "box is finite")
    finite(box.upper, "box is finite")
    at_most(box.lower, box.upper, slack(scale), "box: lower <= upper")
    axes = torch.eye(n, dtype=torch.float64).unsqueeze(1).expand(-1, batch, -1)
    c = torch.cat([drawing.weights(rng, 4, batch, n), axes])
    rows = c.view(len(c), batch, *region.centre.shape[1:])
    least = region.minimum(Rows.of(rows))
    allowed = slack(scale * c.abs().sum(-1))
    low, high = least[4:].t().reshape(box.lower.shape), -region.minimum(Rows.of(-rows[4:])).t().reshape(box.upper.shape)
    at_most(box.lower, low, slack(scale), "box holds the minimum along each axis")
    at_most(high, box.upper, slack(scale), "box holds the maximum along each axis")
    if region.whole is region:
        at_most(low, box.lower, slack(scale), "box is the minimum along each axis")
        at_most(box.upper, high, slack(scale), "box is the maximum along each axis")
    if type(region) in MINIMA:
        equal(least, minimum(region, c), allowed, "minimum is that of the region's definition")
    _check_points(region, rng, rows, least, allowed)
    _check_argmin(region, rows, allowed)
    _check_select(region, rng)
    if type(region) in MINIMA:
        check_members(region, rng)
    if region.whole is region:
        for make in (drawing.dense, *drawing.AFFINE):
            _check_images(region, rng, make)


def _scale(region: Region) -> Tensor:
    box = region.box()
    return torch.maximum(box.lower.abs(), box.upper.abs()).max()


def _check_points(region: Region, rng: Random, rows: Tensor, least: Tensor, allowed: Tensor) -> None:
    box, size = region.box(), slack(_scale(region))
    sampled = region.sample(64, drawing.generator(rng))
    holds(sampled.shape[:2] == (64, len(region.centre)), "sample gives (n, B, *shape)", f"got {tuple(sampled.shape)}")
    wide = box.radius > 0
    spread = sampled.amax(0) - sampled.amin(0)
    spreads = region.whole is not region or bool((spread[wide] > 0).all())
    holds(spreads, "samples spread along every axis", f"{spread.tolist()} in {box}")
    projected = witnesses.extreme(region, rng)
    for law, x in (("sample", sampled), ("project", projected)):
        at_most(box.lower, x, size, f"{law} stays above the box's lower end")
        at_most(x, box.upper, size, f"{law} stays below the box's upper end")
        reached = torch.einsum("kbn,pbn->pkb", rows.flatten(2), x.flatten(2))
        at_most(least, reached, allowed, f"minimum is below <c, x> at every point of {law}")
        equal(region.project(x), x, 10 * size, f"project moves no point of the region ({law})")


def _check_select(region: Region, rng: Random) -> None:
    """`select` gives the samples in any order, repeated or left out."""
    index = torch.randint(len(region.centre), (3,), generator=drawing.generator(rng))
    chosen, x = region.select(index), region.sample(4, drawing.generator(rng))
    for end in ("lower", "upper"):
        same = torch.equal(getattr(chosen.box(), end), getattr(region.box(), end)[index])
        holds(same, "select gives the boxes of its samples", f"{index.tolist()} of {region}")
    size = 10 * slack(_scale(region))
    equal(chosen.project(x[:, index]), x[:, index], size, "select gives the samples' regions", f"{region}")


def _check_argmin(region: Region, rows: Tensor, allowed: Tensor) -> None:
    """`argmin` of rows (K, B, *shape) attains their minima and lies in the region, also where entries are 0."""
    size = slack(_scale(region))
    for c in (rows, rows * (rows.abs() > rows.abs().median())):
        x = region.argmin(c)
        equal((c * x).flatten(2).sum(-1), region.minimum(Rows.of(c)), allowed, "minimum is attained at argmin")
        equal(region.project(x), x, 10 * size, "argmin lies in the region")


def _check_images(region: Region, rng: Random, make: drawing.Maker) -> None:
    """`image` of an op of one argument drawn for the region's shape: its hull, and for a diagonal op a region."""
    op = make(rng, tuple(region.centre.shape[1:]))
    if not isinstance(op, Affine) or make in (drawing.add, drawing.concat):
        return
    matrix, offset = matrices.of(op, (tuple(region.centre.shape[1:]),))
    rows = matrix[0].unsqueeze(1).expand(-1, len(region.centre), -1)
    image, sum_ = region.image(op), matrix.abs().sum(-1) * _scale(region) + offset.flatten(1).abs()
    holds(isinstance(image, Region if op.diagonal else Bounds), "image of a diagonal op is a region", f"{op}: {image}")
    hull = image.box()
    allowed = slack(sum_).reshape(-1, *hull.shape)
    least = minimum if type(region) in MINIMA else _asked
    lower, upper = least(region, rows).t() + offset.flatten(1), -least(region, -rows).t() + offset.flatten(1)
    equal(hull.lower, lower.reshape(hull.lower.shape), allowed, f"image has the exact hull, lower end of {op}")
    equal(hull.upper, upper.reshape(hull.lower.shape), allowed, f"image has the exact hull, upper end of {op}")
    if isinstance(image, Region):
        c = drawing.normal(rng, 3, *hull.lower.shape)
        (pulled,), constant = op.pull(Rows.of(c), tuple(region.centre.shape[1:]))
        wanted = region.minimum(pulled) + (0.0 if constant is None else constant)
        room = (c.abs() * allowed).flatten(2).sum(-1)
        equal(image.minimum(Rows.of(c)), wanted, room, f"image of a diagonal op is no larger than that: {op}")


def _asked(region: Region, c: Tensor) -> Tensor:
    """min of <c_k, x> as the region says, (K, B); c (K, B, n)."""
    return region.minimum(Rows.of(c.view(*c.shape[:2], *region.centre.shape[1:])))
