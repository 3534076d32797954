"""Back-substitution: bounds of an activation through linear relations between activations, down to the input.

A relation only records; the work is done where bounds are asked for (Singh et al. 2019, section 3; Zhang et al. 2018,
theorem 3.2; Wong and Kolter 2018, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import torch
from torch import Tensor

from absdomain.kinds import Affine, Linearised, Nonlinear, Shape, Slopes
from absdomain.linear import Bounds, Ends, Rows
from absdomain.linear.bounds import ordered
from absdomain.linear.roots import Roots, pairs, units, windows
from absdomain.region import Region

_BUDGET = 2**21  # coefficients in flight at once
_COARSE = 2**26  # that all channels of one place may have, written out over the widest activation

Constant = Tensor | None  # (K, N or 1), or 0-dim; None: zero
Pull = Callable[[Rows], tuple[tuple[Rows, ...], Constant]]
Share = Callable[[Rows], tuple[tuple[Rows, ...], Constant, Constant]]


@dataclass(frozen=True, eq=False)
class Relaxation:
    """How a nonlinear op was relaxed: over these boxes, by lines that were asked to have these slopes."""

    op: Nonlinear
    boxes: tuple[Bounds, ...]
    below: Slopes
    above: Slopes


@dataclass(frozen=True, eq=False)
class Relation:
    """An activation y, bounded by linear functionals of other activations.

    pull: c -> (c_1, ..., c_n), d with <c, y> >= sum_i <c_i, arg_i> + d.
    share: c -> (c_1, ..., c_n), d, d' where the same c_i serve both signs: also <-c, y> >= sum_i <-c_i, arg_i> + d'.
    """

    shape: Shape
    args: tuple[Relation, ...]
    region: Region
    pull: Pull | None  # None: the input
    share: Share | None = None  # None: the c_i depend on the signs of c
    depth: int = 0  # the longest way to the input
    widest: int = 0  # entries of the largest activation on the way to the input
    moved: Region | Bounds | None = None  # the image of the whole region, where only diagonal ops lie before it
    exact: Callable[[], Bounds] | None = None  # the exact interval hull over the whole region, where one op gives it
    local: bool = False  # a neuron depends on a window of the arguments: rows on patches are worth starting with
    relaxation: Relaxation | None = None  # of a nonlinear op, for whoever looks for better lines


def source(region: Region) -> Relation:
    """The input."""
    shape = tuple(region.centre.shape[1:])
    local = len(shape) > 1
    whole = region.whole
    return Relation(shape, (), region, None, widest=prod(shape), moved=whole, exact=whole.box, local=local)


def affine(op: Affine, *args: Relation) -> Relation:
    """The value of an affine op: nothing is lost, and over the whole region its interval hull is exact."""
    shapes = tuple(e.shape for e in args)
    moved = exact = None
    if len(args) == 1 and args[0].moved is not None:
        moved = args[0].moved.image(op) if op.diagonal else None
        exact = partial(_hull_of, args[0].moved, op) if moved is None else moved.box

    def pull(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
        return op.pull(rows if op.local else rows.dense(), *shapes)

    shape = op.shape(*shapes)
    local = op.local and len(shape) > 1 and all(e.local for e in args)
    return Relation(
        shape, args, args[0].region, pull, mirrored(pull), *_extent(shape, args), moved=moved, exact=exact, local=local
    )


def _hull_of(region: Region | Bounds, op: Affine) -> Bounds:
    return region.image(op).box()


def relaxed(
    args: tuple[Relation, ...],
    shape: Shape,
    pull: Pull,
    share: Share | None = None,
    relaxation: Relaxation | None = None,
) -> Relation:
    """The value of a nonlinear op between two lines, of output shape `shape`."""
    extent, local = _extent(shape, args), len(shape) > 1
    return Relation(shape, args, args[0].region, pull, share, *extent, local=local, relaxation=relaxation)


def _under(e: Relation) -> list[Relation]:
    """All activations on which e depends and e itself, each after those on which it depends."""
    found, left = {e: None}, [e]
    while left:
        fresh = [arg for arg in dict.fromkeys(left.pop().args) if arg not in found]
        found.update(dict.fromkeys(fresh))
        left += fresh
    return sorted(found, key=lambda node: node.depth)


def relaxations(e: Relation) -> list[Relation]:
    """The relaxed activations on which e depends, each after those on which it depends itself."""
    return [node for node in _under(e) if node.relaxation is not None]


def with_pulls(e: Relation, pulls: Mapping[Relation, Pull]) -> Relation:
    """e with other lines at these relaxed activations, for bounds of one sign."""
    made: dict[Relation, Relation] = {}
    for node in _under(e):
        args = tuple(made[arg] for arg in node.args)
        made[node] = replace(node, args=args, pull=pulls.get(node, node.pull), share=None)
    return made[e]


def mirrored(pull: Pull) -> Share:
    """The `share` of an equation: what holds of c holds of -c with the signs changed."""

    def share(rows: Rows) -> tuple[tuple[Rows, ...], Constant, Constant]:
        parts, constant = pull(rows)
        return parts, constant, None if constant is None else -constant

    return share


def parallel(line: Linearised, shapes: tuple[Shape, ...], low: Tensor | None, high: Tensor | None) -> Share:
    """The `share` of f(x) = A x + w, w in [low, high]: A^T c serves both signs of c; an end that is None is 0.

    A, the line's, is of arguments of these shapes.

    Each sign pays its own ends, (B, *output shape): of a sum with both, a small one would be lost beside a large one.
    """

    def share(rows: Rows) -> tuple[tuple[Rows, ...], Constant, Constant]:
        return line.adjoint(rows, *shapes), *rows.minima(low, high)

    return share


def _extent(shape: Shape, args: tuple[Relation, ...]) -> tuple[int, int]:
    """The depth of an activation of this shape, and the entries of the widest one on its way to the input."""
    return 1 + max(e.depth for e in args), max(prod(shape), *(e.widest for e in args))


def bounds(e: Relation, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
    """Bounds of e over the region, (B, *shape); entries outside `where` (boolean) may be left at -inf and inf.

    Of all entries, one end alone is taken at the price of one.
    """
    exact = known(e)
    if exact is not None:
        return exact()
    if where is None and ends is not Ends.BOTH:
        return Bounds.of(ends, lambda: _end(e, lambda rows: rows), lambda: -_end(e, Rows.negated))
    like = e.region.centre
    lower, upper = like.new_full((len(like), *e.shape), -torch.inf), like.new_full((len(like), *e.shape), torch.inf)
    found = list(_minima_of(e, _roots(e)(e.shape, like, where)))
    if found:
        neurons, low, high = (torch.cat([part.flatten() for part in parts]) for parts in zip(*found, strict=True))
        lower = lower.flatten().index_copy(0, neurons, low).view_as(lower)
        upper = upper.flatten().index_copy(0, neurons, -high).view_as(upper)
    return ordered(lower, upper)


def _roots(e: Relation) -> Callable[[Shape, Tensor, Tensor | None], Roots]:
    """What to start from: a region that does not say otherwise is given a column per sample and no other."""
    if not e.region.any_columns:
        return units
    return partial(windows, most=_COARSE // (2 * e.widest)) if e.local else pairs


def _minima_of(e: Relation, roots: Roots) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The neurons and the minima of their values and of the negatives, in parts that stay within the budget.

    What a part takes depends on the way to the input: the first is as small as coefficients written out would need.
    """
    done, step = 0, max(1, _BUDGET // (2 * e.widest * roots.rows))
    while done < roots.count:
        part = min(step, roots.count - done)
        rows, neurons = roots.take(done, done + part)
        low, high, peak = _minima(e, rows)
        columns = neurons.shape[1]
        yield neurons, low.expand(-1, columns), high.expand(-1, columns)
        done += part
        step = max(1, _BUDGET * part // max(1, peak))


def boxes(e: Relation, where: Tensor | None = None) -> Bounds:
    """Bounds of e over the whole of which the region may be a part: those over which a relaxation is taken."""
    return bounds(replace(e, region=e.region.whole), where)


def minimum(e: Relation, rows: Rows) -> Tensor:
    """A lower bound of <c_k, e> over the region, (K, B)."""
    rows, constant = to_input(e, rows)
    return e.region.minimum(rows) + constant


def minima(e: Relation, rows: Rows) -> tuple[Tensor, Tensor]:
    """Lower bounds of <c_k, e> and of <-c_k, e> over the region, (K, B) each, at little more than the price of one."""
    low, high, _ = _minima(e, rows)
    return low, high


def _minima(e: Relation, rows: Rows) -> tuple[Tensor, Tensor, int]:
    """As `minima`, and the most coefficients that were held at once."""
    rows, constants, peak = _substituted(e, rows, ends=2)
    if len(constants) == 1:
        low, high = (e.region.minimum(rows) + constants[0]).chunk(2)
        return low, high, peak
    return e.region.minimum(rows) + constants[0], e.region.minimum(rows.negated()) + constants[1], peak


def to_input(e: Relation, rows: Rows) -> tuple[Rows, Tensor]:
    """Rows c' over the input and constants d (K, N or 1; or 0-dim) with <c_k, e> >= <c'_k, x> + d_k on the region."""
    rows, (constant,), _ = _substituted(e, rows, ends=1)
    return rows, constant


def _substituted(e: Relation, rows: Rows, *, ends: int) -> tuple[Rows, tuple[Tensor, ...], int]:
    """The rows over the input, a constant per end (1: of c; 2: of c and of -c), and the most coefficients held at once.

    With two ends the rows serve both, until a relation tells them apart: then they are [c; -c], with one constant.
    """
    pending, peak, columns = {e: rows}, 0, rows.columns
    constants: tuple[Tensor, ...] = (e.region.centre.new_zeros(()),) * ends
    while e.pull is not None:
        rows = pending.pop(e)
        if len(constants) == 2 and e.share is None:
            rows, pending = rows.signed(), {node: other.signed() for node, other in pending.items()}
            constants = (_joined(*constants, rows),)
        parts, *found = e.share(rows) if len(constants) == 2 and e.share is not None else e.pull(rows)
        constants = tuple(c if more is None else c + more for c, more in zip(constants, found, strict=True))
        peak = max(peak, sum(part.entries for part in parts))
        for arg, part in zip(e.args, parts, strict=True):
            part = part if part.columns is columns else replace(part, columns=columns)  # rows that an op made anew
            pending[arg] = pending[arg] + part if arg in pending else part
        depth = max([node.depth for node in pending])
        e = next(node for node in pending if node.depth == depth)
    return pending[e], constants, peak


def above(e: Relation) -> tuple[Rows, Tensor]:
    """Planes above e in the input: e_k <= <c_k, x> + d_k on the region, k flat; rows (K, B), constants (K, B or 1).

    All are carried at once, coefficients of every entry of e over every activation: meant for few entries.
    """
    size = prod(e.shape)
    rows = Rows.units(torch.arange(size, device=e.region.centre.device), e.shape, e.region.centre)
    rows, constant = to_input(e, rows.negated())
    return rows.negated(), -(constant if constant.dim() else constant.expand(size, 1))


def known(e: Relation) -> Callable[[], Bounds] | None:
    """The exact hull, where it is known: that of a part of a larger region is not."""
    return e.exact if e.region.whole is e.region else None


def _joined(low: Tensor, high: Tensor, rows: Rows) -> Tensor:
    """The constants of [c; -c], the rows, from those of c and of -c, either of which may be 0-dim."""
    count = len(rows.data) // 2
    return torch.cat(torch.broadcast_tensors(*(c if c.dim() else c.expand(count, 1) for c in (low, high))))


def _chunks(e: Relation, index: Tensor) -> tuple[Tensor, ...]:
    """The rows' indices in parts whose coefficients stay within the budget."""
    return index.split(max(1, _BUDGET // (2 * e.widest * e.region.centre.shape[0]))) if len(index) else ()


def _end(e: Relation, signed: Callable[[Rows], Rows]) -> Tensor:
    """Minima of all neurons of e, or of their negatives, (B, *shape)."""
    like = e.region.centre
    index = torch.arange(prod(e.shape), device=like.device)
    ends = [minimum(e, signed(Rows.units(part, e.shape, like))) for part in _chunks(e, index)]
    return torch.cat(ends).t().reshape(-1, *e.shape)
