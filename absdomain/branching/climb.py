"""The bound of a row over a branch: slopes, multipliers and the rows' weights, found by ascent.

A branch knows z_j >= t of some entries, and z_j <= t of others. With c the coefficients that back-substitution holds at
z and any beta >= 0,  min <c, z> >= min <c - beta, z> + beta t  for the first, and with the other sign for the second
(Wang et al. 2021, beta-CROWN). Slopes, beta, and weights mu >= 0 with sum 1 of a group's rows may be anything: the best
that are found are taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any

import torch
from torch import Tensor

from absdomain.branching.decisions import Layout
from absdomain.branching.known import Known
from absdomain.branching.target import Target
from absdomain.domains.deeppoly import DeepPoly
from absdomain.graph import Graph
from absdomain.kinds import Line, Linearised, Nonlinear, Slopes
from absdomain.linear import Bounds, Rows
from absdomain.relations import backward
from absdomain.relations.adam import Adam
from absdomain.relations.backward import Constant, Pull, Relation, Relaxation

_UNITS = 8  # roundoffs of t beta
_EPS = 1e-12  # beside the size of a gradient


@dataclass(frozen=True, eq=False)
class Branches:
    """B parts of a region: boxes of all split entries, which of their ends are decisions, and rows to be bounded."""

    lower: Tensor  # (B, N)
    upper: Tensor  # (B, N)
    held: Tensor  # (B, N): 1 where z >= lower was decided, -1 where z <= upper was, 0 for neither
    C: Tensor  # (B, R, n): the rows of each branch's group
    d: Tensor  # (B, R)
    slack: Tensor  # (B, R)

    @cached_property
    def ends(self) -> Tensor:
        """The end that was decided of each entry, (B, N)."""
        return torch.where(self.held > 0, self.lower, self.upper)


@dataclass(eq=False)
class Lines:
    """What is searched: slopes below and above (B, N) each, multipliers (B, N) >= 0 and weights of rows (B, R)."""

    below: Tensor
    above: Tensor
    beta: Tensor
    mu: Tensor  # logarithms

    def leaves(self) -> list[Tensor]:
        """The four tensors."""
        return [self.below, self.above, self.beta, self.mu]


@dataclass(frozen=True, eq=False)
class Undrawn(Known):
    """Relations over given boxes, of which those of the `later` ops get their lines by `backward.with_pulls`.

    A piecewise-linear op has finite ones over finite boxes. Others have first ones by `inner`: where they are too large
    for floats it keeps them, and none are searched.
    """

    later: frozenset[Nonlinear]

    def boxes(
        self, op: Nonlinear, args: tuple[Any, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        return self.answer(op, None)

    def relax(self, op: Nonlinear, args: tuple[Relation, ...], boxes: tuple[Bounds, ...] | None) -> Relation:
        known = self.answer(op, None)
        if op not in self.later:
            return super().relax(op, args, known)
        return backward.relaxed(args, op.shape(*(e.shape for e in args)), _undrawn, None, Relaxation(op, known, (), ()))


def _finite(boxes: tuple[Bounds, ...]) -> bool:
    return all(bool(box.width.isfinite().all()) for box in boxes)


def _undrawn(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
    raise AssertionError("lines are drawn before rows are substituted")


@dataclass(frozen=True, eq=False)
class Climbed:
    """The best bounds found, less what rounding may have added, and what they tell."""

    bound: Tensor  # (B,)
    lines: Lines  # at the best
    points: Tensor  # (2 B, *input shape): where the last linear bound is least, and the means of such points
    costs: Tensor  # (B, N): what each entry's relaxation costs at the means; all make up the distance to the true value
    gaps: Tensor  # (B, N): what each may cost at most


class Climb:
    """The graph's rows over branches, evaluated with any lines."""

    def __init__(self, target: Target, layout: Layout) -> None:
        self.target, self.layout = target, layout
        self.errors = layout.flat(target.errors)
        self.dtype = target.slack.dtype
        self.later = frozenset(op for op in layout.ops if op.curvature.piecewise_linear and _finite(target.boxes[op]))
        self._whole = target.region  # once for each of the branches that were bounded last

    def start(self, branches: Branches) -> Lines:
        """The slopes of CROWN, no multipliers, equal weights."""
        boxes, below, above = self.layout.boxes(branches.lower, branches.upper), {}, {}
        for op in self.layout.ops:
            low, high = op.tight_slopes(boxes[op])
            below[op], above[op] = low, high
        flat = self.layout.flat
        return Lines(flat(below), flat(above), torch.zeros_like(branches.lower), torch.zeros_like(branches.d))

    def element(self, branches: Branches) -> Relation:
        """The output's relation over the branches' boxes."""
        boxes = self.layout.boxes(branches.lower, branches.upper)
        if len(self._whole.centre) != len(branches.lower):
            self._whole = self.target.region.select(torch.zeros(len(branches.lower), dtype=torch.long))
        domain = Undrawn(DeepPoly(), lambda op, _: boxes[op], self.later)
        found: Relation = domain.propagate(self.target.graph, self._whole).output
        return found

    def evaluated(
        self, e: Relation, branches: Branches, lines: Lines, seen: dict[Nonlinear, Tensor] | None = None
    ) -> tuple[Tensor, Rows]:
        """The bound less its allowance, (B,), and the rows over the input; `seen` gets the rows at relaxed nodes."""
        weights = lines.mu.softmax(1)
        row = (weights.unsqueeze(1) @ branches.C).squeeze(1)
        rows, constant = backward.to_input(
            self.drawn(e, branches, lines, seen), Rows.of(row.view(1, len(row), *self.target.graph.output.shape))
        )
        offset = (weights * (branches.d - branches.slack)).sum(1)
        paid = (lines.beta * self._price(branches)).sum(1)
        return (e.region.minimum(rows) + constant)[0] + offset - paid, rows

    def drawn(
        self, e: Relation, branches: Branches, lines: Lines, seen: dict[Nonlinear, Tensor] | None = None
    ) -> Relation:
        """e with these lines, less the multipliers times what the branch knows of the arguments of relaxed nodes."""
        below, above = self.layout.parted(lines.below), self.layout.parted(lines.above)
        signed = self.layout.parted(lines.beta * branches.held)
        ends = self.layout.parted(branches.ends)
        pulls: dict[Relation, Pull] = {}
        for node in backward.relaxations(e):
            assert node.relaxation is not None
            op, boxes = node.relaxation.op, node.relaxation.boxes
            pulls[node] = _held(op, _searched(op, below[op], above[op], boxes), signed[op], ends[op], seen)
        return backward.with_pulls(e, pulls)

    def _price(self, branches: Branches) -> Tensor:
        """What rounding may add for each unit of a multiplier, (B, N)."""
        error = _UNITS * torch.finfo(branches.ends.dtype).eps * branches.ends.abs() + self.errors
        return error * branches.held.abs()

    def glanced(self, branches: Branches, lines: Lines) -> Tensor:
        """The bound with these lines, (B,)."""
        with torch.no_grad():
            return self.evaluated(self.element(branches), branches, lines)[0]

    def ascended(self, branches: Branches, lines: Lines, steps: int, rate: float) -> Climbed:
        """The best of `steps` evaluations, from these lines on; multipliers move in units of the rows' mean size.

        At the best slopes the linear bound has many minimisers, of which each shows other costs. Their mean over the
        steps comes near to the point at which the relaxation itself is least (Sherali and Choi 1996).
        """
        for leaf in lines.leaves():
            leaf.requires_grad_(True)
        best, kept = torch.full_like(branches.d[:, 0], -inf), None
        slopes, multipliers = Adam([lines.below, lines.above, lines.mu], _EPS), Adam([lines.beta], _EPS)
        scale, e = torch.ones((), dtype=branches.lower.dtype), self.element(branches)
        met, ranges = list[Tensor](), self._ranges(branches)
        for step in range(steps):
            last = step + 1 == steps
            seen: dict[Nonlinear, Tensor] = {}
            with torch.set_grad_enabled(not last):
                bound, rows = self.evaluated(e, branches, lines, seen if last or not step else None)
            better = bound.detach() > best
            best = torch.where(better, bound.detach(), best)
            kept = _chosen(better, lines, kept)
            with torch.no_grad():
                met += [e.region.argmin(rows.data.detach())[0]] if 2 * step >= steps - 1 else []
            if not step and seen:
                scale = torch.stack([c.abs().mean() for c in seen.values()]).mean().detach()
            if last:
                break
            up = torch.ones_like(bound)  # not bound.sum(), which has no gradient where gradients are off
            gradients = torch.autograd.grad(bound, lines.leaves(), up, allow_unused=True, materialize_grads=True)
            (below, above, beta, mu), pace = gradients, rate * 0.95**step
            slopes.step((below, above, mu), pace)
            multipliers.step((beta,), pace * float(scale))
            with torch.no_grad():
                lines.beta.clamp_(min=0)
                lines.below.clamp_(*ranges)
                lines.above.clamp_(*ranges)
        assert kept is not None
        with torch.no_grad():
            mean = torch.stack(met).mean(0)
            return Climbed(best, kept, torch.cat([met[-1], mean]), *self._costs(branches, lines, seen, mean))

    def _ranges(self, branches: Branches) -> tuple[Tensor, Tensor]:
        """The least and the greatest derivative of each entry's op: other slopes are never better; (B, N) each."""
        boxes, least, most = self.layout.boxes(branches.lower, branches.upper), {}, {}
        for op in self.layout.ops:
            ranges = op.slope_range(boxes[op])
            if ranges is None:
                ranges = tuple(Bounds(torch.full_like(b.lower, -inf), torch.full_like(b.lower, inf)) for b in boxes[op])
            least[op], most[op] = (tuple(r.lower for r in ranges), tuple(r.upper for r in ranges))
        return self.layout.flat(least), self.layout.flat(most)

    def _costs(
        self, branches: Branches, lines: Lines, seen: Mapping[Nonlinear, Tensor], points: Tensor
    ) -> tuple[Tensor, Tensor]:
        """c+ (f - line below) + c- (line above - f) of every entry that an op reads, at points and at most; (B, N)."""
        boxes = self.layout.boxes(branches.lower, branches.upper)
        below, above = self.layout.parted(lines.below), self.layout.parted(lines.above)
        none = {op: tuple(torch.zeros_like(b.lower) for b in boxes[op]) for op in self.layout.ops}
        here, most = dict(none), dict(none)
        values = arguments(self.target.graph, points)
        for op, c in seen.items():
            under, over = op.band(below[op], boxes[op]), op.band(above[op], boxes[op])
            y, plus, minus = op(*values[op]), c.relu(), (-c).relu()
            lower, upper = (op.linearised(s[op])(*values[op]) for s in (below, above))
            ones = op.linearised(tuple(torch.ones_like(b.lower) for b in boxes[op]))

            def spread(cost: Tensor, op: Nonlinear = op, ones: Linearised = ones) -> Slopes:
                return ones.transpose(ones.weight, cost, *self.layout.shapes[op])

            here[op] = spread(plus * (y - lower - under.lower) + minus * (upper + over.upper - y))
            most[op] = spread(plus * under.width + minus * over.width)
        return self.layout.flat(here), self.layout.flat(most)


def arguments(graph: Graph, x: Tensor) -> dict[Nonlinear, tuple[Tensor, ...]]:
    """What each nonlinear op reads where the input is x, (B, *shape) each."""
    values, found = [x], {}
    for step in graph.schedule:
        args = tuple(values[a] for a in step.args)
        if isinstance(step.op, Nonlinear):
            found[step.op] = args
        values.append(step.op(*args))
    return found


def _searched(op: Nonlinear, below: Slopes, above: Slopes, boxes: tuple[Bounds, ...]) -> Pull:
    """<c, f(z)> >= <c+ below + c- above, z> + ...: where an op moves a slope, the gradient goes to the one given."""
    below = tuple(s.detach() for s in below) if op.curvature.concave else below
    above = tuple(s.detach() for s in above) if op.curvature.convex else above
    low, high = op.lines(below, above, boxes)
    if not torch.is_grad_enabled():
        return lambda rows: op.split(rows, low, high)
    lines = [
        Line(tuple(m.detach() + (s - s.detach()) for m, s in zip(line.slopes, given, strict=True)), line.intercept)
        for line, given in ((low, below), (high, above))
    ]
    return lambda rows: op.split(rows, *lines)


def _held(
    op: Nonlinear, pull: Pull, signed: Slopes, ends: tuple[Tensor, ...], seen: dict[Nonlinear, Tensor] | None
) -> Pull:
    """<c, f(z)> >= <c' - s beta, z> + d + <s beta, t>."""

    def pulled(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
        if seen is not None:
            seen[op] = rows.dense().data[0].detach()
        parts, constant = pull(rows)
        less = tuple(part.dense().with_data(part.dense().data - s) for part, s in zip(parts, signed, strict=True))
        gained = torch.stack([(s * t).flatten(1).sum(1) for s, t in zip(signed, ends, strict=True)]).sum(0)
        return less, gained.unsqueeze(0) if constant is None else constant + gained

    return pulled


def _chosen(better: Tensor, lines: Lines, kept: Lines | None) -> Lines:
    """Branch by branch the lines of the better bound; `kept` is changed."""
    if kept is None:
        return Lines(*(t.detach().clone() for t in lines.leaves()))
    index = better.nonzero().squeeze(1)
    for new, old in zip(lines.leaves(), kept.leaves(), strict=True):
        old[index] = new.detach()[index]
    return kept
