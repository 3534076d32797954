"""{ inf <= f(x) - <s, x> <= sup for every slope s }: the band holds, is tight, and what is derived from it agrees."""

from __future__ import annotations

from functools import reduce
from random import Random

import torch
from torch import Tensor

from absdomain.kinds import Elementwise, Line, Linearised, Nonlinear, Shape, Slopes
from absdomain.laws import boxes as trial
from absdomain.laws.boxes import EVERYWHERE, Range
from absdomain.laws.broken import at_most, equal, finite, holds, slack
from absdomain.laws.derivatives import directional, gradchecked
from absdomain.laws.drawing import normal
from absdomain.laws.pieces import check_pieces
from absdomain.laws.rows import bundles, check_rows, seen
from absdomain.linear import Bounds, Rows

TIGHT = 0.02  # of the width of f(x) - <s, x> over the box: what a band that is called exact may miss
GUARDED = 1e-8  # what a guard of the chord's denominator may cost (it keeps the derivative finite)
_BENT = 1e-4  # an entry of c that a step of a difference quotient may move across 0
_ROUNDS = 4  # of fresh boxes and slopes


def check_nonlinear(op: Nonlinear, *shapes: Shape, rng: Random, exact: bool = True, within: Range = EVERYWHERE) -> None:
    """Every law of a nonlinear op on arguments of these shapes; raises LawBroken.

    `exact` also asks that the band is attained, to within TIGHT of its width. `within`: where f is defined.
    """
    holds(
        tuple(op.shape(*shapes)) == tuple(op(*(torch.zeros(1, *s) for s in shapes)).shape[1:]),
        "shape is that of the value",
        repr(op),
    )
    for round_ in range(_ROUNDS):
        boxes = tuple(trial.drawn(rng, 3, shape, degenerate=round_ > 0, within=within) for shape in shapes)
        laws = _Laws(op, boxes, rng)
        laws.derived()
        laws.settled()
        laws.chord()
        laws.pieces()
        for slopes in trial.slopes(op, boxes, rng):
            laws.band(slopes, exact=exact)
            laws.critical(slopes)
        below, above = rng.choice(trial.slopes(op, boxes, rng)), rng.choice(trial.slopes(op, boxes, rng))
        laws.lines(below, above)
        laws.lines(above, above)
    laws.linearised()
    laws.adjoint()
    _gradients(op, shapes, rng, within)


class _Laws:
    def __init__(self, op: Nonlinear, boxes: tuple[Bounds, ...], rng: Random) -> None:
        self.op, self.boxes, self.rng = op, boxes, rng
        self.shapes = tuple(b.shape for b in boxes)
        ends = [(b.lower, b.upper, b.centre) for b in boxes]
        largest = torch.stack([op(*xs).abs().max() for xs in zip(*ends, strict=True)]).max()
        self.size = sum((torch.stack(xs).abs().max() for xs in ends), start=largest)

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
        return self.op.linearised(many)(*(x.flatten(0, 1) for x in xs)).unflatten(0, xs[0].shape[:2])

    def at(self, slopes: Slopes) -> str:
        ends = [(_text((b.lower,)), _text((b.upper,))) for b in self.boxes]
        return f"{self.op} with slopes {_text(slopes)} over {ends}"

    def band(self, slopes: Slopes, *, exact: bool) -> None:
        """The band holds at every point and, if exact, is attained; `image` is the band at slope 0."""
        op, boxes = self.op, self.boxes
        band, xs = op.band(slopes, boxes), self.with_critical(slopes, trial.points(boxes, slopes, self.rng))
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

    def steady(self) -> Tensor:
        """Where an elementwise op's slopes are known and bounded over its box: it does not jump, as far as it knows."""
        ranges = self.op.slope_range(self.boxes)
        return torch.ones(()) > 0 if ranges is None else ranges[0].lower.isfinite() & ranges[0].upper.isfinite()

    def with_critical(self, slopes: Slopes, xs: list[Tensor]) -> list[Tensor]:
        """And the points where an elementwise op says that f(x) - s x is extreme: beside a jump no grid would be."""
        if not isinstance(self.op, Elementwise):
            return xs
        (slope,), (box,), (x,) = slopes, self.boxes, xs
        return [torch.cat([x, *(torch.clamp(p, box.lower, box.upper)[None] for p in self.op.critical(slope, box))])]

    def critical(self, slopes: Slopes) -> None:
        """An elementwise op's band, whatever its closed form, is that of its ends and critical points."""
        if not isinstance(self.op, Elementwise):
            return
        (slope,), (box,), op = slopes, self.boxes, self.op
        points = [torch.clamp(p, box.lower, box.upper) for p in op.critical(slope, box)]
        gaps = [op(p) - slope * p for p in (box.lower, box.upper, *points)]
        band, room, detail = op.band(slopes, self.boxes), self.allowed(slopes), self.at(slopes)
        low, high = (torch.where(self.steady(), gap, end) for gap, end in (
            (reduce(torch.minimum, gaps), band.lower), (reduce(torch.maximum, gaps), band.upper)))  # fmt: skip
        equal(band.lower, low, room, "inf is that of the critical points", detail)
        equal(band.upper, high, room, "sup is that of the critical points", detail)

    def chord(self) -> None:
        """An elementwise op's chord goes through the ends of f: untrusted, but every policy counts on it."""
        if not isinstance(self.op, Elementwise):
            return
        (slope,), (box,), op = self.op.chord(self.boxes), self.boxes, self.op
        rise, room = op(box.upper) - op(box.lower), self.allowed((slope,)) + GUARDED
        rise = torch.where(self.steady(), rise, slope * box.width)
        equal(slope * box.width, rise, room, "the chord goes through the ends of f", self.at((slope,)))

    def derived(self) -> None:
        """`image` is the band at slope 0, and f knows no neighbours."""
        op, boxes, rng = self.op, self.boxes, self.rng
        zero = tuple(torch.zeros_like(b.lower) for b in boxes)
        image, band, room = op.image(boxes), op.band(zero, boxes), self.allowed()
        equal(image.lower, band.lower, room, "image is the band at slope 0", self.at(zero))
        equal(image.upper, band.upper, room, "image is the band at slope 0", self.at(zero))
        slopes = tuple(normal(rng, *b.lower.shape) for b in boxes)
        xs = [trial.inside(box, rng) for box in boxes]
        one = op(*(x[:1] for x in xs))
        equal(op(*xs)[:1], one, 1e-12 * (1 + one.abs().max()), "f of a sample knows no neighbour", repr(op))
        alone = op.band(tuple(s[:1] for s in slopes), tuple(Bounds(b.lower[:1], b.upper[:1]) for b in boxes))
        together = op.band(slopes, boxes)
        equal(together.lower[:1], alone.lower, room, "the band of a sample knows no neighbour", repr(op))
        equal(together.upper[:1], alone.upper, room, "the band of a sample knows no neighbour", repr(op))

    def linearised(self) -> None:
        """x -> <s, x> is linear in x and in s, |s| gives its modulus, and `transpose` its adjoint, row by row, too."""
        op, rng, detail = self.op, self.rng, repr(self.op)
        slopes, xs, ys = (tuple(normal(rng, *b.lower.shape) for b in self.boxes) for _ in range(3))
        line = op.linearised(slopes)
        value = line(*xs)
        shaped = tuple(value.shape[1:]) == op.shape(*self.shapes) == line.shape(*self.shapes)
        holds(shaped, "<s, x> has the shape of f(x)", detail)
        equal(line(*_moved(xs, ys)), value + 0.5 * line(*ys), 1e-9, "linearised(s) is linear in x", detail)
        both = value + 0.5 * op.linearised(ys)(*xs)
        equal(op.linearised(_moved(slopes, ys))(*xs), both, 1e-9, "linearised(s) is linear in s", detail)
        sizes = [x.abs() for x in xs]
        largest = op.linearised(tuple(s.abs() for s in slopes))(*sizes)
        equal(line.modulus(*sizes), largest, 1e-9, "the modulus of linearised(s) is that of |s|", detail)
        self.transposed(line, xs, value)
        many = tuple(normal(rng, 2, *s.shape) for s in slopes)  # each of two rows has slopes of its own
        flat = op.linearised(tuple(s.flatten(0, 1) for s in many))(*(torch.cat([x, x]) for x in xs))
        wide = tuple(x.expand(2, *x.shape) for x in xs)
        self.transposed(op.linearised(many), wide, flat.unflatten(0, (2, -1)))

    def transposed(self, line: Linearised, xs: Slopes, value: Tensor) -> None:
        """<A^T c, x> = <c, A x>, for each entry of the axes before those of the activation."""
        axes, c = value.dim() - len(self.op.shape(*self.shapes)), normal(self.rng, *value.shape)
        back = line.transpose(line.weight, c, *self.shapes)
        through = sum(((b * x).flatten(axes).sum(-1) for b, x in zip(back, xs, strict=True)), start=torch.zeros(()))
        equal(through, (c * value).flatten(axes).sum(-1), 1e-9, "transpose is the adjoint of linearised", repr(self.op))

    def adjoint(self) -> None:
        """<c, linearised(s)(x)> as rows over the arguments, however the rows are kept."""
        op, rng, batch = self.op, self.rng, len(self.boxes[0].lower)
        slopes = tuple(normal(rng, *b.lower.shape) for b in self.boxes)
        for c in bundles(rng, batch, op.shape(*self.shapes)):
            got, whole = op.linearised(slopes).adjoint(c, *self.shapes), c.dense()
            line = op.linearised(tuple(seen(whole, s).unsqueeze(0) for s in slopes))
            exact = line.transpose(line.weight, whole.data, *self.shapes)
            holds(len(got) == len(self.boxes), "adjoint gives one bundle per argument", repr(op))
            for mine, part in zip(got, exact, strict=True):
                law = "the rows of linearised are those of its transpose"
                equal(mine.dense().data, part, slack(10 * part.abs().max()), law, repr(op))
                check_rows(mine, rng=rng, batch=batch)

    def pieces(self) -> None:
        """The polyhedral form that LP and exact domains build on."""
        op, boxes = self.op, self.boxes
        xs = [x[::3] for x in trial.points(boxes, op.chord(boxes), self.rng)]
        check_pieces(op, boxes, xs, self.allowed(*op.facets(boxes)))

    def settled(self) -> None:
        """Where an op says that it is settled, the chord's two lines are as near as over a point."""
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
        read = self.op.linearised(tuple(torch.ones_like(b.lower) for b in self.boxes))
        touched = read(*self._split(loose)) > 0
        single = self.op.band(chord, tuple(Bounds(b.lower, b.lower) for b in self.boxes))
        width, least = (torch.where(touched, 0.0, b.upper - b.lower) for b in (band, single))
        law = "where an op is settled, the chord's band is as narrow as over a point"
        equal(width, least, self.allowed(chord), law, self.at(chord))

    def _split(self, flat: Tensor) -> list[Tensor]:
        sizes = [b.lower[0].numel() for b in self.boxes]
        return [part.reshape(b.lower.shape) for part, b in zip(flat.split(sizes, 1), self.boxes, strict=True)]

    def lines(self, below: Slopes, above: Slopes) -> None:
        """Two lines that enclose f, neither looser than the one that was asked; `split` adds them up by sign."""
        op, boxes, rng = self.op, self.boxes, self.rng
        low, high = op.lines(below, above, boxes)
        xs, room = trial.points(boxes, below, rng), self.allowed(below, above, low.slopes, high.slopes)
        value, detail = self.value(xs), f"{self.at(below)} and {_text(above)}"
        under, over = self.along(low, xs), self.along(high, xs)
        at_most(under, value, room, "the lower line is below f", detail)
        at_most(value, over, room, "the upper line is above f", detail)
        at_most(self.inner(below, xs) + op.inf(below, boxes), under, room, "the lower line is tight as asked", detail)
        at_most(over, self.inner(above, xs) + op.sup(above, boxes), room, "the upper line is tight as asked", detail)
        for c in rng.sample(bundles(rng, value.shape[1], tuple(value.shape[2:])), 2):
            rows, constant = op.split(c, low, high)
            got = sum((r.dot(x[0]) for r, x in zip(rows, xs, strict=True)), start=torch.zeros(())) + constant
            data = c.dense().data
            exact = data.clamp(min=0) * seen(c, under[0]) + data.clamp(max=0) * seen(c, over[0])
            size = (1 + data.abs().flatten(2).sum(-1).max()) if data.numel() else 1
            equal(got, exact.flatten(2).sum(-1), 10 * room * size, "split is c+ below + c- above", detail)
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
            # c+ and c- bend where an entry is 0. Of one kink the derivative is between its sides' quotients, but
            # of a sum of several each may pick another side: of the entries at 0 the first alone is moved.
            bent = c.abs() < _BENT
            ways[0] = ways[0] * ~(bent & (bent.flatten().cumsum(0).view(c.shape) > 1))
            directional(split, [c, *given], ways, self.rng, f"the split of {op}")

    def along(self, line: Line, xs: list[Tensor]) -> Tensor:
        """The line at points."""
        at = self.inner(line.slopes, xs)
        return at if line.intercept is None else at + line.intercept


def _gradients(op: Nonlinear, shapes: tuple[Shape, ...], rng: Random, within: Range) -> None:
    """f and its band have the gradients of their values; at degenerate boxes they are finite."""
    many = [trial.drawn(rng, 2, shape, degenerate=False, within=within) for shape in shapes]
    xs = [trial.inside(box, rng) for box in many]
    directional(op, xs, [normal(rng, *x.shape) for x in xs], rng, repr(op))
    wild = tuple(normal(rng, 2, *shape) for shape in shapes)

    def band(*ends: Tensor) -> Tensor:
        found = op.band(wild, tuple(Bounds(*ends[i : i + 2]) for i in range(0, len(ends), 2)))
        return torch.stack([found.lower, found.upper])

    flat = [end for box in many for end in (box.lower, box.upper)]
    directional(band, flat, [1e-3 * normal(rng, *end.shape) for end in flat], rng, f"the band of {op}")
    gradchecked(op, xs, repr(op))
    gradchecked(band, flat, f"the band of {op}")
    directional(lambda *ps: band(*(p for p in ps for _ in (0, 1))), xs, xs, rng, f"the band of {op} over points")
    boxes = tuple(trial.drawn(rng, 3, shape, degenerate=True, within=within) for shape in shapes)
    ends = [t.requires_grad_() for b in boxes for t in (b.lower, b.upper)]
    for below, above in (op.tight_slopes(boxes), (op.chord(boxes), op.chord(boxes))):
        low, high = op.lines(below, above, boxes)
        parts = [t for line in (low, high) for t in (*line.slopes, line.intercept) if t is not None and t.requires_grad]
        total = sum((p.sum() for p in parts), start=torch.zeros((), dtype=torch.float64, requires_grad=True))
        for gradient in torch.autograd.grad(total, ends, allow_unused=True, materialize_grads=True):
            finite(gradient, "gradients of the lines are finite at degenerate boxes", repr(op))


def _moved(xs: Slopes, ys: Slopes) -> Slopes:
    """x + y / 2."""
    return tuple(x + 0.5 * y for x, y in zip(xs, ys, strict=True))


def _text(tensors: tuple[Tensor, ...]) -> str:
    return str([t.detach().tolist() for t in tensors]) if sum(t.numel() for t in tensors) <= 12 else "..."
