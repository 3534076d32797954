"""|computed - real|: how far rounding may move what is computed of a network, node by node.

A computed sum of n products is off by at most gamma_n = n u / (1 - n u) times the sum of their absolute values, in any
order of summation, with or without fused multiplication (Higham 2002, sections 3.1 and 4.2; u is the unit roundoff).
What the arguments are off by, an affine op multiplies by |A|, and a nonlinear one by its steepest slope over a box that
holds the exact arguments and the computed ones. So the error of a node bounds both what an evaluation in floating point
is off by, and what bounds are off by that are substituted or propagated through the node's relaxation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod

import torch
from torch import Tensor

from absdomain.graph import Graph, Step
from absdomain.kinds import Affine, Nonlinear
from absdomain.linear import Bounds
from absdomain.linear.axes import flat, spread
from absdomain.region import Region
from absdomain.spec import Spec

# A bound is made of sums that an evaluation lacks: of centre and radius, of coefficients times intercepts, and of the
# coefficients themselves. Each has the same terms, in absolute value.
_SUMS = 4

Boxes = Mapping[str, tuple[Bounds, ...]]  # node -> boxes that hold the arguments of its nonlinear op


@dataclass(frozen=True, eq=False)
class Computed:
    """An activation: interval bounds as computed, and how far from real arithmetic they and the values may be."""

    box: Bounds  # (B, *shape)
    error: Tensor  # (B, *shape), >= 0, perhaps inf; never NaN
    lost: Tensor  # (B,), >= 0: what underflow may have cost by here, in units of the smallest normal number

    @property
    def wide(self) -> Bounds:
        """[lower - error, upper + error]: it holds the real values and the computed ones."""
        return widened(self.box, self.error)


def widened(box: Bounds, error: Tensor) -> Bounds:
    """[lower - error, upper + error]; an end that is not known becomes infinite, and no width falls to rounding."""
    low, high = box.lower - error, box.upper + error
    none = torch.full_like(low, -inf)
    return Bounds(
        torch.where(low.isnan(), none, torch.nextafter(low, none)),
        torch.where(high.isnan(), -none, torch.nextafter(high, -none)),
    )


def source(box: Bounds) -> Computed:
    """The input: its box is off by the rounding of centre and radius."""
    return _computed(box, _SUMS * _unit(box.lower) * largest(box), _lost(box, prod(box.shape)))


def affine(op: Affine, args: Sequence[Computed], terms: int) -> Computed:
    """|A| e + gamma (|A| |x| + |b|) and what underflow costs, for sums of so many terms."""
    size = op.modulus(*(largest(e.wide) for e in args))
    size = size if op.offset_size is None else size + op.offset_size
    error = op.modulus(*(e.error for e in args)) + _SUMS * _gamma(terms, size) * size
    box = op.image(*(e.box for e in args))
    return _computed(box, error, _lost(box, terms) + sum(e.lost for e in args))


def nonlinear(op: Nonlinear, args: Sequence[Computed], boxes: tuple[Bounds, ...], terms: int) -> Computed:
    """sum_i |s_i| e_i + gamma (|f| + sum_i |s_i| |x_i|) + u forward_error, for slopes s within the boxes, which hold x.

    A relaxation is meant that is taken over these boxes. Over bounds that may miss x by e_i, a line may miss f by more.
    """
    image = op.image(boxes)
    steep = op.linearised(op.steepness(boxes))
    moved = steep(*(e.error for e in args))
    size = largest(image) + 2 * steep(*(largest(box) for box in boxes))
    own = _SUMS * _gamma(terms, size) * size + 2 * _unit(size) * op.forward_error(boxes)
    lost = _lost(image, terms) + sum(_lost(box, terms) for box in boxes)  # a gate that underflows is missing from x
    return _computed(image, moved + own, lost + sum(e.lost for e in args))


def _computed(box: Bounds, error: Tensor, lost: Tensor) -> Computed:
    """With what underflow costs: in every product here, and in coefficients that fusing made of those before.

    Each is off by a smallest normal number (by less where subnormal ones are kept), times what it reads; later weights
    multiply that.
    """
    error = error + torch.finfo(lost.dtype).tiny * spread(lost, box.lower.dim() - 1)
    return Computed(box, _known(error.expand_as(box.lower)), lost)


def evaluated(graph: Graph, region: Bounds, known: Boxes | None = None) -> list[Computed]:
    """The errors of every node of a graph over a box of inputs, (B, *shape) each.

    `known`: boxes of the arguments of nonlinear nodes that hold the real values, tighter than interval arithmetic's;
    what is computed of the graph lies within the error of them.
    """
    found: list[Computed] = [source(region)]
    for step in graph.schedule:
        args = [found[a] for a in step.args]
        found.append(stepped(graph, step, args, (known or {}).get(graph.nodes[step.place].name)))
    return found


def allowance(graph: Graph, region: Region, spec: Spec | None = None) -> Tensor:
    """How far rounding may lift a bound of graph(x), or of C graph(x) + d, above its true value, (B,).

    Of a bound whose relaxations are taken over boxes widened by the errors, as `certify` takes them, and of an
    evaluation at any x of the region, in the region's dtype. `Domain.propagate` relaxes over bounds as they come: what
    rounding has cut off them is not in this number.
    """
    with torch.no_grad():
        output = evaluated(graph, region.box())[-1]
        if spec is None:
            return flat(output.error, 1).amax(1)
        spec = spec.to(region.centre)
        return asked(output, spec.C, spec.d).amax(1)


def stepped(graph: Graph, step: Step, args: Sequence[Computed], boxes: tuple[Bounds, ...] | None) -> Computed:
    """One step of a graph; `boxes` hold the real values of a nonlinear op's arguments (None: their own do)."""
    match step.op:
        case Affine() as op:
            return affine(op, args, _terms(graph, (*step.args, step.place)))
        case Nonlinear() as op:
            # bands of all entries on the way to the output may be added up, as zonotopes do with their symbols
            return nonlinear(op, args, holding(args, boxes), _terms(graph, range(len(graph.nodes))))
    raise TypeError(f"{type(step.op).__name__} is neither Affine nor Nonlinear (absdomain.kinds); derive it from one")


def holding(args: Sequence[Computed], boxes: tuple[Bounds, ...] | None) -> tuple[Bounds, ...]:
    """Boxes of the real and the computed arguments; `boxes`, where they are given, hold the real ones."""
    if boxes is None:
        return tuple(e.wide for e in args)
    # twice: a fused graph's real values are as far from these as an evaluation is
    return tuple(_meet(widened(b, 2 * e.error), e.wide) for b, e in zip(boxes, args, strict=True))


def _terms(graph: Graph, places: Iterable[int]) -> int:
    """The longest sum over the entries of these nodes and along the graph, with a bias."""
    return sum(prod(graph.nodes[place].shape) for place in places) + len(graph.schedule) + 2


def asked(output: Computed, C: Tensor, d: Tensor) -> Tensor:
    """|C| e + gamma (|C| |z| + |d|), (B, K): the error of C z + d at an output z, with what underflow costs."""
    weights, error = C.abs(), flat(output.error, 1).unsqueeze(-1)
    size = (weights @ flat(largest(output.wide), 1).unsqueeze(-1)).squeeze(-1) + d.abs()
    own = _SUMS * _gamma(C.shape[-1] + 2, size) * size
    lost = (output.lost + _lost(output.wide, C.shape[-1] + 2)).unsqueeze(1)
    return _known((weights @ error).squeeze(-1) + own + torch.finfo(lost.dtype).tiny * lost)


def _gamma(count: int, like: Tensor) -> float:
    part = count * _unit(like)
    return part / (1 - part) if part < 0.5 else inf


def _unit(like: Tensor) -> float:
    return torch.finfo(like.dtype).eps / 2


def largest(box: Bounds) -> Tensor:
    """max |x| over the box, entry by entry."""
    return torch.maximum(box.lower.abs(), box.upper.abs())


def _known(error: Tensor) -> Tensor:
    """A number that is not known may be anything; what is known was itself computed, so a little more."""
    return error.nan_to_num(nan=inf, posinf=inf) * 1.001


def _lost(box: Bounds, count: int) -> Tensor:
    """A coefficient that a smallest number is missing from reads each of these values."""
    return count * (1 + flat(_known(largest(box)), 1).amax(1))


def _meet(one: Bounds, other: Bounds) -> Bounds:
    """Both hold the values, so what they share does; where rounding left nothing, the first."""
    met = one.meet(other)
    empty = ~(met.lower <= met.upper)
    return Bounds(torch.where(empty, one.lower, met.lower), torch.where(empty, one.upper, met.upper))
