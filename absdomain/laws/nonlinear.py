"""{ inf <= f(x) - <s, x> <= sup for every slope s }: the band holds, is tight, and what is derived from it agrees."""

from __future__ import annotations

from functools import reduce
from random import Random

import torch
from torch import Tensor

from absdomain.bounds import Bounds
from absdomain.kinds import Elementwise, Line, Nonlinear, Shape, Slopes
from absdomain.laws.broken import at_most, equal, finite, holds, slack
from absdomain.laws.derivatives import directional
from absdomain.laws.drawing import generator, normal
from absdomain.rows import Rows

TIGHT = 0.02  # of the width of f(x) - <s, x> over the box: what a band that is called exact may miss
GUARDED = 1e-8  # what a guard of the chord's denominator may cost (it keeps the derivative finite)
_ROUNDS = 4  # of fresh boxes and slopes
_CORNERS = 600
_LEVELS = 500


def check_nonlinear(op: Nonlinear, *shapes: Shape, rng: Random, exact: bool = True) -> None:
    """Every law of a nonlinear op on arguments of these shapes; raises LawBroken.

    `exact` also asks that the band is attained, to within TIGHT of its width.
    """
    holds(
        tuple(op.shape(*shapes)) == tuple(op(*(torch.zeros(1, *s) for s in shapes)).shape[1:]),
        "shape is that of the value",
        repr(op),
    )
    for round_ in range(_ROUNDS):
        boxes = tuple(_box(rng, 3, shape, degenerate=round_ > 0) for shape in shapes)
        laws = _Laws(op, boxes, rng)
        laws.derived()
        laws.settled()
        laws.chord()
        for slopes in _slopes(op, boxes, rng):
            laws.band(slopes, exact=exact)
            laws.critical(slopes)
        below, above = rng.choice(_slopes(op, boxes, rng)), rng.choice(_slopes(op, boxes, rng))
        laws.lines(below, above)
        laws.lines(above, above)
    _gradients(op, shapes, rng)


def _box(rng: Random, batch: int, shape: Shape, *, degenerate: bool) -> Bounds:
    """Boxes of all sizes; degenerate ones have points, ends at 0, dead and barely unstable entries, and ties."""
    centre, size = normal(rng, batch, *shape), 10 ** (1.5 * normal(rng, batch, *shape)).clamp(-4, 1)
    lower, upper = centre - size, centre + size
    if degenerate:
        kind = torch.randint(11, lower.shape, generator=generator(rng))
        sides = (
            (lower, lower), (lower, lower.clamp(max=0) * 0), (lower * 0, upper.abs()), (-size, -1e-3 * size),
            (-1e-12 * size, size), (-size, 1e-12 * size), (lower.round(), lower.round() + 1), (lower * 0, lower * 0),
            (1e-9 * size, 3e-9 * size), (-1e-9 * size, 1e-9 * size),
        )  # fmt: skip
        for place, (low, high) in enumerate(sides):
            lower, upper = torch.where(kind == place, low, lower), torch.where(kind == place, high, upper)
    return Bounds(torch.minimum(lower, upper), torch.maximum(lower, upper))


def _slopes(op: Nonlinear, boxes: tuple[Bounds, ...], rng: Random) -> list[Slopes]:
    """Slopes that a policy would give, and slopes that no policy should: each is sound."""

    def each(value: float) -> Slopes:
        return tuple(torch.full_like(b.lower, value) for b in boxes)

    def near(value: float) -> Slopes:
        return tuple(value + 10 ** (-9 * torch.rand_like(b.lower)) * normal(rng, *b.lower.shape) for b in boxes)

    below, above = op.support(boxes)
    wild = tuple(3 * normal(rng, *b.lower.shape) for b in boxes)
    return [each(0.0), each(1.0), op.chord(boxes), below, above, wild, near(0.0), near(1.0), each(-2.0)]


def _points(boxes: tuple[Bounds, ...], slopes: Slopes, rng: Random) -> list[Tensor]:
    """Points of the boxes, (P, B, *shape) each: corners, all at one level, those by the slopes' signs, random."""
    drawn = []
    for box, slope in zip(boxes, slopes, strict=True):
        low, high = box.lower, box.upper
        corners = torch.where(normal(rng, _CORNERS, *low.shape) > 0, low, high)
        ends = torch.cat([low, high]).flatten().unique()
        picked = ends[torch.randperm(len(ends), generator=generator(rng))[:_LEVELS]]
        fixed = torch.cat([picked, torch.zeros(1, dtype=torch.float64)])
        levels = torch.clamp(fixed.view(-1, *[1] * low.dim()), low, high)
        signed = [torch.where(slope > 0, levels, low), torch.where(slope < 0, levels, high)]
        inside = torch.lerp(low, high, torch.rand(200, *low.shape, dtype=torch.float64, generator=generator(rng)))
        along = torch.lerp(low, high, torch.linspace(0, 1, 201, dtype=torch.float64).view(-1, *[1] * low.dim()))
        drawn.append(torch.cat([corners, levels, *signed, inside, along, low.unsqueeze(0), high.unsqueeze(0)]))
    most = min(len(x) for x in drawn)
    return [x[torch.randperm(len(x), generator=generator(rng))[:most]] if len(drawn) > 1 else x for x in drawn]


class _Laws:
    def __init__(self, op: Nonlinear, boxes: tuple[Bounds, ...], rng: Random) -> None:
        self.op, self.boxes, self.rng = op, boxes, rng
        self.shapes = tuple(b.shape for b in boxes)
        sizes = [torch.maximum(b.lower.abs(), b.upper.abs()) for b in boxes]
        self.size = sum((s.max() for s in sizes), start=op(*sizes).abs().max())

    def allowed(self, *slopes: Slopes) -> Tensor:
        """Rounding where f and <s, x> are added up."""
        steepest = max([float(s.abs().max()) for many in slopes for s in many], default=1.0)
        return slack(self.size * (1 + steepest))

    def value(self, xs: list[Tensor]) -> Tensor:
        """f at points (P, B, *shape), (P, B, *output shape)."""
        return self.op(*(x.flatten(0, 1) for x in xs)).unflatten(0, xs[0].shape[:2])

    def inner(self, slopes: Slopes, xs: list[Tensor]) -> Tensor:
        """<s, x> at points."""
        many = tuple(s.expand(x.shape).flatten(0, 1) for s, x in zip(slopes, xs, strict=True))
        return self.op.inner(many, *(x.flatten(0, 1) for x in xs)).unflatten(0, xs[0].shape[:2])

    def at(self, slopes: Slopes) -> str:
        ends = [(_text((b.lower,)), _text((b.upper,))) for b in self.boxes]
        return f"{self.op} with slopes {_text(slopes)} over {ends}"

    def band(self, slopes: Slopes, *, exact: bool) -> None:
        """The band holds at every point and, if exact, is attained; `image` is the band at slope 0."""
        op, boxes = self.op, self.boxes
        band, xs = op.band(slopes, boxes), _points(boxes, slopes, self.rng)
        gap, room, detail = self.value(xs) - self.inner(slopes, xs), self.allowed(slopes), self.at(slopes)
        equal(band.lower, op.inf(slopes, boxes), 0.0, "band is [inf, sup]", detail)
        equal(band.upper, op.sup(slopes, boxes), 0.0, "band is [inf, sup]", detail)
        at_most(band.lower, gap, room, "inf <= f - <s, x>", detail)
        at_most(gap, band.upper, room, "f - <s, x> <= sup", detail)
        if exact:
            low, high = gap.amin(0), gap.amax(0)
            room = room + TIGHT * (high - low)
            at_most(low, band.lower, room, "inf is attained", detail)
            at_most(band.upper, high, room, "sup is attained", detail)

    def critical(self, slopes: Slopes) -> None:
        """An elementwise op's band, whatever its closed form, is that of its ends and critical points."""
        if not isinstance(self.op, Elementwise):
            return
        (slope,), (box,), op = slopes, self.boxes, self.op
        points = [torch.clamp(p, box.lower, box.upper) for p in op.critical(slope, box)]
        gaps = [op(p) - slope * p for p in (box.lower, box.upper, *points)]
        band, room, detail = op.band(slopes, self.boxes), self.allowed(slopes), self.at(slopes)
        equal(band.lower, reduce(torch.minimum, gaps), room, "inf is that of the critical points", detail)
        equal(band.upper, reduce(torch.maximum, gaps), room, "sup is that of the critical points", detail)

    def chord(self) -> None:
        """An elementwise op's chord goes through the ends of f: untrusted, but every policy counts on it."""
        if not isinstance(self.op, Elementwise):
            return
        (slope,), (box,), op = self.op.chord(self.boxes), self.boxes, self.op
        rise, room = op(box.upper) - op(box.lower), self.allowed((slope,)) + GUARDED
        equal(slope * box.width, rise, room, "the chord goes through the ends of f", self.at((slope,)))

    def derived(self) -> None:
        """`image` is the band at slope 0, `inner` is linear in x, and `outer` is its adjoint; f knows no neighbours."""
        op, boxes, rng = self.op, self.boxes, self.rng
        zero = tuple(torch.zeros_like(b.lower) for b in boxes)
        image, band, room = op.image(boxes), op.band(zero, boxes), self.allowed()
        equal(image.lower, band.lower, room, "image is the band at slope 0", self.at(zero))
        equal(image.upper, band.upper, room, "image is the band at slope 0", self.at(zero))
        slopes = tuple(normal(rng, *b.lower.shape) for b in boxes)
        xs = [normal(rng, *b.lower.shape) for b in boxes]
        ys = [normal(rng, *b.lower.shape) for b in boxes]
        joint = op.inner(slopes, *(x + 0.5 * y for x, y in zip(xs, ys, strict=True)))
        equal(joint, op.inner(slopes, *xs) + 0.5 * op.inner(slopes, *ys), 1e-9, "inner is linear in x", repr(op))
        c = normal(rng, 2, *joint.shape)
        back = op.outer(slopes, c)
        through = sum(((b * x).flatten(2).sum(-1) for b, x in zip(back, xs, strict=True)), start=torch.zeros(()))
        direct = (c * op.inner(slopes, *xs)).flatten(2).sum(-1)
        equal(through, direct, 1e-9, "outer is the adjoint of inner", repr(op))
        one = op(*(x[:1] for x in xs))
        equal(op(*xs)[:1], one, 1e-12 * (1 + one.abs().max()), "f of a sample knows no neighbour", repr(op))
        alone = op.band(tuple(s[:1] for s in slopes), tuple(Bounds(b.lower[:1], b.upper[:1]) for b in boxes))
        together = op.band(slopes, boxes)
        equal(together.lower[:1], alone.lower, room, "the band of a sample knows no neighbour", repr(op))
        equal(together.upper[:1], alone.upper, room, "the band of a sample knows no neighbour", repr(op))

    def settled(self) -> None:
        """Where an op says that it is settled, the chord's two lines meet."""
        settled = self.op.settled(self.boxes)
        if settled is None:
            return
        chord = self.op.chord(self.boxes)
        for at, box, slope in zip(settled, self.boxes, chord, strict=True):
            stated = at.dtype == torch.bool and at.shape == box.lower.shape
            holds(stated, "settled is boolean, one per entry", repr(self.op))
            finite(slope, "the chord is finite", self.at(chord))
        # the law speaks of outputs that read settled entries only
        band = self.op.band(chord, self.boxes)
        loose = (~torch.cat([at.flatten(1) for at in settled], 1)).to(torch.float64)
        touched = self.op.inner(tuple(torch.ones_like(b.lower) for b in self.boxes), *self._split(loose)) > 0
        width = torch.where(touched, 0.0, band.upper - band.lower)
        law = "where an op is settled, the chord's band has width 0"
        equal(width, torch.zeros_like(width), self.allowed(chord), law, self.at(chord))

    def _split(self, flat: Tensor) -> list[Tensor]:
        sizes = [b.lower[0].numel() for b in self.boxes]
        return [part.reshape(b.lower.shape) for part, b in zip(flat.split(sizes, 1), self.boxes, strict=True)]

    def lines(self, below: Slopes, above: Slopes) -> None:
        """Two lines that enclose f, neither looser than the one that was asked; `split` adds them up by sign."""
        op, boxes, rng = self.op, self.boxes, self.rng
        low, high = op.lines(below, above, boxes)
        xs, room = _points(boxes, below, rng), self.allowed(below, above, low.slopes, high.slopes)
        value, detail = self.value(xs), f"{self.at(below)} and {_text(above)}"
        under, over = self.along(low, xs), self.along(high, xs)
        at_most(under, value, room, "the lower line is below f", detail)
        at_most(value, over, room, "the upper line is above f", detail)
        at_most(self.inner(below, xs) + op.inf(below, boxes), under, room, "the lower line is tight as asked", detail)
        at_most(over, self.inner(above, xs) + op.sup(above, boxes), room, "the upper line is tight as asked", detail)
        for samples in (1, value.shape[1]):
            c = normal(rng, 4, samples, *value.shape[2:])
            rows, constant = op.split(Rows.of(c), low, high)
            got = sum((r.dot(x[0]) for r, x in zip(rows, xs, strict=True)), start=torch.zeros(())) + constant
            exact = (c.clamp(min=0) * under[0] + c.clamp(max=0) * over[0]).flatten(2).sum(-1)
            equal(got, exact, 10 * room * (1 + c.abs().max()), "split is c+ below + c- above", detail)
        self.split_gradients(low, high)

    def split_gradients(self, low: Line, high: Line) -> None:
        """`split` has the gradients of its value: to the rows, the slopes and the intercepts."""
        op, count = self.op, len(self.boxes)
        given = [t.detach() for line in (low, high) for t in (*line.slopes, line.intercept) if t is not None]
        c = normal(self.rng, 2, len(given[0]), *op.shape(*self.shapes))

        def split(c: Tensor, *given: Tensor) -> Tensor:
            below = Line(given[:count], None if low.intercept is None else given[count])
            rest = given[count + (low.intercept is not None) :]
            rows, constant = op.split(Rows.of(c), below, Line(rest[:count], rest[count]))
            return torch.cat([*(r.data.flatten() for r in rows), constant.flatten()])

        if high.intercept is not None:
            ways = [normal(self.rng, *t.shape) for t in (c, *given)]
            directional(split, [c, *given], ways, self.rng, f"the split of {op}")

    def along(self, line: Line, xs: list[Tensor]) -> Tensor:
        """The line at points."""
        at = self.inner(line.slopes, xs)
        return at if line.intercept is None else at + line.intercept


def _gradients(op: Nonlinear, shapes: tuple[Shape, ...], rng: Random) -> None:
    """f and its band have the gradients of their values; at degenerate boxes they are finite."""
    xs = [normal(rng, 2, *shape) for shape in shapes]
    directional(op, xs, [normal(rng, *x.shape) for x in xs], rng, repr(op))
    many = [(b.lower, b.upper) for b in (_box(rng, 2, shape, degenerate=False) for shape in shapes)]
    wild = tuple(normal(rng, 2, *shape) for shape in shapes)

    def band(*ends: Tensor) -> Tensor:
        found = op.band(wild, tuple(Bounds(*ends[i : i + 2]) for i in range(0, len(ends), 2)))
        return torch.stack([found.lower, found.upper])

    flat = [end for ends in many for end in ends]
    directional(band, flat, [1e-3 * normal(rng, *end.shape) for end in flat], rng, f"the band of {op}")
    directional(lambda *ps: band(*(p for p in ps for _ in (0, 1))), xs, xs, rng, f"the band of {op} over points")
    boxes = tuple(_box(rng, 3, shape, degenerate=True) for shape in shapes)
    ends = [t.requires_grad_() for b in boxes for t in (b.lower, b.upper)]
    for below, above in (op.support(boxes), (op.chord(boxes), op.chord(boxes))):
        low, high = op.lines(below, above, boxes)
        parts = [t for line in (low, high) for t in (*line.slopes, line.intercept) if t is not None and t.requires_grad]
        total = sum((p.sum() for p in parts), start=torch.zeros((), dtype=torch.float64, requires_grad=True))
        for gradient in torch.autograd.grad(total, ends, allow_unused=True, materialize_grads=True):
            finite(gradient, "gradients of the lines are finite at degenerate boxes", repr(op))


def _text(tensors: tuple[Tensor, ...]) -> str:
    return str([t.detach().tolist() for t in tensors]) if sum(t.numel() for t in tensors) <= 12 else "..."
