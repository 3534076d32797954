"""A domain at work on a part: what is asked of it is asked of a few entries, timed, and told for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from absdomain.domain import AnyDomain, Domain, Traits
from absdomain.kinds import Affine, Nonlinear
from absdomain.linear import Bounds, Ends, Rows
from absdomain.region import Region

T = TypeVar("T")
_POINTS = 6  # of the region, whose images say how far the entries are from each other
_MORE = 4  # times as many places each time
_ENOUGH = 0.1  # seconds after which no more places are tried
_FEW = 1.0  # seconds: all places are tried where they take no more


class Stopped(Exception):
    """The trial has taken its time."""


@dataclass
class Ledger:
    """What a trial has done, and what the whole would have taken."""

    limit: float  # seconds that the trial itself may take
    seconds: float = 0.0  # of the whole
    rows: int = 0  # entries of which bounds are asked, of the whole, those of all samples added up
    taken: float = 0.0  # by the trial
    sizes: list[int] = field(default_factory=list)  # how many places were tried at each question
    device: torch.device = torch.device("cpu")  # a constant

    def timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """What the work gives, and how long it took. Errors: Stopped, after it."""
        self._wait()
        began = time.perf_counter()
        found = work()
        self._wait()
        took = time.perf_counter() - began
        self.taken += took
        if self.taken > self.limit:
            raise Stopped
        return found, took

    def _wait(self) -> None:
        """A GPU is given its work, and does it later."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Tried(NamedTuple):
    """An element, and the images of a few points of the region."""

    held: Any
    points: tuple[Tensor, ...]  # (B, *shape) each


@dataclass(frozen=True, eq=False)
class Trial(Domain[Tried]):
    """As `inner`, with bounds asked of so many entries as take a tenth of a second; the others' are guessed from these.

    How wide the guessed bounds are, beside the values at a few points of the region, is the median of those that were
    asked. So later layers are relaxed over boxes of about the right width, and as many entries are asked of a meet's
    later parts; the numbers themselves are worth nothing.
    """

    inner: AnyDomain
    ledger: Ledger

    @property
    def traits(self) -> Traits:
        return self.inner.traits

    def lift(self, region: Region) -> Tried:
        points = region.sample(_POINTS, [torch.Generator(region.centre.device).manual_seed(0) for _ in region.centre])
        return Tried(self._whole(lambda: self.inner.lift(region)), tuple(points))

    def affine(self, op: Affine, *args: Tried) -> Tried:
        held = self._whole(lambda: self.inner.affine(op, *(e.held for e in args)))
        return Tried(held, tuple(op(*xs) for xs in zip(*(e.points for e in args), strict=True)))

    def relax(self, op: Nonlinear, args: tuple[Tried, ...], boxes: tuple[Bounds, ...] | None) -> Tried:
        boxes = self.boxes(op, args) if boxes is None else boxes
        held = self._whole(lambda: self.inner.relax(op, tuple(e.held for e in args), boxes))
        return Tried(held, tuple(op(*xs) for xs in zip(*(e.points for e in args), strict=True)))

    def boxes(
        self, op: Nonlinear, args: tuple[Tried, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        wheres = (None,) * len(args) if asked is None else asked
        nothing = tuple(torch.zeros_like(e.points[0], dtype=torch.bool) for e in args)

        def one(place: int) -> Callable[[Tensor | None], Bounds]:
            def ask(where: Tensor | None) -> Bounds:
                masks = tuple(where if k == place else mask for k, mask in enumerate(nothing))
                given = None if len(args) == 1 and where is None else masks
                return self.inner.boxes(op, tuple(e.held for e in args), given)[place]  # type: ignore[arg-type]

            return ask

        return tuple([self._part(one(k), e, where) for k, (e, where) in enumerate(zip(args, wheres, strict=True))])

    def bounds(self, e: Tried, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        return self._part(lambda part: self.inner.bounds(e.held, part, ends), e, where)

    def planes(self, e: Tried) -> tuple[Rows, Tensor] | None:
        return self.inner.planes(e.held)

    def _whole(self, work: Callable[[], T]) -> T:
        found, took = self.ledger.timed(work)
        self.ledger.seconds += took
        return found

    def _part(self, ask: Callable[[Tensor | None], Bounds], e: Tried, where: Tensor | None) -> Bounds:
        """ask of places of e (entries of one axis, or all channels at a place of a plane), twice as many each time."""
        like = e.points[0]
        asked = torch.ones_like(like, dtype=torch.bool) if where is None else where
        plane = asked.reshape(len(like), like.shape[1] if like.dim() > 2 else 1, -1)
        places = plane.any(1).any(0).nonzero().squeeze(1)
        whole, total = len(places), int(asked.sum())
        self.ledger.rows += total
        if not total:
            return Bounds(torch.full_like(like, -torch.inf), torch.full_like(like, torch.inf))
        places = places[torch.randperm(whole, generator=torch.Generator().manual_seed(0)).to(places.device)]
        count, before = 1, (0, 0.0)
        while True:
            chosen = torch.zeros_like(plane)
            chosen[..., places[:count]] = True
            part = chosen.view_as(asked) & asked
            found, took = self.ledger.timed(lambda: ask(where if count == whole else part))  # noqa: B023
            done = int(part.sum())
            few = took * whole <= _FEW * count
            if count == whole or (took >= _ENOUGH and not few):
                break
            before, count = (done, took), whole if few else min(whole, _MORE * count)
        self.ledger.sizes.append(count)
        rate = (took - before[1]) / (done - before[0]) if done > before[0] else 0.0
        self.ledger.seconds += took + (total - done) * max(rate, took / done / 8)
        return found if count == whole else _guessed(found, part, asked, e.points)


def _guessed(found: Bounds, part: Tensor, asked: Tensor, points: tuple[Tensor, ...]) -> Bounds:
    """Bounds of all that is asked: those found, and others as wide beside the values at points as their median."""
    cloud = torch.stack(points)
    centre, half = (cloud.amax(0) + cloud.amin(0)) / 2, (cloud.amax(0) - cloud.amin(0)) / 2
    half = half + torch.finfo(half.dtype).tiny
    reach = torch.maximum(found.upper - centre, centre - found.lower)
    factor = (reach / half)[part].nanmedian().clamp(min=1.0)
    lower, upper = centre - factor * half, centre + factor * half
    lower, upper = torch.where(part, found.lower, lower), torch.where(part, found.upper, upper)
    return Bounds(torch.where(asked, lower, -torch.inf), torch.where(asked, upper, torch.inf))
