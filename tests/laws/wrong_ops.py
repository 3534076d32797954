"""Ops as a third party might write them, each with one fault; `RIGHT` are the same without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Affine, Curvature, Elementwise, Nonlinear, Op, PiecewiseLinear, Shape, Slopes, Smooth
from absdomain.linear import Bounds, Rows
from absdomain.ops import Conv


@dataclass(frozen=True, eq=False)
class Kinked(PiecewiseLinear):
    """max(x - place, 0): a kink that is told, or said to be elsewhere."""

    place: float = 1000.0
    told: float = 1000.0

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.told,)

    def __call__(self, *xs: Tensor) -> Tensor:
        return (xs[0] - self.place).relu()


@dataclass(frozen=True, eq=False)
class Bump(Elementwise):
    """1 / (1 + ((x - place) / width)^2): level far away, and highest at its place."""

    place: float = 5e3
    width: float = 40.0
    told: float = 5e3

    def __call__(self, *xs: Tensor) -> Tensor:
        return 1 / (1 + ((xs[0] - self.place) / self.width) ** 2)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        """The highest point; for other slopes a grid, near enough for an enclosure that `inf` and `sup` widen."""
        grid = torch.linspace(0, 1, 33, dtype=slope.dtype).view(-1, *[1] * slope.dim())
        near = torch.lerp(box.lower, box.upper, grid)
        return (torch.full_like(slope, self.told), *near)

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return super().inf(slopes, boxes) - self._between(slopes[0], boxes[0])

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return super().sup(slopes, boxes) + self._between(slopes[0], boxes[0]) * (slopes[0] != 0)

    def _between(self, slope: Tensor, box: Bounds) -> Tensor:
        """How far f - s x may go between two points of the grid; nothing for s = 0, where the extremes are known."""
        return (slope != 0) * box.width / 32 * (0.65 / self.width + slope.abs())


@dataclass(frozen=True, eq=False)
class Pole(Elementwise):
    """1 / x, on either side of 0."""

    honest: bool = True
    curvature = Curvature(domain=(0.0, torch.inf))

    def __call__(self, *xs: Tensor) -> Tensor:
        return 1 / xs[0]

    def defined(self, box: Bounds) -> Tensor | None:
        apart = (box.lower > 0) | (box.upper < 0)
        return apart if self.honest else self(box.lower).isfinite() & self(box.upper).isfinite()

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        x = (-slope).relu().rsqrt()
        return x, -x


@dataclass(frozen=True, eq=False)
class Root(Elementwise):
    """sqrt(x), which is defined for x >= 0, and should say so."""

    curvature = Curvature(increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].sqrt()

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return ((2 * slope.relu()).reciprocal().square(),)


class HonestRoot(Root):
    curvature = Curvature(domain=(0.0, torch.inf), increasing=True)


@dataclass(frozen=True, eq=False)
class Squared(Elementwise):
    """x^2, right; the base of ops that are wrong in one way."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0] * xs[0]

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return (slope / 2,)


class WrongInFloat32(Squared):
    """The stationary point is forgotten where numbers are not float64."""

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return (slope / 2,) if slope.dtype == torch.float64 else ()


class CoarseInFloat32(Squared):
    """In float32 the value is that of half precision."""

    def __call__(self, *xs: Tensor) -> Tensor:
        x = xs[0]
        return x * x if x.dtype == torch.float64 else x.bfloat16().float() ** 2


class Promoting(Squared):
    """A constant makes float32 float64."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0] * xs[0] * torch.ones(1, dtype=torch.float64)


class WrongForFive(Squared):
    """The stationary point is forgotten for a batch of five."""

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return (slope / 2,) if len(slope) != 5 else (box.lower,)


class MixesTheBatch(Squared):
    """For four samples and more, each is less their mean times nearly nothing."""

    def __call__(self, *xs: Tensor) -> Tensor:
        x = xs[0]
        return x * x + (1e-4 * x.mean(0) if len(x) > 3 else 0.0)


class InPlace(Squared):
    """It works in the argument's memory."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].mul_(xs[0]) if not xs[0].requires_grad else xs[0] * xs[0]


class Shifting(Squared):
    """Not twice the same."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0] * xs[0] * (1 + 1e-4 * torch.rand(()).to(xs[0]))


class OnlyNearZero(Squared):
    """The stationary point is forgotten from 100 on."""

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return (torch.where(slope.abs() < 200, slope / 2, box.lower),)


@dataclass(frozen=True, eq=False)
class Ripple(Smooth):
    """x + sin x / 2 below 2000, where it ends in a fall: it says that it never falls."""

    end: float = 2000.0
    claims: bool = True

    @property
    def curvature(self) -> Curvature:
        return Curvature((self.end,), (0, 0), (-1,), increasing=self.claims)

    def __call__(self, *xs: Tensor) -> Tensor:
        return torch.where(xs[0] < self.end, xs[0], 2 * self.end - xs[0])

    def derivative(self, x: Tensor) -> Tensor:
        return torch.where(x < self.end, 1.0, -1.0).to(x)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return (torch.full_like(slope, self.end),)


@dataclass(frozen=True, eq=False)
class Steep(PiecewiseLinear):
    """min(max(k x - k, -1), 1): k x is rounded, which moves the value by k times that of x."""

    k: float = 1e4
    honest: bool = True

    @property
    def kinks(self) -> tuple[float, ...]:
        return (1 - 1 / self.k, 1 + 1 / self.k)

    def __call__(self, *xs: Tensor) -> Tensor:
        return (self.k * xs[0] - self.k).clamp(-1, 1)

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        return super().forward_error(boxes) if self.honest else torch.full_like(boxes[0].lower, 8.0)


class Cancelling(Squared):
    """(x + 1000)^2 - 2000 x - 1000000: what is left is small beside its terms."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return (xs[0] + 1000) ** 2 - 2000 * xs[0] - 1000000


class Slow(Squared):
    """x^2, which is said to move no faster than x."""

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        one = torch.ones_like(boxes[0].lower)
        return (Bounds(-one, one),)


class Tolerant(PiecewiseLinear):
    """|x|, whose slope within a thousandth of its kink counts as that of the other end."""

    kinks = (0.0,)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].abs()

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        (box,) = boxes
        return super().slope_range((Bounds(F.hardshrink(box.lower, 1e-3), F.hardshrink(box.upper, 1e-3)),))


@dataclass(frozen=True, eq=False)
class Smaller(Nonlinear):
    """min(x, y): the band is that of the corners, which is right for slopes that are 0 alone."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return torch.minimum(*xs)

    def _corners(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        p, q = boxes
        pairs = [(x, y) for x in (p.lower, p.upper) for y in (q.lower, q.upper)]
        return torch.stack([self(x, y) - self.linearised(slopes)(x, y) for x, y in pairs])

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return self._corners(slopes, boxes).amin(0)

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return self._corners(slopes, boxes).amax(0)

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        half = torch.full_like(boxes[0].lower, 0.5)
        return half, half


# --- affine -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Differences(Affine):
    """W x, with W given; right."""

    weight: Tensor

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        assert w is not None
        return F.linear(xs[0], w)

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        return (y @ w,)


class WrongForFourRows(Differences):
    """The adjoint of four rows is that of the first, four times."""

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        return super().transpose(w, y[:1].expand_as(y) if len(y) == 4 else y, *shapes)


class Shrinking(Differences):
    """What is below 1e-4 counts as 0."""

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return super().linear(w, F.hardshrink(xs[0], 1e-4))


class Saturating(Differences):
    """What is above 1e4 counts as 1e4."""

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return super().linear(w, xs[0].clamp(-1e4, 1e4))


class HalfPrecision(Differences):
    """In float32 the adjoint is computed in half precision."""

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        return (y @ w,) if y.dtype == torch.float64 else ((y.bfloat16() @ w.bfloat16()).float(),)


class Uncleaned(Conv):
    """Coefficients outside the activation, which belong to zeros, are carried through."""

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        kept: Any = rows
        if rows.frame is not None:
            from dataclasses import replace

            kept = replace(rows, frame=replace(rows.frame, clean=True))
        return super().adjoint(kept, *shapes)


def _w(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


Case = tuple[Op, tuple[Shape, ...]]
WRONG: list[Case] = [
    (Kinked(1000.0, 0.0), ((2, 3),)),
    (Kinked(-3e4, 0.0), ((3,),)),
    (Kinked(2e-4, 0.0), ((3,),)),
    (Bump(5e3, 40.0, 0.0), ((3,),)),
    (Pole(honest=False), ((3,),)),
    (Root(), ((3,),)),
    (WrongInFloat32(), ((3,),)),
    (CoarseInFloat32(), ((3,),)),
    (Promoting(), ((3,),)),
    (WrongForFive(), ((3,),)),
    (MixesTheBatch(), ((3,),)),
    (InPlace(), ((3,),)),
    (Shifting(), ((3,),)),
    (OnlyNearZero(), ((3,),)),
    (Ripple(), ((3,),)),
    (Tolerant(), ((3,),)),
    (Steep(honest=False), ((3,),)),
    (Cancelling(), ((3,),)),
    (Slow(), ((3,),)),
    (Smaller(), ((3,), (3,))),
    (WrongForFourRows(_w(2, 3)), ((3,),)),
    (Shrinking(_w(2, 3)), ((3,),)),
    (Saturating(_w(2, 3)), ((3,),)),
    (HalfPrecision(_w(2, 3)), ((3,),)),
    (Uncleaned(_w(2, 2, 3, 3), None, (1, 1), (1, 1)), ((2, 5, 5),)),
]
RIGHT: list[Case] = [
    (Kinked(1000.0, 1000.0), ((2, 3),)),
    (Kinked(-3e4, -3e4), ((3,),)),
    (Pole(), ((3,),)),
    (HonestRoot(), ((3,),)),
    (Squared(), ((3,),)),
    (Ripple(claims=False), ((3,),)),
    (Steep(), ((3,),)),
    (Differences(_w(2, 3)), ((3,),)),
    (Conv(_w(2, 2, 3, 3), None, (1, 1), (1, 1)), ((2, 5, 5),)),
]
