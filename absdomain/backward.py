"""Back-substitution: bounds of an activation through linear relations between activations, down to the input.

A relation only records; the work is done where bounds are asked for (Singh et al. 2019, section 3; Zhang et al. 2018,
theorem 3.2; Wong and Kolter 2018, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor

from absdomain.bounds import Bounds
from absdomain.kinds import Affine, Shape
from absdomain.region import Region
from absdomain.rows import Rows

_BUDGET = 2**21  # coefficients in flight at once

Constant = Tensor | None  # (K, N or 1); None: zero
Pull = Callable[[Rows], tuple[tuple[Rows, ...], Constant]]
Share = Callable[[Rows], tuple[tuple[Rows, ...], Constant, Constant]]


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
    moved: Region | None = None  # the activation's own region, where only diagonal ops lie before it
    exact: Callable[[], Bounds] | None = None  # its exact interval hull, where one op gives it


def source(region: Region) -> Relation:
    """The input."""
    shape = tuple(region.centre.shape[1:])
    return Relation(shape, (), region, None, widest=prod(shape), moved=region, exact=region.box)


def affine(op: Affine, *args: Relation) -> Relation:
    """The value of an affine op: nothing is lost, and over the region itself its interval hull is exact."""
    shapes = tuple(e.shape for e in args)
    moved = exact = None
    if len(args) == 1 and args[0].moved is not None:
        exact = partial(args[0].moved.hull, op)
        moved = args[0].moved.moved(op) if op.diagonal else None

    def pull(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
        return op.pull(rows, *shapes)

    return _after(args, op.shape(*shapes), pull, mirrored(pull), moved, exact)


def relaxed(args: tuple[Relation, ...], shape: Shape, pull: Pull, share: Share | None = None) -> Relation:
    """The value of a nonlinear op between two lines, of output shape `shape`."""
    return _after(args, shape, pull, share, None, None)


def mirrored(pull: Pull) -> Share:
    """The `share` of an equation: what holds of c holds of -c with the signs changed."""

    def share(rows: Rows) -> tuple[tuple[Rows, ...], Constant, Constant]:
        parts, constant = pull(rows)
        return parts, constant, None if constant is None else -constant

    return share


def _after(
    args: tuple[Relation, ...],
    shape: Shape,
    pull: Pull,
    share: Share | None,
    moved: Region | None,
    exact: Callable[[], Bounds] | None,
) -> Relation:
    depth = 1 + max(e.depth for e in args)
    widest = max(prod(shape), *(e.widest for e in args))
    return Relation(shape, args, args[0].region, pull, share, depth, widest, moved, exact)


def bounds(e: Relation, where: Tensor | None = None) -> Bounds:
    """Bounds of e over the region, (B, *shape); entries outside `where` (boolean) may be left at -inf and inf."""
    if e.exact is not None:
        return e.exact()
    like = e.region.centre
    batch, size = like.shape[0], prod(e.shape)
    index = torch.arange(size, device=like.device)
    if where is not None:
        index = where.reshape(batch, size).any(0).nonzero().squeeze(1)
    lower, upper = like.new_full((batch, size), -torch.inf), like.new_full((batch, size), torch.inf)
    ends = [minima(e, Rows.units(part, e.shape, like)) for part in _chunks(e, index)]
    if ends:
        lower = lower.index_copy(1, index, torch.cat([low for low, _ in ends]).t())
        upper = upper.index_copy(1, index, torch.cat([-high for _, high in ends]).t())
    return Bounds(lower.view(batch, *e.shape), upper.view(batch, *e.shape))


def lower(e: Relation) -> Tensor:
    """Lower bounds of e over the region, (B, *shape)."""
    return bounds(e).lower if e.exact is not None else _end(e, lambda rows: rows)


def upper(e: Relation) -> Tensor:
    """Upper bounds of e over the region, (B, *shape)."""
    return bounds(e).upper if e.exact is not None else -_end(e, Rows.negated)


def minimum(e: Relation, rows: Rows) -> Tensor:
    """A lower bound of <c_k, e> over the region, (K, B)."""
    rows, constant = to_input(e, rows)
    return e.region.minimum(rows) + constant


def minima(e: Relation, rows: Rows) -> tuple[Tensor, Tensor]:
    """Lower bounds of <c_k, e> and of <-c_k, e> over the region, (K, B) each, at little more than the price of one."""
    rows, constants = _substituted(e, rows, ends=2)
    if len(constants) == 1:
        low, high = (e.region.minimum(rows) + constants[0]).chunk(2)
        return low, high
    return e.region.minimum(rows) + constants[0], e.region.minimum(rows.negated()) + constants[1]


def to_input(e: Relation, rows: Rows) -> tuple[Rows, Tensor]:
    """Rows c' over the input and constants d (K, N or 1; or 0-dim) with <c_k, e> >= <c'_k, x> + d_k on the region."""
    rows, (constant,) = _substituted(e, rows, ends=1)
    return rows, constant


def _substituted(e: Relation, rows: Rows, *, ends: int) -> tuple[Rows, tuple[Tensor, ...]]:
    """The rows over the input and a constant per end (1: of c; 2: of c and of -c).

    With two ends the rows serve both, until a relation tells them apart: then they are [c; -c], with one constant.
    """
    pending = {e: rows}
    constants: tuple[Tensor, ...] = (e.region.centre.new_zeros(()),) * ends
    while e.pull is not None:
        rows = pending.pop(e)
        if len(constants) == 2 and e.share is None:
            rows, pending = rows.signed(), {node: other.signed() for node, other in pending.items()}
            constants = (_joined(*constants),)
        parts, *found = e.share(rows) if len(constants) == 2 and e.share is not None else e.pull(rows)
        constants = tuple(c if more is None else c + more for c, more in zip(constants, found, strict=True))
        for arg, part in zip(e.args, parts, strict=True):
            pending[arg] = pending[arg] + part if arg in pending else part
        depth = max([node.depth for node in pending])
        e = next(node for node in pending if node.depth == depth)
    return pending[e], constants


def _joined(low: Tensor, high: Tensor) -> Tensor:
    return torch.cat([low, high]) if low.dim() else low


def _chunks(e: Relation, index: Tensor) -> tuple[Tensor, ...]:
    """The rows' indices in parts whose coefficients stay within the budget."""
    return index.split(max(1, _BUDGET // (2 * e.widest * e.region.centre.shape[0]))) if len(index) else ()


def _end(e: Relation, signed: Callable[[Rows], Rows]) -> Tensor:
    """Minima of all neurons of e, or of their negatives, (B, *shape)."""
    like = e.region.centre
    index = torch.arange(prod(e.shape), device=like.device)
    ends = [minimum(e, signed(Rows.units(part, e.shape, like))) for part in _chunks(e, index)]
    return torch.cat(ends).t().reshape(-1, *e.shape)
