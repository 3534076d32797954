"""Bounds of derivatives over boxes, to which asked slopes are moved and by which rounding is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

import sympy
import torch
from torch import Tensor

from absdomain.kinds import Elementwise, Nonlinear, PiecewiseLinear, Smooth
from absdomain.linear import Bounds
from absdomain.ops import ELU, Abs, Clamp, Cos, Log, Max, Pow, Product, ReLU, Sigmoid, SiLU, Softplus
from absdomain.ops.periodic import _Wave
from absdomain.proofs.kernel.abstract import AnyOp
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import CASES, Check, Lemma, Twin
from absdomain.proofs.lemmas.enclosures import Pieces, X, close, extremes
from absdomain.proofs.lemmas.extrema import BOXES, RIGHT, SIGMOID, SILU, elu, floored, softplus, whole
from absdomain.proofs.lemmas.vertices import one

ASKED = (-3.0, -0.75, 0.0, 0.125, 0.5, 2.0, 40.0)
Ends = Sequence[tuple[float, float]]


def derived(pieces: Pieces) -> Pieces:
    """f' piece by piece."""
    return tuple((a, b, sympy.diff(e, X)) for a, b, e in pieces)


def exact_range(op: Smooth, pieces: Pieces, boxes: Ends) -> Check:
    """The range is that of f' over the box, and `steepness` the larger end's size."""

    def check(world: World) -> None:
        for box in boxes:
            found = op.slope_range((one(box),))
            assert found is not None
            low, high = extremes(derived(pieces), (*box, 0.0))
            (steep,) = op.steepness((one(box),))
            close(world, float(found[0].lower), low, abs(low), f"{op} over {box}: least slope")
            close(world, float(found[0].upper), high, abs(high), f"{op} over {box}: greatest slope")
            world.check(
                float(steep) == max(abs(float(end)) for end in (found[0].lower, found[0].upper)), f"{op}: steepness"
            )

    return check


def met_pieces(make: Callable[[], PiecewiseLinear], pieces: Sequence[tuple[float, float, float]], boxes: Ends) -> Check:
    """The range is that of the slopes of the pieces, (start, end, slope), of which the box has more than an end."""

    def check(world: World) -> None:
        op = make()
        for low, high in boxes:
            found = op.slope_range((one((low, high)),))
            assert found is not None
            inside = [s for start, end, s in pieces if low < end and high > start]
            slopes = inside or [s for start, end, s in pieces if low <= end and high >= start]
            ends = float(found[0].lower), float(found[0].upper)
            known = ends == (min(slopes), max(slopes)) or (not inside and ends[0] == ends[1] in slopes)
            world.check(known, f"{op} over [{low}, {high}]: slopes {ends}")

    return check


def moved(op: Nonlinear, boxes: tuple[tuple[float, float], ...]) -> Check:
    """An asked slope is moved to the nearest end of the range; the lines that it gives are never looser."""

    def check(world: World) -> None:
        within = tuple(Bounds(b.lower.expand(2, 3), b.upper.expand(2, 3)) for b in map(one, boxes))
        ranges = op.slope_range(within)
        assert ranges is not None
        for asked in ASKED:
            given = tuple(torch.full((2, 3), asked, dtype=torch.float64) for _ in boxes)
            below, above = op.lines(given, given, within)
            taken = below.slopes
            world.check(all(a is b for a, b in zip(taken, above.slopes, strict=True)), "shared slopes")
            for line, end in ((below, op.inf), (above, op.sup)):
                assert line.intercept is not None
                world.check(torch.equal(line.intercept, end(taken, within)), f"{op}: the intercept is the band's end")
            for s, r in zip((*op.clamped(given, within), *taken), ranges * 2, strict=True):
                want = torch.full((2, 3), asked, dtype=torch.float64).clamp(r.lower, r.upper)
                world.check(s.shape == (2, 3), f"{op}: slopes of shape {tuple(s.shape)}")
                world.check(
                    bool(((s - want).abs() <= 1e-12).all()), f"{op} over {boxes}: {asked} became {s}, not {want}"
                )
            if len(boxes) == 1:
                never_looser(world, op, asked, taken, within)

    return check


def never_looser(
    world: World, op: Nonlinear, asked: float, taken: tuple[Tensor, ...], within: tuple[Bounds, ...]
) -> None:
    """Each line with the slope that was taken lies within the band of the one that was asked, at both ends."""
    (box,), (slope,) = within, taken
    given = (torch.full_like(slope, asked),)
    old, new = op.band(given, within), op.band(taken, within)
    for x in (box.lower, box.upper):
        turn = op.linearised(taken)(x) - op.linearised(given)(x)
        below, above = turn + new.lower - old.lower, turn + new.upper - old.upper
        world.check(bool((below >= -1e-12).all()), f"{op}: the line below of {slope} is looser than that of {asked}")
        world.check(bool((above <= 1e-12).all()), f"{op}: the line above of {slope} is looser than that of {asked}")


class Cube(Elementwise):
    """x^3, of which only the critical points are declared."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0] ** 3

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        x = (slope.relu() / 3).sqrt()
        return x, -x


class Valley(PiecewiseLinear):
    """|x + 2| / 2 + |x - 3|, whose pieces are of different widths."""

    kinks = (-2.0, 3.0)

    def __call__(self, *xs: Tensor) -> Tensor:
        return (xs[0] + 2).abs() / 2 + (xs[0] - 3).abs()


class Ramp(Cube):
    """min(max(1000 x, -1), 1), which samples of a wide box miss."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return (1000 * xs[0]).clamp(-1, 1)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return torch.full_like(slope, -0.001), torch.full_like(slope, 0.001)


class Down(Ramp):
    """The ramp, falling."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return super().__call__(-xs[0])


def from_critical_points(world: World) -> None:
    """Without a derivative the range is [-s, s], s at least the steepest |f'| and at most five times that."""
    for low, high in ((-2.0, 3.0), (0.5, 1.0), (-3.0, -1.0), (1.0, 1.0), (0.0, 0.0)):
        (found,) = Cube().slope_range((one((low, high)),)) or ()
        steepest = 3 * max(low * low, high * high)
        least, most = float(found.lower), float(found.upper)
        world.check(least == -most, f"x^3 over [{low}, {high}]: [{least}, {most}]")
        world.check(steepest <= most <= 5 * steepest + 1e-9, f"x^3 over [{low}, {high}]: {most}, f' is {steepest}")
    for low, high in ((-2.0, 3.0), (-0.5, 0.25)):
        for op in (Ramp(), Down()):
            (found,) = op.slope_range((one((low, high)),)) or ()
            least, most = float(found.lower), float(found.upper)
            world.check(1000 <= most <= 2000 and least == -most, f"a ramp of slope 1000 over [{low}, {high}]: {most}")


def sample_by_sample(world: World) -> None:
    """The range that is found over one box does not depend on the others, which take longer to be found."""
    boxes = [one(ends) for ends in ((-2.0, 3.0), (-0.0005, 0.0005))]
    together = Bounds(torch.cat([b.lower for b in boxes]), torch.cat([b.upper for b in boxes]))
    (both,) = Ramp().slope_range((together,)) or ()
    for place, box in enumerate(boxes):
        (alone,) = Ramp().slope_range((box,)) or ()
        world.check(torch.equal(both.upper[place], alone.upper[0]), f"over {box}: {both.upper[place]}, {alone.upper}")


def unknown(world: World) -> None:
    """An op of which nothing is known has no range: slopes stay as they are asked, and steepness is infinite."""
    box = one((-1.0, 2.0))
    op = AnyOp(world, box.lower, box.upper)
    world.check(op.slope_range((box,)) is None, "no range")
    world.check(op.clamped((box.lower,), (box,))[0] is box.lower, "the slope as it is asked")
    world.check(float(op.steepness((box,))[0]) == inf, "infinitely steep")
    (found,) = Log().slope_range((box,)) or ()
    world.check((float(found.lower), float(found.upper)) == (-inf, inf), f"a box that leaves the domain: {found}")


def of_two(world: World) -> None:
    """The product's derivatives lie between the ends of the other factor, those of a maximum in [0, 1]."""
    x, y = one((-1.0, 2.0)), one((0.5, 4.0))
    found = Product().slope_range((x, y))
    assert found is not None
    for r, other in zip(found, (y, x), strict=True):
        world.check(torch.equal(r.lower, other.lower) and torch.equal(r.upper, other.upper), "the other factor")
    (unit,) = Max(-1).slope_range((Bounds(x.lower.expand(1, 2), x.upper.expand(1, 2)),)) or ()
    (wave,) = Cos().slope_range((x,)) or ()
    for r, least in ((unit, 0.0), (wave, -1.0)):
        world.check(bool((r.lower == least).all() & (r.upper == 1.0).all()), f"[{least}, 1]: {r}")
    ahead = Bounds(torch.tensor([[2.0, -1.0]]), torch.tensor([[3.0, 1.0]]))
    (own,) = Max(-1).slope_range((ahead,)) or ()
    world.check(own.lower.tolist() == own.upper.tolist() == [[1.0, 0.0]], f"an entry that always leads: {own}")


class _Halved(Sigmoid):
    def derivative(self, x: Tensor) -> Tensor:
        return super().derivative(x) / 2


ROOT = whole(X ** sympy.Rational(1, 2))
POWERS: tuple[tuple[float, tuple[tuple[float, float], ...]], ...] = (
    (2.0, BOXES), (3.0, BOXES), (4.0, BOXES), (-1.0, (*RIGHT, (-3.0, -0.5))), (-2.0, (*RIGHT, (-3.0, -0.5))),
)  # fmt: skip
WALLS = ((-2.0, 3.0), (-1.0, 0.5), (2.0, 4.0), (-4.0, -1.0), (0.0, 0.0), (3.0, 5.0))
RANGES: tuple[Check, ...] = (
    exact_range(Sigmoid(), SIGMOID, BOXES), exact_range(SiLU(), SILU, ((-2.0, 3.0),)),
    exact_range(ELU(3.0), elu(3, 1), BOXES), exact_range(Softplus(), softplus(1, 20.0), BOXES),
    exact_range(Log(), whole(sympy.log(X)), RIGHT), exact_range(Log(0.75), floored(sympy.log(X), 0.75), BOXES),
    exact_range(Pow(-1.0, 0.75), floored(1 / X, 0.75), BOXES), exact_range(Pow(0.5), ROOT, RIGHT),
    *(exact_range(Pow(e), whole(X ** int(e)), boxes) for e, boxes in POWERS),
)  # fmt: skip
STEPS = ((-inf, -1.0, 0.0), (-1.0, 2.0, 1.0), (2.0, inf, 0.0))  # of a clamp between -1 and 2
SIDES = ((-inf, -2.0, -1.5), (-2.0, 3.0, -0.5), (3.0, inf, 1.5))

LEMMAS = (
    Lemma(
        "slope_range",
        "the range that an op gives holds f' over the box, and is no wider than f' is (for an op that declares its "
        "critical points alone: than five times its size); a slope that is asked outside is moved to its nearest end, "
        "and the lines with that one are never looser",
        (Smooth.slope_range, Smooth.lines, Smooth._moved, Smooth._sides, Nonlinear.slope_range, Nonlinear.clamped,
         Nonlinear.steepness, PiecewiseLinear.slope_range, PiecewiseLinear._slopes, Elementwise.slope_range,
         Elementwise._falls, Product.slope_range, Max.slope_range, ReLU.slope_range, _Wave.slope_range,
         _Wave._moved),
        (*RANGES, met_pieces(lambda: Clamp(-1.0, 2.0), STEPS, WALLS), met_pieces(Clamp, ((-inf, inf, 1.0),), WALLS),
         met_pieces(Abs, ((-inf, 0.0, -1.0), (0.0, inf, 1.0)), WALLS),
         met_pieces(ReLU, ((-inf, 0.0, 0.0), (0.0, inf, 1.0)), (*WALLS, (0.25, 0.75))),
         met_pieces(Valley, SIDES, WALLS), from_critical_points, sample_by_sample, unknown, of_two,
         *(moved(op, (box,)) for op in (Sigmoid(), SiLU(), Abs(), Cos()) for box in ((-2.0, 3.0), (0.5, 4.0))),
         moved(Product(), ((-1.0, 2.0), (0.5, 4.0))), moved(Pow(2.0), ((-2.0, 3.0),)), moved(Max(-1), ((-1.0, 2.0),))),
        (Twin("half of the derivative", exact_range(_Halved(), SIGMOID, BOXES), {}),),
        CASES, "the boxes and slopes of these cases stand for all; the law of a plug-in's critical points",
        leaves="an op that declares critical points alone and stands upright somewhere (the search for its slope "
               "sees samples); boxes other than those of the cases; gradients of clamped slopes",
    ),
)  # fmt: skip
