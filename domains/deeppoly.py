"""Linear relaxation with back-substitution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor

from absdomain.bounds import Bounds
from absdomain.domain import Domain
from absdomain.kinds import Affine, Nonlinear, Shape
from absdomain.region import Region
from absdomain.rows import Rows
from absdomain.slopes import Policy, adaptive

_BUDGET = 2**21  # coefficients in flight at once


@dataclass(frozen=True, eq=False)
class Relation:
    """An activation, known by two lines in its predecessors' activations: what DeepPoly keeps of a neuron.

    `pull` takes rows over this activation to rows over the arguments and a constant, such that
    <c, x> >= <c', args> + constant (Singh et al. 2019, section 3; CROWN, Zhang et al. 2018, theorem 3.2).
    """

    shape: Shape
    args: tuple[Relation, ...]
    pull: Callable[[Rows], tuple[tuple[Rows, ...], Tensor | None]] | None  # None: the input
    region: Region
    signed: bool = False  # pull depends on the signs of the rows
    depth: int = 0  # the longest way to the input
    widest: int = 0  # entries of the largest activation on the way to the input
    moved: Region | None = None  # the activation's own region, where only diagonal ops lie before it
    exact: Callable[[], Bounds] | None = None  # its exact interval hull, where one op gives it


@dataclass(frozen=True)
class DeepPoly(Domain[Relation]):
    """{ x : A' x_prev + b' <= x <= A x_prev + b } neuron by neuron: DeepPoly, CROWN; Fast-Lin with parallel slopes.

    `transfer` only records; `bounds` substitutes backwards down to the region's support function.
    """

    slopes: Policy = adaptive
    relational = True

    def __post_init__(self) -> None:
        if not callable(self.slopes):
            raise TypeError(f"slopes is {self.slopes!r}, which is no policy; give one of absdomain.slopes")

    def lift(self, region: Region) -> Relation:
        shape = tuple(region.centre.shape[1:])
        return Relation(shape, (), None, region, widest=prod(shape), moved=region, exact=region.box)

    def affine(self, op: Affine, *args: Relation) -> Relation:
        shapes = tuple(e.shape for e in args)
        moved = exact = None
        if len(args) == 1 and args[0].moved is not None:
            exact = partial(args[0].moved.hull, op)
            moved = args[0].moved.moved(op) if op.diagonal else None
        return _after(args, op.shape(*shapes), lambda rows: op.pull(rows, *shapes), moved=moved, exact=exact)

    def relax(self, op: Nonlinear, args: tuple[Relation, ...], within: tuple[Bounds, ...] | None) -> Relation:
        boxes = within if within is not None else self.boxes(op, args)
        below, above = op.lines(*self.slopes(op, boxes), boxes)
        shape = op.shape(*(e.shape for e in args))
        return _after(args, shape, lambda rows: op.split(rows, below, above), signed=True)

    def bounds(self, e: Relation, where: Tensor | None = None) -> Bounds:
        if e.exact is not None:
            return e.exact()
        like = e.region.centre
        batch, size = like.shape[0], prod(e.shape)
        index = torch.arange(size, device=like.device)
        if where is not None:
            index = where.reshape(batch, size).any(0).nonzero().squeeze(1)
        lower, upper = like.new_full((batch, size), -torch.inf), like.new_full((batch, size), torch.inf)
        ends = [_minimum(e, Rows.units(part, e.shape, like), both=True).chunk(2) for part in _chunks(e, index)]
        if ends:
            lower = lower.index_copy(1, index, torch.cat([low for low, _ in ends]).t())
            upper = upper.index_copy(1, index, torch.cat([-low for _, low in ends]).t())
        return Bounds(lower.view(batch, *e.shape), upper.view(batch, *e.shape))

    def lower(self, e: Relation) -> Tensor:
        return self.bounds(e).lower if e.exact is not None else _end(e, lambda rows: rows)

    def upper(self, e: Relation) -> Tensor:
        return self.bounds(e).upper if e.exact is not None else -_end(e, Rows.negated)


def _after(
    args: tuple[Relation, ...],
    shape: Shape,
    pull: Callable[[Rows], tuple[tuple[Rows, ...], Tensor | None]],
    *,
    signed: bool = False,
    moved: Region | None = None,
    exact: Callable[[], Bounds] | None = None,
) -> Relation:
    depth = 1 + max(e.depth for e in args)
    widest = max(prod(shape), *(e.widest for e in args))
    return Relation(shape, args, pull, args[0].region, signed, depth, widest, moved, exact)


def _chunks(e: Relation, index: Tensor) -> tuple[Tensor, ...]:
    """The rows' indices in parts whose coefficients stay within the budget."""
    return index.split(max(1, _BUDGET // (2 * e.widest * e.region.centre.shape[0]))) if len(index) else ()


def _end(e: Relation, signed: Callable[[Rows], Rows]) -> Tensor:
    """Minima of all neurons of e, or of their negatives, (B, *shape)."""
    like = e.region.centre
    index = torch.arange(prod(e.shape), device=like.device)
    ends = [_minimum(e, signed(Rows.units(part, e.shape, like))) for part in _chunks(e, index)]
    return torch.cat(ends).t().reshape(-1, *e.shape)


def _minimum(e: Relation, rows: Rows, *, both: bool = False) -> Tensor:
    """A lower bound of <c_k, e> over the region, (K, B); with `both`, of <c_k, e> and then of <-c_k, e>, (2 K, B).

    The rows stay unsigned, serving both ends, until the first relaxation.
    """
    pending = {e: rows}
    constant = rows.like.new_zeros(()) if rows.like is not None else rows.data.new_zeros(())
    while e.pull is not None:
        rows = pending.pop(e)
        if both and e.signed:
            rows, pending = rows.signed(), {node: other.signed() for node, other in pending.items()}
            constant, both = _doubled(constant), False
        parts, const = e.pull(rows)
        constant = constant if const is None else constant + const
        for arg, part in zip(e.args, parts, strict=True):
            pending[arg] = pending[arg] + part if arg in pending else part
        depth = max([node.depth for node in pending])
        e = next(node for node in pending if node.depth == depth)
    rows = pending[e]
    if both:
        rows, constant = rows.signed(), _doubled(constant)
    return e.region.minimum(rows) + constant


def _doubled(constant: Tensor) -> Tensor:
    return torch.cat([constant, -constant]) if constant.dim() else constant
