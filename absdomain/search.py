"""Better slopes by gradient ascent on the bound itself: alpha-CROWN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from absdomain import backward
from absdomain.backward import Pull, Relation, Relaxation
from absdomain.bounds import Bounds
from absdomain.domain import Reader
from absdomain.kinds import Line, Nonlinear, Slopes
from absdomain.rows import Rows
from absdomain.slopes import Pair, Policy, adaptive

Found = list[Pair]  # per relaxation under an activation, slopes (K, B, *shape): one pair of lines for each row
Choice = Callable[[Relation, Rows, int, int], Found]  # of an activation, its rows, their sign and chunk
Key = tuple[Reader | None, int, int]  # whose bounds (None: the output's), which end, which chunk of rows

_BUDGET = 2**22  # slopes that are searched at once


@dataclass(frozen=True)
class Optimised(Policy):
    """argmax over the slopes of the lower bound, and of minus the upper one: each output has slopes of its own.

    Adam starts at the slopes of `start` and the best of `steps` evaluations is kept, so that the bounds are never
    looser than those of `start` over the same boxes. For ReLU their supremum is the optimum of the triangle relaxation
    (Salman et al. 2019). The boxes over which ops are relaxed are those of `start`; with `intermediate` each of them is
    optimised as well. Bounds are differentiated as if the slopes found were constants. Source: Xu et al. 2021, section
    3 (alpha-CROWN).
    """

    steps: int = 20
    rate: float = 0.25  # of the first step
    decay: float = 0.9  # of the rate, per step
    intermediate: bool = False
    start: Policy = adaptive
    constant = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"optimised: steps is {self.steps}; the slopes of `start` are the first of at least 1")

    @property
    def __name__(self) -> str:
        names = ("steps", "rate", "decay", "intermediate")
        given = [f"{n}={getattr(self, n)!r}" for n in names if getattr(self, n) != getattr(Optimised, n)]
        given += [] if self.start == adaptive else [f"start={self.start.__name__}"]
        return f"optimised({', '.join(given)})"

    def __call__(self, op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
        return self.start(op, boxes)

    def box(self, e: Relation, reader: Reader, where: Tensor | None = None) -> Bounds:
        if not self.intermediate:
            return backward.boxes(e, where)
        return self.bounds(replace(e, region=e.region.whole), where)

    def bounds(self, e: Relation, where: Tensor | None = None) -> Bounds:
        return _bounds(e, self._searched, where)

    def lower(self, e: Relation) -> Tensor:
        return _end(e, 1, self._searched)

    def upper(self, e: Relation) -> Tensor:
        return -_end(e, -1, self._searched)

    def table(self, e: Relation) -> Table:
        """The slopes that the bounds of e use, as a policy: DeepPoly with it gives the same bounds without a search.

        It fits the same graph (the same op objects), region and specification.
        """
        slopes: dict[Key, Found] = {}

        def record(asked: Relation, reader: Reader | None) -> None:
            for sign in (1, -1):
                for chunk, rows in enumerate(_roots(asked, sign)):
                    slopes[reader, sign, chunk] = self._searched(asked, rows, sign, chunk)

        record(e, None)
        for node in backward.relaxations(e) if self.intermediate else ():
            op = _relaxation(node).op
            for place, arg in enumerate(node.args):
                if (reader := (op, place)) in {key[0] for key in slopes}:
                    raise ValueError(f"table: {op} stands in two places; give each an op of its own")
                record(arg, reader)
        return Table(self.start, slopes)

    def _searched(self, e: Relation, rows: Rows, sign: int, chunk: int) -> Found:
        """The best slopes for the minima of rows over e."""
        nodes = backward.relaxations(e)
        best = [_started(node, len(rows.data)) for node in nodes]
        tried = [tuple(tuple(s.clone() for s in side) for side in pair) for pair in best]
        slopes = [s.requires_grad_() for node, pair in zip(nodes, tried, strict=True) for s in _improvable(node, pair)]
        if not slopes:
            return best
        highest: Tensor | None = None
        with torch.enable_grad():
            optimiser = torch.optim.Adam(slopes, lr=self.rate, fused=True)
            for step in range(self.steps):
                for group in optimiser.param_groups:
                    group["lr"] = self.rate * self.decay**step
                bound = _minimum(e, rows, tried, detached=True)  # type: ignore[arg-type]
                highest, best = _better(highest, bound.detach(), best, tried)  # type: ignore[arg-type]
                if step + 1 < self.steps:
                    gradients = torch.autograd.grad(-bound.sum(), slopes, allow_unused=True, materialize_grads=True)
                    for slope, gradient in zip(slopes, gradients, strict=True):
                        slope.grad = gradient
                    optimiser.step()
        return best


@dataclass(frozen=True, eq=False)
class Table(Policy):
    """Slopes found before, fixed: what `Optimised.table` returns. They may come from anywhere: every slope is sound."""

    start: Policy
    slopes: Mapping[Key, Found]

    @property
    def __name__(self) -> str:
        return f"table({len(self.slopes)} of {self.start.__name__})"

    def __call__(self, op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
        return self.start(op, boxes)

    def box(self, e: Relation, reader: Reader, where: Tensor | None = None) -> Bounds:
        held = any(key[0] == reader for key in self.slopes)
        return _bounds(replace(e, region=e.region.whole), self._of(reader)) if held else backward.boxes(e, where)

    def bounds(self, e: Relation, where: Tensor | None = None) -> Bounds:
        return _bounds(e, self._of(None))

    def lower(self, e: Relation) -> Tensor:
        return _end(e, 1, self._of(None))

    def upper(self, e: Relation) -> Tensor:
        return -_end(e, -1, self._of(None))

    def _of(self, reader: Reader | None) -> Choice:
        def stored(e: Relation, rows: Rows, sign: int, chunk: int) -> Found:
            found = self.slopes.get((reader, sign, chunk), [])
            held = [tuple(s.shape) for below, _ in found for s in below]
            asked = [(len(rows.data), *s.shape) for node in backward.relaxations(e) for s in _relaxation(node).below]
            if held != asked:
                raise ValueError(f"table: it holds slopes {held}, {asked} are asked: another graph, batch or spec?")
            return found

        return stored


def _bounds(e: Relation, choose: Choice, where: Tensor | None = None) -> Bounds:
    return Bounds(_end(e, 1, choose, where), -_end(e, -1, choose, where))


def _end(e: Relation, sign: int, choose: Choice, where: Tensor | None = None) -> Tensor:
    """Lower bounds of sign * e, (B, *shape); -inf outside `where`."""
    known = backward.known(e)
    if known is not None:
        return known().lower if sign > 0 else -known().upper
    batch, size = len(e.region.centre), prod(e.shape)
    found = [
        _minimum(e, rows, choose(e, rows, sign, chunk), detached=False)
        for chunk, rows in enumerate(_roots(e, sign, where))
    ]
    index = _asked(e, where)
    ends = e.region.centre.new_full((batch, size), -torch.inf)
    return (ends.index_copy(1, index, torch.cat(found).t()) if found else ends).view(batch, *e.shape)


def _asked(e: Relation, where: Tensor | None) -> Tensor:
    size, device = prod(e.shape), e.region.centre.device
    if where is None:
        return torch.arange(size, device=device)
    return where.reshape(-1, size).any(0).nonzero().squeeze(1)


def _roots(e: Relation, sign: int, where: Tensor | None = None) -> list[Rows]:
    """sign times the unit functionals of e's flat entries, in chunks whose slopes stay within the budget."""
    like, nodes = e.region.centre, backward.relaxations(e)
    entries = sum(prod(arg.shape) for node in nodes for arg in node.args) * len(like)
    chunks = _asked(e, where).split(max(1, _BUDGET // max(1, entries)))
    return [Rows.of(sign * Rows.units(part, e.shape, like).data) for part in chunks if len(part)]


def _relaxation(node: Relation) -> Relaxation:
    assert node.relaxation is not None
    return node.relaxation


def _started(node: Relation, rows: int) -> Pair:
    """The slopes with which the node was relaxed, one copy for each row."""
    found = _relaxation(node)

    def copies(slopes: Slopes) -> Slopes:
        return tuple(s.detach().expand(rows, *s.shape).clone() for s in slopes)

    return copies(found.below), copies(found.above)


def _improvable(node: Relation, pair: tuple[Slopes, ...]) -> Slopes:
    """The slopes of the sides on which the chord is not the best line anyway."""
    op, (below, above) = _relaxation(node).op, pair
    return (*(() if op.concave else below), *(() if op.convex else above))


def _lines(node: Relation, pair: Pair, detached: bool) -> tuple[Line, Line]:
    """The op's lines with these slopes, (K, B, *shape) each: its batch is K times B.

    Where the op moves a slope, the gradient still goes to the slope given: at the ends of [0, 1] ReLU's would be zero.
    """
    found = _relaxation(node)
    rows, batch = pair[0][0].shape[:2]

    def repeated(t: Tensor) -> Tensor:
        t = t.detach() if detached else t
        return t.expand(rows, *t.shape).flatten(0, 1)

    boxes = tuple(Bounds(repeated(b.lower), repeated(b.upper)) for b in found.boxes)
    below, above = (tuple(s.flatten(0, 1) for s in slopes) for slopes in pair)
    lines = found.op.lines(below, above, boxes)
    if detached:  # a slope that the op moved is moved for good, or it would wander where it has no effect
        for given, line in zip((below, above), lines, strict=True):
            for slope, moved in zip(given, line.slopes, strict=True):
                slope.data.copy_(moved)
    sides = zip(pair, lines, strict=True)
    return tuple(  # type: ignore[return-value]
        Line(
            tuple(m.detach().view_as(s) + (s - s.detach()) for s, m in zip(slopes, line.slopes, strict=True)),
            None if line.intercept is None else line.intercept.unflatten(0, (rows, batch)),
        )
        for slopes, line in sides
    )


def _minimum(e: Relation, rows: Rows, slopes: Found, *, detached: bool) -> Tensor:
    """A lower bound of <c_k, e>, (K, B), with row k between its own lines."""
    nodes = backward.relaxations(e)
    pulls = {node: _pull(node, *_lines(node, pair, detached)) for node, pair in zip(nodes, slopes, strict=True)}
    return backward.minimum(backward.with_pulls(e, pulls), rows)


def _pull(node: Relation, below: Line, above: Line) -> Pull:
    """<c_k, f(x)> >= <c_k+ below_k.slopes + c_k- above_k.slopes, x> + <c_k+, below_k.intercept> + ..."""
    op = _relaxation(node).op

    def pull(rows: Rows) -> tuple[tuple[Rows, ...], Tensor]:
        data = rows.data
        positive = data.relu()
        negative = data - positive
        parts = zip(op.outer(below.slopes, positive), op.outer(above.slopes, negative), strict=True)
        sides = ((positive, below.intercept), (negative, above.intercept))
        constant = sum((c * t).flatten(2).sum(-1) for c, t in sides if t is not None)
        return tuple(Rows.of(low + high) for low, high in parts), torch.as_tensor(constant).to(data)

    return pull


def _better(highest: Tensor | None, bound: Tensor, best: Found, tried: Found) -> tuple[Tensor, Found]:
    """Row by row and sample by sample, the slopes of the higher bound."""
    if highest is None:
        return bound, best
    higher = bound > highest

    def chosen(old: Tensor, new: Tensor) -> Tensor:
        return torch.where(higher.view(*higher.shape, *(1,) * (old.dim() - 2)), new.detach(), old)

    found = [
        tuple(tuple(map(chosen, *sides)) for sides in zip(old, new, strict=True))
        for old, new in zip(best, tried, strict=True)
    ]
    return torch.maximum(highest, bound), found  # type: ignore[return-value]
