"""What an op's kind promises, at all sizes, in both dtypes and for batches of 1 to 7; leaving the domain, too."""

from __future__ import annotations

from random import Random
from typing import TypeVar

import torch
from torch import Tensor

from absdomain.kinds import Elementwise, Line, Nonlinear, Shape, Slopes
from absdomain.laws import places
from absdomain.laws.boxes import Range
from absdomain.laws.broken import ROUNDING, LawBroken, holds
from absdomain.laws.digits import in_digits
from absdomain.laws.drawing import generator, normal
from absdomain.linear import Bounds
from absdomain.values import mapped

V = TypeVar("V")

# Of the largest number that is added up, entry by entry. Some dozens of roundings, as in ROUNDING: 6e-8 each.
UNITS = {torch.float64: ROUNDING, torch.float32: 2e-5}
BATCHES = range(1, 8)


def of_dtype(value: V, dtype: torch.dtype) -> V:
    """The value with its tensors, read live or plain, in this dtype."""
    return mapped(value, lambda t: t.detach().to(dtype) if t.is_floating_point() else t)


def check_everywhere(op: Nonlinear, *shapes: Shape, rng: Random, within: Range) -> None:
    """Values, bands and lines of a nonlinear op at boxes of all sizes and around all that it bends at.

    Values of float32 are those of float64, of a sample those of the sample alone; nothing that is given is changed.
    Bands and lines hold f, and are infinite where f is not defined over the box, as at a pole.
    """
    marks = torch.cat([places.found(op, shapes[0]), torch.tensor(places.declared(op), dtype=torch.float64)])
    some = marks[torch.randperm(len(marks), generator=generator(rng))[:24]]
    for dtype in UNITS:
        twin = of_dtype(op, dtype)
        for batch in BATCHES:
            wide = places.drawn(op, rng, batch, shapes, within)
            boxes = tuple(Bounds(b.lower.to(dtype), b.upper.to(dtype)) for b in wide)
            laws = _Laws(op, twin, boxes, some, rng)
            laws.value()
            laws.forward_error()
            laws.slope_range()
            laws.settled()
            below, above = twin.tight_slopes(boxes)
            for slopes in (laws.zero(), *rng.sample((twin.chord(boxes), below, above, laws.wild()), 2)):
                laws.band(slopes)
            laws.lines(*rng.choice(((below, above), (laws.wild(), laws.zero()))))


class _Laws:
    def __init__(self, op: Nonlinear, twin: Nonlinear, boxes: tuple[Bounds, ...], marks: Tensor, rng: Random) -> None:
        self.op, self.twin, self.boxes, self.rng = op, twin, boxes, rng
        self.dtype = boxes[0].lower.dtype
        self.unit, self.most = UNITS[self.dtype], torch.finfo(self.dtype).max
        self.xs = self._with_critical(places.points(boxes, marks, rng))
        wide = [x.double() for x in self.xs]
        self.exact = self._at(op, wide)
        self.size = self.exact.abs().nan_to_num(nan=0.0, posinf=0.0).amax(0) + self._steep(wide)
        self.far = tuple(torch.maximum(b.lower.abs(), b.upper.abs()).double() for b in boxes)
        self.stated = torch.finfo(self.dtype).eps / 2 * twin.forward_error(boxes).double()
        self.loss = torch.where(self.stated.isfinite(), self.stated, self._at_points())
        self.endless = self.exact.isinf().any(0)  # by overflow, or at a pole

    def _with_critical(self, xs: list[Tensor]) -> list[Tensor]:
        """And the points where an elementwise op says that f is extreme."""
        if not isinstance(self.twin, Elementwise):
            return xs
        (box,), (x,), twin = self.boxes, xs, self.twin
        critical = [p for s in (self.zero(), twin.chord(self.boxes)) for p in twin.critical(s[0], box)]
        inside = [torch.clamp(p.nan_to_num(nan=0.0), box.lower, box.upper).unsqueeze(0) for p in critical]
        return [torch.cat([x, *inside])]

    def _at(self, op: Nonlinear, xs: list[Tensor]) -> Tensor:
        return op(*(x.flatten(0, 1) for x in xs)).unflatten(0, xs[0].shape[:2])

    def _steep(self, xs: list[Tensor]) -> Tensor:
        """max |f'(x) x|, by which f moves where a formula of it rounds its argument, (B, *output shape)."""
        if not isinstance(self.op, Elementwise):
            return torch.zeros(())
        step = 1e-6
        ends = [self._at(self.op, [x * (1 + way * step) for x in xs]) for way in (-1, 1)]
        return ((ends[1] - ends[0]).abs() / (2 * step)).nan_to_num(nan=0.0, posinf=0.0).amax(0)

    def _at_points(self) -> Tensor:
        """The largest forward error over the points alone, for a box over which none is known; 0 where none is."""
        if bool(self.stated.isfinite().all()):
            return torch.zeros_like(self.stated)
        many = tuple(Bounds(x.flatten(0, 1), x.flatten(0, 1)) for x in self.xs)
        error = self.twin.forward_error(many).double().unflatten(0, self.xs[0].shape[:2])
        return torch.finfo(self.dtype).eps / 2 * error.nan_to_num(nan=0.0, posinf=0.0).amax(0)

    def zero(self) -> Slopes:
        """Level slopes."""
        return tuple(torch.zeros_like(b.lower) for b in self.boxes)

    def wild(self) -> Slopes:
        """Slopes that no policy gives, of the size at which they matter: that of f over that of x."""
        found = []
        for far, b in zip(self.far, self.boxes, strict=True):
            steep = float((self.size.amax() / far.clamp(min=1e-6).amax()).clamp(1e-6, 1e6))
            found.append((steep * normal(self.rng, *far.shape)).to(b.lower))
        return tuple(found)

    def room(self, *many: Slopes) -> Tensor:
        """The rounding allowed where f and <s, x> are added up, (B, *output shape)."""
        sizes = [self.op.linearised(tuple(s.abs().double() for s in slopes))(*self.far) for slopes in many]
        told = 4 * self.loss  # f is computed for a bound and for a value
        return (self.unit * (1 + sum(sizes, start=self.size)) + told).nan_to_num(nan=torch.inf, posinf=torch.inf)

    def inner(self, slopes: Slopes) -> Tensor:
        """<s, x> at the points."""
        wide = [(s.double().expand(x.shape).flatten(0, 1), x.double()) for s, x in zip(slopes, self.xs, strict=True)]
        many, xs = tuple(s for s, _ in wide), [x.flatten(0, 1) for _, x in wide]
        return self.op.linearised(many)(*xs).unflatten(0, self.xs[0].shape[:2])

    def value(self) -> None:
        """f in this dtype is f in float64; of a sample, of the sample alone; the arguments stay as they are."""
        given = [x.clone() for x in self.xs]
        y = self._at(self.twin, self.xs)
        kept = all(torch.equal(a, b) for a, b in zip(given, self.xs, strict=True))
        holds(kept, "f does not change its arguments", repr(self.op))
        self._typed(y, "f")
        fits = self.exact.abs() < self.most / 4
        self._near(y, self.exact, fits, "f is that of float64")
        again = self._at(self.twin, self.xs)
        self._near(again, y.double(), fits, "f has one value")
        for sample in range(y.shape[1]):
            own = self._at(self.twin, [x[:, sample : sample + 1] for x in self.xs])
            law = "f of a sample knows no neighbour"
            self._near(own, y[:, sample : sample + 1].double(), fits[:, sample : sample + 1], law, sample)

    def forward_error(self) -> None:
        """f as it is computed is within forward_error units of f: float32's of float64's, float64's of 200 digits."""
        found = self._at(self.twin, self.xs).double()
        some, exact = found, self.exact
        if self.dtype == torch.float64:
            picked = torch.randint(len(found), (4,), generator=generator(self.rng))
            given = in_digits(self.op, [x[picked, 0] for x in self.xs])
            if given is None:
                return
            some = found[picked, :1]
            exact = given.view(some.shape)
        fits = (exact.abs() < self.most / 4) & some.isfinite()
        lost = torch.finfo(self.dtype).tiny * (1 + self.size + sum(far.amax() for far in self.far))  # to underflow
        allowed = (self.stated.nan_to_num(nan=torch.inf) + lost)[: some.shape[1]]
        law = "what f is computed is within forward_error of f"
        self._told(fits & ~((some - exact).abs() <= allowed), some, exact, law)

    def slope_range(self) -> None:
        """f(x) - f(x') is between the least and the greatest slopes times x - x', for pairs of points of the box."""
        ranges = self.twin.slope_range(self.boxes)
        if ranges is None:
            return
        x, y = [x.double() for x in self.xs], self.exact
        order = torch.randperm(len(y), generator=generator(self.rng))
        room, law = self.room(self.twin.steepness(self.boxes)), "f moves no faster than slope_range says"
        image = self.twin.image(self.boxes)  # infinite where f is not defined all over the box
        for other in (order, torch.arange(len(y)).roll(1)):
            moved = y - y[other]
            least, most = self._moves(ranges, [one - one[other] for one in x])
            known = moved.isfinite() & room.isfinite() & image.lower.isfinite() & image.upper.isfinite()
            self._told(known & least.isfinite() & ~(least - room <= moved), moved, least, law)
            self._told(known & most.isfinite() & ~(moved <= most + room), moved, most, law)

    def _moves(self, ranges: tuple[Bounds, ...], steps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The least and the greatest <s, step> over the slopes of the ranges, (P, B, *output shape) each.

        <s, step> is linear in s, whichever entries of s and of the step an op multiplies.
        """
        up, down = [d.clamp(min=0) for d in steps], [d.clamp(max=0) for d in steps]
        low, high = ([getattr(r, end).double() for r in ranges] for end in ("lower", "upper"))
        ends = []
        for first, second, far in ((low, high, -torch.inf), (high, low, torch.inf)):
            value = self._stepped([_finite(s) for s in first], up) + self._stepped([_finite(s) for s in second], down)
            met = self._stepped([_endless(s) for s in first], up) - self._stepped([_endless(s) for s in second], down)
            ends.append(value.masked_fill(met > 0, far))
        return ends[0], ends[1]

    def _stepped(self, slopes: list[Tensor], steps: list[Tensor]) -> Tensor:
        """<s, step>, s the same for all points."""
        many = tuple(s.expand(d.shape).flatten(0, 1) for s, d in zip(slopes, steps, strict=True))
        return self.op.linearised(many)(*(d.flatten(0, 1) for d in steps)).unflatten(0, steps[0].shape[:2])

    def _near(self, y: Tensor, exact: Tensor, fits: Tensor, law: str, sample: int | None = None) -> None:
        room = self.room() if sample is None else self.room()[sample : sample + 1]
        wrong = fits & ~((y.double() - exact).abs() <= room)
        self._told(wrong, y.double(), exact, law)

    def _typed(self, t: Tensor, what: str) -> None:
        law = f"{what} has the dtype of its arguments"
        holds(t.dtype == self.dtype, law, f"{t.dtype} for {self.dtype}; {self.op}")

    def _told(self, wrong: Tensor, found: Tensor, limit: Tensor, law: str) -> None:
        if not bool(wrong.any()):
            return
        place = tuple(wrong.nonzero()[0].tolist())
        one, other = torch.broadcast_tensors(found, limit)
        box = [(b.lower[place[1]].flatten().tolist()[:4], b.upper[place[1]].flatten().tolist()[:4]) for b in self.boxes]
        batch = len(self.boxes[0].lower)
        text = f"{one[place].item()!r} against {other[place].item()!r} at {list(place)}, {self.dtype}, batch {batch}"
        raise LawBroken(law, f"{text}, over {box}; {self.op}")

    def _holds(self, low: Tensor, high: Tensor, values: Tensor, room: Tensor, what: str) -> None:
        """Bounds of `values`, (P, B, *output shape) each or without P: NaN is one where numbers may overflow."""
        self._typed(low, what)
        self._typed(high, what)
        low, high = (t.double().expand_as(values) for t in (low, high))
        unknown = values.isnan()  # not defined, or the difference of infinities
        tame = (self._tame(room) & ~self.endless).expand_as(values)
        below = (low != -torch.inf) & ~(low <= values + room) & (tame | ~low.isnan())
        above = (high != torch.inf) & ~(values - room <= high) & (tame | ~high.isnan())
        self._told(below & ~unknown, low, values, f"{what} is below f")
        self._told(above & ~unknown, values, high, f"{what} is above f")
        nowhere = self.exact.isnan()
        finite = low.isfinite() | high.isfinite()
        self._told(nowhere & finite, low, high, f"{what} is infinite where f is not defined")

    def _tame(self, room: Tensor) -> Tensor:
        """Where f and <s, x>, of which this is the rounding, do not overflow."""
        return room / self.unit < self.most / 16

    def band(self, slopes: Slopes) -> None:
        """[inf, sup] holds f - <s, x> at every point; at slope 0 so does `image`."""
        low, high, room = self.twin.inf(slopes, self.boxes), self.twin.sup(slopes, self.boxes), self.room(slopes)
        self._holds(low, high, self.exact - self.inner(slopes), room, "the band")
        if all(not bool(s.any()) for s in slopes):
            image = self.twin.image(self.boxes)
            self._holds(image.lower, image.upper, self.exact, room, "the image")

    def lines(self, below: Slopes, above: Slopes) -> None:
        """Two lines enclose f."""
        low, high = self.twin.lines(below, above, self.boxes)
        levels = [line.intercept.abs().double() for line in (low, high) if line.intercept is not None]
        room = self.room(low.slopes, high.slopes) + self.unit * sum(level.nan_to_num(posinf=0.0) for level in levels)
        self._holds(self._along(low), self._along(high), self.exact, room, "the line")

    def _along(self, line: Line) -> Tensor:
        at = self.inner(line.slopes)
        return (at if line.intercept is None else at + line.intercept.double()).to(self.dtype)

    def settled(self) -> None:
        """Where an elementwise op says that it is settled, f is on its chord, unless f or <s, x> overflows."""
        settled = self.twin.settled(self.boxes) if isinstance(self.op, Elementwise) else None
        if settled is None:
            return
        chord = self.twin.chord(self.boxes)
        band, room = self.twin.band(chord, self.boxes), self.room(chord)
        wrong = settled[0] & self._tame(room) & ~((band.upper - band.lower).double() <= room)
        zero = torch.zeros_like(band.upper).unsqueeze(0)
        self._told(
            wrong.unsqueeze(0), (band.upper - band.lower).unsqueeze(0), zero, "where an op is settled, f is affine"
        )


def _finite(t: Tensor) -> Tensor:
    return t.masked_fill(t.isinf(), 0.0)


def _endless(t: Tensor) -> Tensor:
    """1 where t is infinite."""
    return t.isinf().to(t)
