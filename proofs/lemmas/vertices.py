"""Bands of piecewise-linear operations and of the product at given boxes and slopes: the extrema lie at vertices.

The numbers are dyadic, so that the shipped code is exact on them in double precision: the two must be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf

import torch
from torch import Tensor

from absdomain.kinds import Curvature, Elementwise, Nonlinear, PiecewiseLinear
from absdomain.linear import Bounds
from absdomain.ops import Abs, Clamp, LeakyReLU, Max, Product, ReLU
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import Check

Box = tuple[tuple[float, float], ...]  # the ends, axis by axis
Point = tuple[float, ...]
Value = Callable[[Point], float]
Vertices = Callable[[Box], list[Point]]

ENDS = ((-2.0, 3.0), (-3.0, -1.0), (0.5, 2.0), (-1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (-0.5, 0.25))
SLOPES = (0.0, 0.25, 0.5, 1.0, -0.5, 2.0, -2.0)


def corners(box: Box) -> list[Point]:
    """All combinations of ends."""
    return list(product(*box))


def kinked(*kinks: float) -> Vertices:
    """The ends of an interval and the kinks between them."""
    return lambda box: [(p,) for low, high in box for p in (low, high, *(k for k in kinks if low < k < high))]


def meeting(box: Box) -> list[Point]:
    """Of a rectangle: the corners, and where its edges meet the diagonal."""
    (a, b), (c, d) = box
    return corners(box) + [(t, t) for t in (a, b, c, d) if max(a, c) <= t <= min(b, d)]


def extreme(op: Nonlinear, f: Value, at: Vertices, cases: Sequence[tuple[Box, Point]], arguments: int = 1) -> Check:
    """inf and sup are the least and the greatest f(x) - <s, x> at the vertices, and the image's ends those of f."""

    def check(world: World) -> None:
        for box, slope in cases:
            ends = torch.tensor(box, dtype=torch.float64).unsqueeze(0)
            parts = ends.chunk(arguments, 1) if arguments > 1 else (ends,)
            boxes = tuple(Bounds(part[..., 0], part[..., 1]) for part in parts)
            slopes = tuple(torch.tensor([slope], dtype=torch.float64).chunk(arguments, 1))
            for band, s in ((op.band(slopes, boxes), slope), (op.image(boxes), (0.0,) * len(slope))):
                values = [f(x) - sum(p * q for p, q in zip(s, x, strict=True)) for x in at(box)]
                found = float(band.lower), float(band.upper)
                world.check(found == (min(values), max(values)), f"{op} over {box} at {s}: {found}")

    return check


def line_cases(boxes: Sequence[tuple[float, float]] = ENDS) -> list[tuple[Box, Point]]:
    """Every interval with every slope."""
    return [((ends,), (s,)) for ends in boxes for s in SLOPES]


def plane_cases() -> list[tuple[Box, Point]]:
    """Rectangles that lie to either side of the diagonal, across it, and are a point or a segment."""
    boxes = [((-1.0, 2.0), (0.0, 1.0)), ((0.0, 1.0), (-1.0, 2.0)), ((-3.0, -1.0), (0.0, 4.0)),
             ((1.0, 3.0), (-2.0, 0.5)),
             ((1.0, 1.0), (0.0, 2.0)), ((-1.0, -1.0), (-1.0, -1.0)), ((-2.0, 3.0), (-1.0, 4.0))]  # fmt: skip
    return [(box, slope) for box in boxes for slope in product((0.0, 0.5, 1.0, -1.0, 2.0), repeat=2)]


class HalfLine(Elementwise):
    """|x| where x >= 0, and nothing before."""

    curvature = Curvature(domain=(0.0, inf))

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].abs()

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return ()


def nowhere(world: World) -> None:
    """A box that leaves the domain has an infinite band; one that does not has its own."""
    for low, high, ends in ((-1.0, 2.0, (-inf, inf)), (1.0, 2.0, (0.5, 1.0))):
        box = Bounds(*(torch.tensor([[p]], dtype=torch.float64) for p in (low, high)))
        band = HalfLine().band((torch.full_like(box.lower, 0.5),), (box,))
        world.check((float(band.lower), float(band.upper)) == ends, f"|x| for x >= 0 over [{low}, {high}]: {band}")
    for low, high, end in ((0.0, 1.0, -inf), (0.0, 2.0, -inf), (-1.0, 0.5, 0.5)):
        band = Pole().band((torch.zeros(1, 1, dtype=torch.float64),), (one((low, high)),))
        world.check(float(band.lower) == end, f"1 / (1 - x) over [{low}, {high}]: {band}")


class Pole(HalfLine):
    """1 / (1 - x) for x <= 1, which is infinite at its end."""

    curvature = Curvature(domain=(-inf, 1.0))

    def __call__(self, *xs: Tensor) -> Tensor:
        return (1 - xs[0]).reciprocal()


def endless(world: World) -> None:
    """Over a box without ends an end of the image is told where f comes to rest, and infinite where f goes on."""
    for op, low, high, ends in (
        (Abs(), -inf, 1.0, (0.0, inf)), (Abs(), 2.0, inf, (2.0, inf)), (LeakyReLU(-1.0), -inf, inf, (0.0, inf)),
        (LeakyReLU(0.5), -inf, 1.0, (-inf, 1.0)), (Below(), 2.0, inf, (-inf, -2.0)), (Below(), -inf, 1.0, (-inf, 0.0)),
        (Clamp(-2.0, 1.0), -inf, inf, (-2.0, 1.0)), (Creeping(), -inf, inf, (-inf, inf)),
        (Creeping(-1.0), -inf, inf, (-inf, inf)), (Abs(), 2.0**600, 2.0**601, (2.0**600, 2.0**601)),
    ):  # fmt: skip
        image = Nonlinear.image(op, (one((low, high)),))
        world.check((float(image.lower), float(image.upper)) == ends, f"{op} over [{low}, {high}]: {image}")
    pair = Bounds(*torch.tensor([[[-inf, 2.0]], [[1.0, 3.0]]], dtype=torch.float64))
    image = Nonlinear.image(Abs(), (pair,))
    both = image.lower.tolist(), image.upper.tolist()
    world.check(both == ([[0.0, 2.0]], [[inf, 3.0]]), f"|x| over an infinite box and a finite one: {image}")
    image = Nonlinear.image(Product(), (one((1.0, inf)), one((2.0, 3.0))))
    world.check((float(image.lower), float(image.upper)) == (2.0, inf), f"a factor of the two is infinite: {image}")
    for sign in (1.0, -1.0):
        image = Nonlinear.image(Resting(sign), (one((-inf, inf)),))
        near, far = sorted((abs(float(image.lower)), abs(float(image.upper))))
        world.check(1000 - 1e-12 <= near <= 1000 and far == 1001, f"what comes to rest at {sign * 1000}: {image}")


class Below(Abs):
    """-|x|."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return -super().__call__(*xs)


@dataclass(frozen=True, eq=False)
class Creeping(Abs):
    """log(1 + x) for x > 0 and x for x < 0, or its mirror image: it has no ends, and creeps to one of them."""

    sign: float = 1.0

    def __call__(self, *xs: Tensor) -> Tensor:
        x = self.sign * xs[0]
        return self.sign * (x.relu().log1p() - (-x).relu())


@dataclass(frozen=True, eq=False)
class Resting(Abs):
    """1000 + (1 + |x|)^(-1/12), or its negative, which from the square root of the floats on is 1000 to rounding."""

    sign: float

    def __call__(self, *xs: Tensor) -> Tensor:
        return self.sign * (1000 + (1 + xs[0].abs()) ** (-1 / 12))


def windows_apart(world: World) -> None:
    """<a, x> of a maximum is taken window by window, sample by sample."""
    a, x = (torch.arange(start, start + 12, dtype=torch.float64).view(2, 3, 2) for start in (1, 5))
    for axis, most in ((-1, x[..., 1]), (-2, x[:, 2])):
        world.check(torch.equal(Max(axis)(x), most), f"the maximum over axis {axis} is {Max(axis)(x).tolist()}")
    found = Max(-1).linearised((a,))(x)
    world.check(torch.equal(found, a[..., 0] * x[..., 0] + a[..., 1] * x[..., 1]), f"<a, x> is {found.tolist()}")
    across = Max(-2).linearised((a,))(x)
    world.check(torch.equal(across, (a * x).sum(-2)), f"<a, x> over the axis before the last is {across.tolist()}")


def one(box: tuple[float, float]) -> Bounds:
    """An interval as bounds of one neuron."""
    return Bounds(*(torch.tensor([[p]], dtype=torch.float64) for p in box))


def settled_where(op: PiecewiseLinear, kinks: Sequence[float], boxes: Sequence[tuple[float, float]] = ENDS) -> Check:
    """A box is settled just where no kink lies strictly inside."""

    def check(world: World) -> None:
        for low, high in boxes:
            flags = op.settled((one((low, high)),))
            assert flags is not None
            inside = any(low < kink < high for kink in kinks)
            world.check(bool(flags[0]) is not inside, f"{op} over [{low}, {high}]: settled is {flags}")

    return check


def relu_cases(world: World) -> None:
    """ReLU's lines and chord over given boxes: the asked slope, moved into [f'(l), f'(u)], and the least intercept."""
    for low, high in ENDS:
        box = one((low, high))
        for asked in SLOPES:
            given = torch.full((1, 1), asked, dtype=torch.float64)
            for below, above in ((given, given), (given, given.clone()), (given / 2, given), (given, given / 2)):
                lines = ReLU().lines((below,), (above,), (box,))
                for line, want in zip(lines, (float(below), float(above)), strict=True):
                    s = float(line.slopes[0])
                    least, most = float(low >= 0), float(high > 0)
                    world.check(s == min(max(want, least), most), f"slope {want} over [{low}, {high}] became {s}")
                high_line = lines[1]
                assert high_line.intercept is not None
                s, ends = float(high_line.slopes[0]), (max(low, 0.0), max(high, 0.0))
                most = max(ends[0] - s * low, ends[1] - s * high)
                world.check(float(high_line.intercept) == most, f"intercept over [{low}, {high}] at {s}")
                world.check(lines[0].intercept is None, "the lower line passes through the origin")
        (rates,) = ReLU().slope_range((box,)) or ()
        ends = float(rates.lower), float(rates.upper)
        world.check(ends == (float(low >= 0), float(high > 0 or low >= 0)), f"slopes over [{low}, {high}]: {ends}")
        (chord,) = ReLU().chord((box,))
        true = float(low >= 0) if low >= 0 or high <= 0 else high / (high - low)
        world.check(abs(float(chord) - true) < 1e-15, f"chord over [{low}, {high}]: {chord}")


def relu_pieces(world: World) -> None:
    """The pieces of ReLU over [-2, 3]: 0 on [-2, 0], x on [0, 3]; over a stable box the piece, and a point."""
    for (low, high), wanted in {
        (-2.0, 3.0): ((0.0, 0.0, -2.0, 0.0), (1.0, 0.0, 0.0, 3.0)),
        (-3.0, -1.0): ((0.0, 0.0, -3.0, -1.0), (0.0, 0.0, -1.0, -1.0)),
    }.items():
        found = ReLU().pieces((one((low, high)),)) or ()
        world.check(len(found) == len(wanted), f"{len(found)} pieces over [{low}, {high}]")
        for piece, numbers in zip(found, wanted, strict=True):
            (domain,), line = piece.domain, piece.line
            assert line.intercept is not None
            made = [float(t) for t in (line.slopes[0], line.intercept, domain.lower, domain.upper)]
            near = all(abs(a - b) < 1e-15 for a, b in zip(made, numbers, strict=True))
            world.check(near, f"a piece over [{low}, {high}]: {made}")


def leaky(k: float) -> Check:
    """max(x, 0) + k min(x, 0)."""
    return extreme(LeakyReLU(k), lambda x: max(x[0], 0.0) + k * min(x[0], 0.0), kinked(0.0), line_cases())


RELU = (extreme(ReLU(), lambda x: max(x[0], 0.0), kinked(0.0), line_cases()), settled_where(ReLU(), (0.0,)),
        relu_cases, relu_pieces, nowhere)  # fmt: skip
LEAKY = (*map(leaky, (0.25, 2.0, -0.5)), nowhere)
ABS = (extreme(Abs(), lambda x: abs(x[0]), kinked(0.0), line_cases()), settled_where(Abs(), (0.0,)), nowhere, endless)
CLAMP = (
    extreme(Clamp(-1.0, 2.0), lambda x: min(max(x[0], -1.0), 2.0), kinked(-1.0, 2.0), line_cases()),
    extreme(Clamp(-1.0), lambda x: max(x[0], -1.0), kinked(-1.0), line_cases()),
    extreme(Clamp(high=0.5), lambda x: min(x[0], 0.5), kinked(0.5), line_cases()),
    nowhere,
)
MAX = (extreme(Max(-1), max, meeting, plane_cases()), windows_apart)
PRODUCT = (extreme(Product(), lambda x: x[0] * x[1], corners, plane_cases(), arguments=2),)
