"""The band of every piecewise-linear operation and of the product encloses, for all boxes and all slopes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.kinds import (
    Curvature,
    Diagonal,
    Elementwise,
    Joint,
    Line,
    Nonlinear,
    PiecewiseLinear,
    Slopes,
    entrywise,
    linearised,
)
from absdomain.linear import Bounds
from absdomain.ops import Abs, Clamp, LeakyReLU, Max, PReLU, Product, ReLU
from absdomain.ops.maximum import WeightedSum
from absdomain.proofs.kernel.exact import assume, numbers, prove, prove_zero, real, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.calculus import says
from absdomain.proofs.lemmas.vertices import ABS, CLAMP, LEAKY, MAX, PRELU, PRODUCT, RELU

Make = Callable[[World], Nonlinear]


def boxed(world: World, name: str, *shape: int) -> tuple[Tensor, Bounds]:
    """Any point x of any box."""
    x, lower, upper = (reals(world, end + name, *shape) for end in ("", "l", "u"))
    assume(world, x - lower, upper - x)
    return x, Bounds(lower, upper)


def encloses(world: World, op: Nonlinear, xs: tuple[Tensor, ...], boxes: tuple[Bounds, ...], slopes: Slopes) -> None:
    """inf(s, boxes) <= f(x) - <s, x> <= sup(s, boxes)."""
    gap = op(*xs) - op.linearised(slopes)(*xs)
    prove(world, gap - op.inf(slopes, boxes), "inf")
    prove(world, op.sup(slopes, boxes) - gap, "sup")


def band(make: Make) -> Callable[[World], None]:
    """The band of an elementwise op encloses, and so does its image; cases by the sides of its kinks."""

    def check(world: World) -> None:
        op = make(world)
        x, box = boxed(world, "x", 1, 1)
        for kink in getattr(op, "kinks", ()):
            world.split(*(numbers(p - kink)[0] for p in (box.lower, box.upper, x)))
        encloses(world, op, (x,), (box,), (real(world, "s"),))
        image = op.image((box,))
        prove(world, op(x) - image.lower, "image, lower end")
        prove(world, image.upper - op(x), "image, upper end")

    return check


def settled(make: Make) -> Callable[[World], None]:
    """Where an op says that it is affine over a box, the chord's band there has width 0."""

    def check(world: World) -> None:
        op = make(world)
        _, box = boxed(world, "x", 1, 1)
        flags = op.settled((box,))
        assert flags is not None
        chord = op.chord((box,))
        if bool(flags[0].all()):
            found = op.band(chord, (box,))
            prove_zero(world, found.upper - found.lower, "a settled entry's band")

    return check


def pieces(make: Make) -> Callable[[World], None]:
    """Some piece whose domain holds x has f(x) on its line: the pieces cover f."""

    def check(world: World) -> None:
        op = make(world)
        x, box = boxed(world, "x", 1, 1)
        world.split(*(numbers(p)[0] for p in (box.lower, box.upper, x)))
        for piece in op.pieces((box,)) or ():
            (domain,) = piece.domain
            if bool((x >= domain.lower).all()) and bool((x <= domain.upper).all()):
                assert piece.line.intercept is not None
                prove_zero(world, op(x) - piece.line.slopes[0] * x - piece.line.intercept, "on the piece's line")
                return
        prove(world, -torch.ones_like(x), "no piece holds x")

    return check


def relu_lines(op: ReLU) -> Callable[[World], None]:
    """The two lines that ReLU gives for any asked slopes enclose it."""

    def check(world: World) -> None:
        x, box = boxed(world, "x", 1, 1)
        below, above = op.lines((real(world, "a"),), (real(world, "s"),), (box,))
        for line, sign in ((below, 1), (above, -1)):
            y = line.slopes[0] * x if line.intercept is None else line.slopes[0] * x + line.intercept
            prove(world, sign * (op(x) - y), "line below" if sign > 0 else "line above")

    return check


class _NoKink(PiecewiseLinear):
    kinks = ()

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].relu()


class _NoFold(PiecewiseLinear):
    kinks = ()

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].abs()


class _TrustedSlope(ReLU):
    def lines(self, below: Slopes, above: Slopes, boxes: tuple[Bounds, ...]) -> tuple[Line, Line]:
        return Line(below, None), super().lines(below, above, boxes)[1]


class _PrintedSign(ReLU):
    def lines(self, below: Slopes, above: Slopes, boxes: tuple[Bounds, ...]) -> tuple[Line, Line]:
        low, high = super().lines(below, above, boxes)
        assert high.intercept is not None
        return low, Line(high.slopes, -high.intercept)


@dataclass(frozen=True, eq=False)
class _LowerKinkAlone(Clamp):
    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.low,)


def leaky(world: World) -> LeakyReLU:
    """Any slope."""
    return LeakyReLU(world.parameter("k"))


def prelu(world: World) -> PReLU:
    """Any slope."""
    return PReLU(reals(world, "k", 1))


def leaks(k: float) -> Check:
    """The slope jumps at 0 from k to 1, and f increases where k is not negative."""
    return says(lambda: LeakyReLU(k), Curvature((0.0,), (0, 0), ((k < 1) - (k > 1),), increasing=k >= 0))


def slopes_are(make: Callable[[], PiecewiseLinear], told: tuple[float, ...]) -> Check:
    """The slopes of the pieces, from left to right."""

    def check(world: World) -> None:
        op = make()
        world.check(op._slopes == told, f"{op} has slopes {op._slopes}, and not {told}")

    return check


def clamp(make: type[Clamp]) -> Make:
    """Any two ends in order."""

    def made(world: World) -> Clamp:
        low, high = world.real("low"), world.real("high")
        world.assume(high - low, strict=True)
        return make(world.parameter("low"), world.parameter("high"))

    return made


# --- the maximum ------------------------------------------------------------------------------------------------------


def levels(a: Tensor, t: Tensor, box: Bounds) -> Tensor:
    """t - sum_{a>0} a_i min(u_i, t) - sum_{a<0} a_i l_i: the least f(x) - <a, x> at the x with max x = t."""
    reached = torch.minimum(box.upper, t.unsqueeze(-1))
    return t - (a.clamp(min=0) * reached).sum(-1) - (a.clamp(max=0) * box.lower).sum(-1)


def max_at_its_level(world: World) -> None:
    """f(x) - <a, x> is at least the level function at t = max x."""
    op, a = Max(-1), reals(world, "a", 1, 2)
    x, box = boxed(world, "x", 1, 2)
    t = op(x)
    world.split(*numbers(a))
    prove(world, t - op.linearised((a,))(x) - levels(a, t, box), "at its level")


def max_least_level(op: Max) -> Callable[[World], None]:
    """The level function is least at one of the t that inf takes."""

    def check(world: World) -> None:
        lower, upper, a = (reals(world, name, 1, 2) for name in ("l", "u", "a"))
        t, box = reals(world, "t", 1), Bounds(lower, upper)
        assume(world, upper - lower)
        world.split(*numbers(a), *numbers(upper - t.unsqueeze(-1)))
        world.split(*(p - q for p, q in (numbers(lower), numbers(upper))))
        floor = op(lower)
        assume(world, t - floor, op(upper) - t)
        world.split(*numbers(upper - floor.unsqueeze(-1)))
        prove(world, levels(a, t, box) - op.inf((a,), (box,)), "inf")

    return check


def max_sup(op: Max) -> Callable[[World], None]:
    """sup bounds f(x) - <a, x>."""

    def check(world: World) -> None:
        a = reals(world, "a", 1, 2)
        x, box = boxed(world, "x", 1, 2)
        world.split(*numbers(a), *numbers(1 - a), numbers(x)[0] - numbers(x)[1])
        prove(world, op.sup((a,), (box,)) - op(x) + op.linearised((a,))(x), "sup")

    return check


class _CornersAlone(Max):
    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        (box,) = boxes
        at_the_top = Bounds(box.upper, box.upper)
        return torch.minimum(super().inf(slopes, (at_the_top,)), self(box.lower) - (slopes[0] * box.lower).sum(-1))


class _FirstTermAlone(Max):
    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        (a,), (box,) = slopes, boxes
        return torch.maximum((1 - a) * box.lower, (1 - a) * box.upper).amax(-1)


# --- the product ------------------------------------------------------------------------------------------------------


def product(op: Product) -> Callable[[World], None]:
    """x y - a x - b y is extreme at corners."""

    def check(world: World) -> None:
        x, p = boxed(world, "x", 1, 1)
        y, q = boxed(world, "y", 1, 1)
        slopes = (real(world, "a"), real(world, "b"))
        world.split(*numbers(x - slopes[1]), *numbers(q.lower - slopes[0]), *numbers(q.upper - slopes[0]))
        encloses(world, op, (x, y), (p, q), slopes)

    return check


class _EqualCorners(Product):
    def _corners(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> list[Tensor]:
        corners = super()._corners(slopes, boxes)
        return [corners[0], corners[-1]]


BAND = (Elementwise.inf, Elementwise.sup, Elementwise._gaps, Nonlinear.linearised, Diagonal.linear,
        PiecewiseLinear.critical)  # fmt: skip
WALLS = (
    says(lambda: Clamp(-1.0, 2.0), Curvature((-1.0, 2.0), (0, 0, 0), (1, -1), increasing=True)),
    says(lambda: Clamp(low=-1.0), Curvature((-1.0,), (0, 0), (1,), increasing=True)),
    says(lambda: Clamp(high=2.0), Curvature((2.0,), (0, 0), (-1,), increasing=True)),
    says(Clamp, Curvature(bends=(0,), increasing=True)),
    says(Abs, Curvature((0.0,), (0, 0), (1,))),  # which falls before its kink, as no clamp does
    slopes_are(lambda: Clamp(-1.0, 2.0), (0.0, 1.0, 0.0)), slopes_are(lambda: Clamp(low=-1.0), (0.0, 1.0)),
    slopes_are(lambda: Clamp(high=2.0), (1.0, 0.0)),
)  # fmt: skip
AT_ZERO: dict[str, str | int] = {"x": 0, "lx": -1, "ux": 1, "s": "1/2"}

LEMMAS = (
    Lemma(
        "relu",
        "inf <= relu(x) - s x <= sup for all l <= x <= u and all s; relu's two lines enclose it for all asked slopes; "
        "its pieces cover it; a settled entry's chord is exact",
        (ReLU.__call__, ReLU.lines, ReLU.chord, *BAND, Nonlinear.settled, ReLU.slope_range,
         PiecewiseLinear.pieces, PiecewiseLinear._corners),
        (band(lambda _: ReLU()), relu_lines(ReLU()), settled(lambda _: ReLU()), pieces(lambda _: ReLU()), *RELU),
        (
            Twin("no critical point at the kink", band(lambda _: _NoKink()), AT_ZERO),
            Twin("the lower slope is trusted, not moved into [0, 1]", relu_lines(_TrustedSlope()),
                 {"x": 1, "lx": -1, "ux": 1, "a": 2, "s": "1/2"}),
            Twin("the upper intercept without its minus sign (as CROWN-IBP prints it)", relu_lines(_PrintedSign()),
                 {"x": 1, "lx": -1, "ux": 1, "a": 0, "s": "1/2"}),
        ),
        SYMBOLS,
        "real arithmetic; 1e-8 in the chord may be any positive number",
        leaves="gradients; `tight_slopes`, a hint; rounding",
    ),
    Lemma(
        "leaky_relu",
        "inf <= f(x) - s x <= sup for f(x) = max(x, 0) + k min(x, 0), all boxes, slopes s and parameters k",
        (LeakyReLU.__call__, LeakyReLU._slopes, PiecewiseLinear.curvature, *BAND),
        (band(leaky), *map(leaks, (0.1, 1.0, 2.0, -2.0, 0.0)), *LEAKY),
        (Twin("no critical point at the kink", band(lambda _: _NoKink()), AT_ZERO),),
        SYMBOLS,
        leaves="`tight_slopes`, a hint; rounding",
    ),
    Lemma(
        "prelu",
        "inf <= f(x) - s x <= sup for f(x) = max(x, 0) + a min(x, 0), all boxes, slopes s and slopes a, one a channel; "
        "its derivative is 1 or a, by the side of 0",
        (PReLU.__call__, PReLU.slope_range, *BAND),
        (band(prelu), *PRELU),
        (Twin("no critical point at the kink", band(lambda _: _NoKink()), AT_ZERO),),
        SYMBOLS,
        leaves="`tight_slopes`, a hint; rounding",
    ),
    Lemma(
        "abs",
        "inf <= |x| - s x <= sup for all boxes and slopes",
        (Abs.__call__, *BAND, Elementwise._known, Nonlinear.image),
        (band(lambda _: Abs()), *ABS),
        (Twin("no critical point at the fold", band(lambda _: _NoFold()), AT_ZERO | {"s": 0}),),
        SYMBOLS,
        leaves="`tight_slopes`, a hint; rounding",
    ),
    Lemma(
        "clamp",
        "inf <= min(max(x, low), high) - s x <= sup for all boxes, slopes and low < high",
        (Clamp.__call__, Clamp.kinks, Clamp._slopes, PiecewiseLinear.curvature, *BAND),
        (band(clamp(Clamp)), *WALLS, *CLAMP),
        (Twin("the upper end is no critical point", band(clamp(_LowerKinkAlone)),
              {"x": 1, "lx": 0, "ux": 2, "low": 0, "high": 1, "s": "1/2"}),),
        SYMBOLS,
        "real arithmetic; both ends finite (an infinite one has no kink and no case)",
        leaves="ends at infinity in the symbolic part (cases only); `tight_slopes`, a hint; rounding",
    ),
    Lemma(
        "max",
        "inf <= max(x) - <a, x> <= sup over every box and for all a: f(x) - <a, x> is at least a level function of "
        "t = max x, which is least at one of the t in {max l, max(u_i, max l)}",
        (Max.__call__, Max.linearised, WeightedSum.linear, Max.inf, Max.sup, Max.image),
        (max_at_its_level, max_least_level(Max(-1)), max_sup(Max(-1)), *MAX),
        (
            Twin("inf over the two ends alone", max_least_level(_CornersAlone(-1)),
                 {"l00": 0, "l01": 0, "u00": 2, "u01": 1, "a00": 0, "a01": 2, "t": 1}),
            Twin("sup forgets the entries that do not lead", max_sup(_FirstTermAlone(-1)),
                 {"x00": 0, "x01": -1, "lx00": 0, "lx01": -1, "ux00": 0, "ux01": 0, "a00": 0, "a01": 1}),
        ),
        SYMBOLS,
        "real arithmetic; windows of two entries (a larger one repeats the same terms, entry by entry)",
        leaves="windows of three entries and more (they repeat the terms); `chord`, `tight_slopes` and `facets`, "
               "hints; padding of pooling windows",
    ),
    Lemma(
        "product",
        "inf <= x y - a x - b y <= sup over every pair of boxes and for all a, b",
        (Product.__call__, entrywise, Joint.linear, linearised._total, Product.inf, Product.sup, Product._corners),
        (product(Product()), *PRODUCT),
        (Twin("the corners of equal ends alone", product(_EqualCorners()),
              {"x": 1, "lx": -1, "ux": 1, "y": -1, "ly": -1, "uy": 1, "a": 0, "b": 0}),),
        SYMBOLS,
        leaves="`chord`, `tight_slopes` and `facets`, hints; rounding, which `forward_error` charges",
    ),
)  # fmt: skip
