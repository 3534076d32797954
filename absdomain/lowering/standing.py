"""Whether the steps of a graph are the operation that they stand for, up to the rounding of that one operation.

They are given the operation's own arguments, so that rounding does not add up on the way to them: what remains is that
of one operation, of which `rounding` says how large it may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from absdomain.graph import Graph, Step
from absdomain.kinds import Affine, Nonlinear
from absdomain.linear import Bounds
from absdomain.rounding import Computed
from absdomain.rounding import errors as rounding

_ROUNDOFFS = 64  # of the largest entry: what passes without a look at how it was rounded
_ORDERS = 4  # times the rounding of our way to compute it: other kernels have ways of their own
_FEW = 8  # operations of a nonlinear op, and beside the sum of an affine one


@dataclass(frozen=True, eq=False)
class Stand:
    """Steps of a graph that stand for one operation, and the places of its outputs."""

    steps: Sequence[Step]
    outputs: Sequence[int]
    target: str  # the operation, as a message names it
    owner: str  # what it is part of
    floor: float = 0.0  # what passes whatever the size of the output

    def held(self, graph: Graph, args: Mapping[int, Tensor], found: Sequence[Tensor]) -> None:
        """Refuses the steps unless they give the outputs that were found, up to rounding, on these arguments."""
        values = self.values(args)
        self._agreed(graph, args, values, found)

    def values(self, args: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The arguments, and what every step makes of them, by place."""
        values = dict(args)
        for step in self.steps:
            values[step.place] = step.op(*(values[a] for a in step.args))
        return values

    def agreed(self, graph: Graph, args: Mapping[int, Tensor], ours: Sequence[Tensor], found: Sequence[Tensor]) -> None:
        """Refuses outputs that somebody else has computed on these arguments, unless they are those, up to rounding."""
        self._agreed(graph, args, {**args, **dict(zip(self.outputs, ours, strict=True))}, found)

    def _agreed(
        self, graph: Graph, args: Mapping[int, Tensor], values: Mapping[int, Tensor], found: Sequence[Tensor]
    ) -> None:
        for place, theirs in zip(self.outputs, found, strict=True):
            gap = difference(values[place], theirs)
            if gap is not None and bool((gap <= self.floor + _ROUNDOFFS * _unit(theirs) * _size(theirs)).all()):
                continue
            if gap is None or not bool((gap <= self._allowed(args, place, theirs)).all()):
                raise ValueError(self._difference(graph, values, place, theirs))

    def _allowed(self, args: Mapping[int, Tensor], place: int, like: Tensor) -> Tensor:
        """What rounding makes of an output; where that is not known, a part of its size."""
        rounded = {a: Computed(Bounds(v, v), torch.zeros_like(v), v.new_zeros(len(v))) for a, v in args.items()}
        for step in self.steps:
            rounded[step.place] = _rounded(step, [rounded[a] for a in step.args])
        error = _ORDERS * rounded[place].error
        return torch.where(error.isfinite(), error, rough(like))

    def _difference(self, graph: Graph, values: Mapping[int, Tensor], place: int, theirs: Tensor) -> str:
        """The first step that overflows where the operation does not, or the output that differs."""
        ours, rows = values[place], f"on a batch of {len(theirs)}"
        made = [step.place for step in self.steps if step.place in values]
        endless = [place for place in made if not bool(values[place].isfinite().all())]
        overflows = bool(endless) and bool(theirs.isfinite().all())
        node = graph.nodes[endless[0] if overflows else place]
        where = f"at node {node.name!r} ({type(node.op).__name__}), which stands for {self.target}, {rows}"
        if overflows:
            return (
                f"the lowered graph overflows in {theirs.dtype} {where}, where {self.owner} is finite; make the "
                "weights before it smaller, or leave the layer out"
            )
        shapes = f"{tuple(ours.shape)} is not {tuple(theirs.shape)}"
        gap = f"{(ours - theirs).abs().max().item():.3g}" if ours.shape == theirs.shape else shapes
        return f"the lowered graph differs from {self.owner} by {gap} {where}; it is a fault in a lowering rule"


def difference(ours: Tensor, theirs: Tensor) -> Tensor | None:
    """|ours - theirs|, 0 where both are the same infinity or NaN, inf where one is; None for two shapes."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return None
    same = (ours == theirs) | (ours.isnan() & theirs.isnan())
    return torch.where(same, 0.0, (ours - theirs).abs().nan_to_num(nan=torch.inf, posinf=torch.inf))


def _size(value: Tensor) -> Tensor:
    """The largest entry that is finite."""
    return value.abs().nan_to_num(nan=0.0, posinf=0.0).max()


def rough(value: Tensor) -> Tensor:
    """eps^(2/3) times the largest entry, or 1: what passes for rounding where its size is not known; 0-dim."""
    return torch.finfo(value.dtype).eps ** (2 / 3) * _size(value).clamp(min=1.0)


def _unit(like: Tensor) -> float:
    return torch.finfo(like.dtype).eps / 2


def _rounded(step: Step, args: Sequence[Computed]) -> Computed:
    """The error of a step; in a sum of n terms about sqrt(n) roundings add up (Higham and Mary 2019)."""
    match step.op:
        case Affine() as op:
            weight = None if op.weight is None else torch.ones_like(op.weight)
            reads = op.linear(weight, *(torch.ones_like(e.error[:1]) for e in args)).max().item()
            return rounding.affine(op, args, ceil(_FEW * (1 + reads**0.5)))
        case Nonlinear() as op:
            return rounding.nonlinear(op, args, tuple(e.wide for e in args), _FEW)
    raise TypeError(f"{type(step.op).__name__} is neither Affine nor Nonlinear (absdomain.kinds); derive it from one")
