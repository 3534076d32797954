"""Piecewise constant operations: the band is that of all jumps, though two of them are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, inf, nextafter

import torch
from torch import Tensor

from absdomain.linear import Bounds
from absdomain.ops import Ceil, Floor, Heaviside, Round, Sign
from absdomain.ops.steps import Steps, _beside, _rounded, _within
from absdomain.proofs.kernel.exact import assume, number, prove, real
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import CASES, SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.vertices import one

Jumps = Callable[[float, float], list[float]]  # of f in a box, its ends included

ENDS = ((-2.0, 3.0), (-2.5, 3.25), (0.0, 1.0), (-1.0, 0.0), (0.25, 0.75), (0.5, 2.5), (-0.5, 0.5), (1.0, 1.0),
        (0.5, 0.5), (0.0, 0.0), (-0.25, 4.0), (1.25, 1.5), (-3.5, -1.5), (-7.0, -6.75))  # fmt: skip
SLOPES = (0.0, 0.5, 1.0, 2.0, -0.5, -1.0, -3.0)


def whole(low: float, high: float) -> list[float]:
    """The whole numbers in a box."""
    return [float(n) for n in range(ceil(low), floor(high) + 1)]


def halves(low: float, high: float) -> list[float]:
    """The odd halves in a box."""
    return [n + 0.5 for n in whole(low - 0.5, high - 0.5)]


def zero(low: float, high: float) -> list[float]:
    """0, where the box has it."""
    return [0.0] if low <= 0 <= high else []


def extreme(op: Steps, f: Callable[[float], float], jumps: Jumps) -> Check:
    """inf and sup are the least and the greatest f(x) - s x at the ends, at every jump, and beside it."""

    def check(world: World) -> None:
        for low, high in ENDS:
            beside = [nextafter(j, way) for j in jumps(low, high) for way in (-inf, j, inf)]
            points = [low, high, *beside]
            world.check(all(float(op(torch.tensor(p, dtype=torch.float64))) == f(p) for p in points), f"{op}: f")
            for s in SLOPES:
                band = op.band((torch.full((1, 1), s, dtype=torch.float64),), (one((low, high)),))
                values = [f(p) - s * min(max(p, low), high) for p in points]
                found = float(band.lower), float(band.upper)
                near = all(abs(a - b) < 1e-12 for a, b in zip(found, (min(values), max(values)), strict=True))
                world.check(near, f"{op} over [{low}, {high}] at {s}: {found}")
            (steep,) = op.slope_range((one((low, high)),)) or ()
            image = op.image((one((low, high)),))
            ends = min(map(f, points)), max(map(f, points))
            world.check((float(image.lower), float(image.upper)) == ends, f"{op} over [{low}, {high}]: {image}")
            moves = bool(jumps(low, high))
            world.check((float(steep.lower), float(steep.upper)) == (0.0, inf if moves else 0.0), f"{op}: slopes")

    return check


def unknown(world: World) -> None:
    """What is not known stays so: NaN has no sign."""
    for op in (Sign(), Heaviside(0.5), Floor(), Round()):
        world.check(bool(op(torch.tensor(torch.nan)).isnan()), f"{op} of NaN")


def between(world: World) -> None:
    """c - s x at a jump x between two others is between its values at these, c growing with x along a line."""
    start, step, share, slope, level, rise = (real(world, name) for name in ("x", "d", "t", "s", "c", "r"))
    assume(world, step, share, 1 - share)
    first, last = level - slope * start, level + rise * step - slope * (start + step)
    middle = level + rise * share * step - slope * (start + share * step)
    world.split(number(last - first))
    low, high = (first, last) if world.holds(number(last - first)) else (last, first)
    prove(world, middle - low, "below")
    prove(world, high - middle, "above")


class _FirstJumpAlone(Floor):
    def jumps(self, box: Bounds) -> tuple[Tensor, Tensor]:
        first, _ = super().jumps(box)
        return first, first


class _AtTheJumps(Sign):
    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return self.jumps(box)


def signum(x: float) -> float:
    """The sign."""
    return float((x > 0) - (x < 0))


def step(at_zero: float) -> Check:
    """Heaviside's function with this value at 0."""
    return extreme(Heaviside(at_zero), lambda x: at_zero if x == 0 else float(x > 0), zero)


ALL: Sequence[Check] = (
    extreme(Sign(), signum, zero), *map(step, (0.0, 0.5, 1.0)), extreme(Floor(), lambda x: float(floor(x)), whole),
    extreme(Ceil(), lambda x: float(ceil(x)), whole), extreme(Round(), lambda x: float(round(x)), halves),
)  # fmt: skip

LEMMAS = (
    Lemma(
        "steps",
        "inf and sup of f(x) - s x are those at the ends of the box and at all jumps in it, from both sides; of jumps "
        "along a line the first and the last are extreme; NaN stays",
        (
            Steps.critical,
            Steps._gaps,
            Steps.image,
            Steps.slope_range,
            _beside,
            _within,
            _rounded,
            Heaviside.__call__,
            Heaviside.jumps,
            Sign.__call__,
            Sign.jumps,
            Floor.__call__,
            Floor.jumps,
            Ceil.__call__,
            Round.__call__,
            Round.jumps,
        ),
        (*ALL, between, unknown),
        (
            Twin("the first jump alone", extreme(_FirstJumpAlone(), lambda x: float(floor(x)), whole), {}),
            Twin("the value at a jump alone, not beside it", extreme(_AtTheJumps(), signum, zero), {}),
        ),
        f"{CASES}; {SYMBOLS}",
        "real arithmetic; the floats beside a jump stand for the limits there; a line's middle by symbols",
        leaves="`chord` and `tight_slopes`, hints; floats so large that none lies between two jumps",
    ),
)
