"""Back-substitution in which each row has lines of its own, and the ascent on their slopes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from absdomain.kinds import Line, Slopes
from absdomain.linear import Bounds, Rows
from absdomain.relations import backward
from absdomain.relations.adam import Adam
from absdomain.relations.backward import Pull, Relation, Relaxation
from absdomain.relations.tied import along, inside, tied

Found = list[Slopes]  # per searched relaxation, the slopes of its searched sides, (K, B, *shape) each

_BUDGET = 2**22  # slopes that are searched at once
_ASIDE = 1e-4
_POINT = 1e-8  # a range of slopes that is narrower counts as a point
_PART = 0.01  # of the range of f', the least unit
_CHORDS = 8  # from each end of a box


class Pace(NamedTuple):
    """Adam's steps: how many, the rate of the first, and the factor from one to the next."""

    steps: int
    rate: float
    decay: float


def searched(e: Relation) -> list[Relation]:
    """The relaxed activations under e with a slope that may be improved: not settled, nor with chords alone."""
    return [node for node in backward.relaxations(e) if _kept(node) and not _settled(_relaxation(node))]


def roots(e: Relation, sign: int, index: Tensor) -> list[Rows]:
    """sign times the unit functionals of e's flat entries `index`, in chunks whose slopes stay within the budget."""
    like = e.region.centre
    entries = len(like) * sum(prod(arg.shape) for node in searched(e) for arg in node.args)
    units = torch.eye(prod(e.shape), dtype=like.dtype, device=like.device)
    chunks = index.split(max(1, _BUDGET // max(1, entries))) if len(index) else ()
    return [Rows.of(sign * units[part].view(-1, 1, *e.shape)) for part in chunks]


def shapes(e: Relation, rows: Rows) -> list[tuple[int, ...]]:
    """Those of the slopes that are searched for rows over e."""
    return [(len(rows.data), *s.shape) for node in searched(e) for s in _kept(node)]


def ascended(e: Relation, rows: Rows, pace: Pace) -> Found:
    """The best slopes found for the minima of rows over e: those of the relaxations are the first that are tried."""
    if torch.is_inference_mode_enabled():
        raise RuntimeError("slopes are optimised by gradients: ask for the bounds under torch.no_grad() instead")
    nodes = searched(e)
    relaxations, units = [_relaxation(node) for node in nodes], [_units(node) for node in nodes]
    best = [_started(node, len(rows.data)) for node in nodes]
    tried = [tuple(t.requires_grad_() for t in each) for each in _measured(best, units)]
    flat = [t for each in tried for t in each]
    if not flat:
        return best
    highest: Tensor | None = None
    optimiser = Adam(flat)
    for step in range(pace.steps):
        with torch.enable_grad():
            slopes = [tuple(t * u for t, u in zip(*pair, strict=True)) for pair in zip(tried, units, strict=True)]
            lines = [_lines(node, given, detached=True) for node, given in zip(nodes, slopes, strict=True)]
            bound = _substituted(e, rows, _pulls(nodes, lines))
        moved = [_sides(r, low.slopes, up.slopes) for r, (low, up) in zip(relaxations, lines, strict=True)]
        highest, best = _better(highest, bound.detach(), best, moved)
        if step == 0:
            _leave([t for r, each in zip(relaxations, tried, strict=True) if not tied(r) for t in each])
        elif step + 1 < pace.steps:
            places = [t for each in _measured(moved, units) for t in each]
            _step(optimiser, pace.rate * pace.decay**step, flat, places, _gradients(bound, tried, relaxations))
        for found in zip(relaxations, tried, units, strict=True):
            inside(*found)
    return best


def minimum(e: Relation, rows: Rows, found: Found) -> Tensor:
    """A lower bound of <c_k, e>, (K, B), row k between its own lines; its gradients take the slopes as constants."""
    return _substituted(e, rows, pulls(e, found))


def pulls(e: Relation, found: Found) -> dict[Relation, Pull]:
    """The searched relaxations under e between the lines of these slopes: row k between its own."""
    nodes = searched(e)
    return _pulls(nodes, [_lines(node, slopes, detached=False) for node, slopes in zip(nodes, found, strict=True)])


def _leave(slopes: list[Tensor]) -> None:
    """A little beside the first slopes: at a chord both ends of f tie, and rounding would choose the gradient."""
    with torch.no_grad():
        for slope in slopes:
            slope.add_(_ASIDE * (1 + slope.abs()))


def _gradients(bound: Tensor, slopes: Found, relaxations: Sequence[Relaxation]) -> list[Tensor]:
    """Of the sum of the bounds, by all the slopes in turn; those of tied slopes along their edge."""
    flat = [t for each in slopes for t in each]
    uphill = torch.ones_like(bound)  # not bound.sum(), which has no gradient where gradients are off
    found = iter(torch.autograd.grad(bound, flat, uphill, allow_unused=True, materialize_grads=True))
    pairs = zip(relaxations, slopes, strict=True)
    return [g for relaxation, each in pairs for g in along(relaxation, [next(found) for _ in each])]


def _step(
    optimiser: Adam,
    rate: float,
    slopes: list[Tensor],
    moved: list[Tensor],
    gradients: Sequence[Tensor],
) -> None:
    """One step from the slopes to which the op moved: beyond [0, 1] those of ReLU would wander without effect."""
    sizes = [g.abs().reshape(*g.shape[:2], -1).amax(-1) for g in gradients]
    largest = torch.stack(sizes).amax(0).clamp(min=torch.finfo(sizes[0].dtype).tiny)  # (K, B)
    with torch.no_grad():
        for slope, value in zip(slopes, moved, strict=True):
            slope.copy_(value)
    # relative to the row's largest: Adam would take what rounding leaves of a zero for a direction
    optimiser.step([g / largest.view(*largest.shape, *(1,) * (g.dim() - 2)) for g in gradients], rate)


def _relaxation(node: Relation) -> Relaxation:
    assert node.relaxation is not None
    return node.relaxation


def _settled(relaxation: Relaxation) -> bool:
    """Whether the lines are exact, whatever the slopes that are asked."""
    settled = relaxation.op.settled(relaxation.boxes)
    return settled is not None and all(bool(where.all()) for where in settled)


def _sides(relaxation: Relaxation, below: Slopes, above: Slopes) -> Slopes:
    """The slopes of the sides on which the chord is not the best line anyway."""
    curvature = relaxation.op.curvature
    return (*(() if curvature.concave else below), *(() if curvature.convex else above))


def _kept(node: Relation) -> Slopes:
    """The slopes with which the node was relaxed, of the sides that are searched."""
    found = _relaxation(node)
    return _sides(found, found.below, found.above)


def _units(node: Relation) -> Slopes:
    """In what each searched slope is measured, as the step is: any positive numbers serve, since every slope does.

    The range of f' over the box: 1 for an unstable ReLU, a hundredth for a sigmoid over a box of width 0.1. Of an f
    with an inflection point it is that of the hull's slopes on this side of f. Where f bends steps are half as large,
    as the best slope is seldom an end; that of tied slopes often is. 1 where a range is a point, or not known.
    """
    found = _relaxation(node)
    ranges, curvature = found.op.slope_range(found.boxes), found.op.curvature
    if ranges is None:
        return tuple(torch.ones_like(s) for s in _kept(node))
    widths = tuple(r.width for r in ranges)
    below = above = widths if curvature.piecewise_linear or tied(found) else tuple(w / 2 for w in widths)
    if any(curvature.bends) and not curvature.convex and not curvature.concave:
        below, above = ((torch.maximum(hull / 2, _PART * widths[0]),) for hull in _hulls(found))
    return tuple(torch.where((w > _POINT) & (w < torch.inf), w, 1.0).detach() for w in _sides(found, below, above))


def _hulls(found: Relaxation) -> tuple[Tensor, Tensor]:
    """How far the slopes of the convex hull reach from one end of the box to the other, and those of the concave one.

    From the chords between each end and a few points: a line below f at the left end is no steeper than the flattest
    of those from there, and one at the right end no flatter than the steepest; above it is the other way round.
    """
    (box,) = found.boxes
    inner = [torch.lerp(box.lower, box.upper, k / _CHORDS) for k in range(1, _CHORDS)]
    left = torch.stack([found.op.chord((Bounds(box.lower, p),))[0] for p in (*inner, box.upper)])
    right = torch.stack([found.op.chord((Bounds(p, box.upper),))[0] for p in (box.lower, *inner)])
    return right.amax(0) - left.amin(0), left.amax(0) - right.amin(0)


def _measured(slopes: Found, units: Found) -> Found:
    """The slopes in these units, without their history."""
    return [tuple(s.detach() / u for s, u in zip(*pair, strict=True)) for pair in zip(slopes, units, strict=True)]


def _started(node: Relation, rows: int) -> Slopes:
    """The slopes with which the node was relaxed, one copy for each row."""
    return tuple(s.detach().expand(rows, *s.shape).clone() for s in _kept(node))


def _lines(node: Relation, slopes: Slopes, *, detached: bool) -> tuple[Line, Line]:
    """The op's lines with these slopes, (K, B, *shape) each: its batch is K times B.

    Where the op moves a searched slope, the gradient still goes to the one given: at the ends of [0, 1] ReLU's would be
    zero. A side that is not searched has the slopes of the relaxation, and their gradients.
    """
    found = _relaxation(node)
    rows, batch = slopes[0].shape[:2]

    def repeated(t: Tensor) -> Tensor:
        t = t.detach() if detached else t
        return t.expand(rows, *t.shape).flatten(0, 1)

    boxes = tuple(Bounds(repeated(b.lower), repeated(b.upper)) for b in found.boxes)
    count = len(found.below)
    given = tuple(s.flatten(0, 1) for s in slopes)
    convex, concave = found.op.curvature.convex, found.op.curvature.concave
    below = tuple(map(repeated, found.below)) if concave else given[:count]
    above = tuple(map(repeated, found.above)) if convex else given[-count:]
    low, high = found.op.lines(below, above, boxes)
    return (
        _per_row(low, below, rows, batch, searched=not concave),
        _per_row(high, above, rows, batch, searched=not convex),
    )


def _per_row(line: Line, given: Slopes, rows: int, batch: int, *, searched: bool) -> Line:
    slopes = line.slopes
    if searched:
        slopes = tuple(m.detach() + (s - s.detach()) for m, s in zip(slopes, given, strict=True))
    unfolded = tuple(s.unflatten(0, (rows, batch)) for s in slopes)
    return Line(unfolded, None if line.intercept is None else line.intercept.unflatten(0, (rows, batch)))


def _pulls(nodes: Sequence[Relation], lines: Sequence[tuple[Line, Line]]) -> dict[Relation, Pull]:
    """Each node's rows between the lines of each, which lie below and above it."""
    return {node: _pull(node, *pair) for node, pair in zip(nodes, lines, strict=True)}


def _substituted(e: Relation, rows: Rows, between: dict[Relation, Pull]) -> Tensor:
    return backward.minimum(backward.with_pulls(e, between), rows)


def _pull(node: Relation, below: Line, above: Line) -> Pull:
    """<c_k, f(x)> >= <c_k+ below_k.slopes + c_k- above_k.slopes, x> + <c_k+, below_k.intercept> + ..."""
    op, shapes = _relaxation(node).op, tuple(arg.shape for arg in node.args)
    low, high = op.linearised(below.slopes), op.linearised(above.slopes)

    def pull(rows: Rows) -> tuple[tuple[Rows, ...], Tensor]:
        data = rows.data
        positive = data.relu()
        negative = data - positive
        ends = ((low, positive), (high, negative))
        parts = zip(*(line.transpose(line.weight, c, *shapes) for line, c in ends), strict=True)
        constant = data.new_zeros(len(data), below.slopes[0].shape[1])
        for c, line in ((positive, below), (negative, above)):
            if line.intercept is not None:
                constant = constant + (c * line.intercept).reshape(*constant.shape, -1).sum(-1)
        return tuple(Rows.of(one + other) for one, other in parts), constant

    return pull


def _better(highest: Tensor | None, bound: Tensor, best: Found, moved: Found) -> tuple[Tensor, Found]:
    """Row by row and sample by sample, the slopes of the higher bound."""
    if highest is None:
        return bound, best
    higher = bound > highest

    def chosen(old: Tensor, new: Tensor) -> Tensor:
        return torch.where(higher.view(*higher.shape, *(1,) * (old.dim() - 2)), new.detach(), old)

    found = [tuple(map(chosen, old, new)) for old, new in zip(best, moved, strict=True)]
    return torch.maximum(highest, bound), found
