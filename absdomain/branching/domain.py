"""Branch and bound as a domain: complete where certification asks for the signs of margins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from absdomain.branching.decide import settled
from absdomain.branching.outcome import Limits, Verdict
from absdomain.branching.record import record_of
from absdomain.branching.target import target
from absdomain.certification.question import Question
from absdomain.domain import AnyDomain, Decision, Domain, Traits
from absdomain.domains import Box, DeepPoly
from absdomain.graph import Graph, Node
from absdomain.kinds import Affine, Nonlinear, Op, Shape
from absdomain.linear import Bounds, Ends, Rows
from absdomain.ops import Dense
from absdomain.region import Region
from absdomain.spec import Spec
from absdomain.values import moved

_CAUTION = 8.0  # times the slack: whoever asks has an allowance of its own, which may be some times as large


@dataclass(frozen=True, eq=False)
class Recorded:
    """An activation: the element of the domain that bounds it, and how it came about."""

    region: Region
    op: Op | None
    args: tuple[Recorded, ...]
    shape: Shape
    inner: Any


@dataclass(frozen=True)
class Branching(Domain[Recorded]):
    """gamma(e) of the domain `by`, whose `decide` splits the question until all parts are proved or a point is found.

    Bounds are those of `by`. `decide`, which certification asks, gives lower bounds that are positive where the search
    has proved all entries of the element positive, or one of each group, within `timeout` seconds for each sample. It
    searches in float64, whatever the dtype, for more than that dtype's rounding.
    """

    lemma = "branching"
    by: AnyDomain = Box() & DeepPoly()
    timeout: float = 60.0  # seconds for a sample

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ValueError(f"branching: timeout is {self.timeout} seconds; give a number above 0")

    @property
    def traits(self) -> Traits:
        return replace(self.by.traits, differentiable=False, monotone=False)

    def lift(self, region: Region) -> Recorded:
        return Recorded(region, None, (), tuple(region.centre.shape[1:]), self.by.lift(region))

    def affine(self, op: Affine, *args: Recorded) -> Recorded:
        return _made(op, args, self.by.affine(op, *(e.inner for e in args)))

    def relax(self, op: Nonlinear, args: tuple[Recorded, ...], boxes: tuple[Bounds, ...] | None) -> Recorded:
        return _made(op, args, self.by.relax(op, tuple(e.inner for e in args), boxes))

    def boxes(
        self, op: Nonlinear, args: tuple[Recorded, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        return self.by.boxes(op, tuple(e.inner for e in args), asked)

    def bounds(self, e: Recorded, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        return self.by.bounds(e.inner, where, ends)

    def planes(self, e: Recorded) -> tuple[Rows, Tensor] | None:
        return self.by.planes(e.inner)

    def decide(self, e: Recorded, groups: Tensor | None = None) -> Decision:
        like = e.region.centre
        known = self.by.decide(e.inner, groups).lower.flatten(1)
        rows = known.shape[1]
        spec = Spec(torch.eye(rows).unsqueeze(0).to(like), torch.zeros(1, rows).to(like), groups)
        lower, points, expired = known.clone(), e.region.project(like), []
        for sample in range(len(like)):
            graph, index = graph_of(e, sample), torch.tensor([sample])
            one, caution = _in_float64(Question(graph, graph, e.region.select(index), spec), self.by)
            asked = target(one, self.by, caution)
            limits, record = Limits(seconds=self.timeout), record_of(one.region)
            outcome = settled(one, asked, self.by, limits, _found, record=record)
            if outcome.verdict is Verdict.UNSAT:  # of each group some row, at any point
                lower[sample] = torch.maximum(known[sample], asked.slack[:rows].to(like))
            if outcome.point is not None:
                points[sample] = outcome.point
            expired.append(outcome.verdict is Verdict.TIMEOUT)
        return Decision(lower.view(-1, *e.shape), points, torch.tensor(expired, device=like.device))


def _in_float64(question: Question, by: AnyDomain) -> tuple[Question, float]:
    """A sample's question in float64, and by how much its slack there is multiplied to be that of its own dtype."""
    like = question.region.centre.to(torch.float64)
    if question.region.centre.dtype == like.dtype:
        return question, _CAUTION
    graph, region = moved(question.frozen, like), moved(question.region, like)
    wide = Question(graph, graph, region, question.spec)
    own, exact = question.ask(by).slack.to(like), wide.ask(by).slack
    return wide, _CAUTION * float((own / exact).nan_to_num(torch.inf).clamp(min=1).max())


def _found(point: Tensor) -> Tensor:
    """The caller tries the points on the network itself."""
    return point


def _made(op: Op, args: tuple[Recorded, ...], inner: Any) -> Recorded:
    return Recorded(args[0].region, op, args, op.shape(*(e.shape for e in args)), inner)


def graph_of(e: Recorded, sample: int) -> Graph:
    """The graph of all operations that made an element, as this sample has them: rows may differ by sample."""
    places: dict[int, int] = {}
    nodes: list[Node] = []
    for each in _ordered(e):
        args = tuple(places[id(arg)] for arg in each.args)
        places[id(each)] = len(nodes)
        nodes.append(Node(f"node {len(nodes)}", _of_sample(each.op, sample), args, each.shape))
    return Graph.of(nodes)


@singledispatch
def _of_sample(op: Op | None, sample: int) -> Op | None:
    """An op as this sample has it: the same one, but for rows of a specification."""
    return op


@_of_sample.register
def _(op: Dense, sample: int) -> Dense:
    """A specification's rows (B, K, n), fused or not, are those of each sample."""
    weight, bias = op.weight, op.bias
    weight = weight[sample : sample + 1] if weight.dim() > 2 and len(weight) > 1 else weight
    return Dense(weight, bias[sample : sample + 1] if bias is not None and bias.dim() > 1 and len(bias) > 1 else bias)


def _ordered(e: Recorded) -> Iterator[Recorded]:
    """Every activation on which e depends and e itself, each after its arguments, once."""
    seen, pending = set[int](), [(e, False)]
    while pending:
        each, ready = pending.pop()
        if ready:
            yield each
        elif id(each) not in seen:
            seen.add(id(each))
            pending.append((each, True))
            pending += [(arg, False) for arg in reversed(each.args)]
