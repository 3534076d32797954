"""One sample's question, with what rounding may do to any bound of it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from absdomain.branching.known import Known
from absdomain.certification.question import Question
from absdomain.domain import AnyDomain
from absdomain.graph import Graph
from absdomain.kinds import Nonlinear
from absdomain.linear import Bounds
from absdomain.region import Region
from absdomain.rounding import widened
from absdomain.spec import Spec

_SUBSETS = 5  # rows of a group whose subsets are all averaged


@dataclass(frozen=True, eq=False)
class Target:
    """For all x of the region: each group of rows C f(x) + d has one that is positive. One sample, float64.

    The slack is what rounding may add to a computed bound of a row, over the region and over every part of it: errors
    are bounded by the largest numbers that occur, which a part has no larger.
    """

    graph: Graph  # frozen, each nonlinear op an object of its own
    region: Region
    spec: Spec  # groups numbered from 0
    errors: Mapping[Nonlinear, tuple[Tensor, ...]]  # of the ops' arguments, (1, *shape)
    boxes: Mapping[Nonlinear, tuple[Bounds, ...]]  # of the same, over the whole region
    slack: Tensor  # (K,)
    bounds: Tensor  # (K,) lower bounds over the whole region
    caution: float = 1.0  # by which the slack was multiplied

    @property
    def groups(self) -> Tensor:
        """The number of each row's group, (K,)."""
        assert self.spec.groups is not None
        return self.spec.groups

    @property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.groups.max()) + 1

    @property
    def size(self) -> int:
        """Entries of the input."""
        return prod(self.graph.input.shape)

    def cautious(self, domain: AnyDomain) -> Known:
        """The domain, relaxing over its own boxes widened by the rounding errors of their ends."""

        def answer(op: Nonlinear, boxes: tuple[Bounds, ...] | None) -> tuple[Bounds, ...]:
            assert boxes is not None
            return tuple(widened(box, e) for box, e in zip(boxes, self.errors[op], strict=True))

        return Known(domain, answer)

    def rows(self, x: Tensor) -> Tensor:
        """C f(x) + d at points (B, *shape), (B, K), as the frozen graph computes it."""
        z = self.graph(x).flatten(1)
        return z @ self.spec.C[0].t() + self.spec.d

    def worst(self, rows: Tensor) -> Tensor:
        """min over the groups of max over their rows, (B,) of (B, K)."""
        return self.best(rows).amin(1)

    def best(self, rows: Tensor) -> Tensor:
        """max over each group's rows, (B, G)."""
        empty = rows.new_full((len(rows), self.count), -torch.inf)
        return empty.scatter_reduce(1, self.groups.expand_as(rows), rows, "amax")


def target(question: Question, domain: AnyDomain, caution: float = 1.0) -> Target:
    """A sample's question and its bounds by a domain over the whole region; `question` has one sample.

    `caution` multiplies the slack: what is proved then is so much above 0, for callers with an allowance of their own.
    """
    graph, spec = apart(question.frozen), with_means(numbered(question.spec))
    question = replace(question, frozen=graph, spec=spec)
    answer, whole = question.ask(domain), question.whole
    errors, boxes = {}, {}
    for step in whole.schedule:
        if isinstance(step.op, Nonlinear):
            errors[step.op] = tuple(answer.rounded[whole.nodes[a].name].error for a in step.args)
            boxes[step.op] = answer.boxes[whole.nodes[step.place].name]
    slack, bounds = caution * answer.slack[0], answer.decision.lower[0]
    return Target(graph, question.region, spec, errors, boxes, slack, bounds, caution)


def with_means(spec: Spec) -> Spec:
    """The property with more rows: a group of several also has means of them, which are positive only if one is."""
    assert spec.groups is not None
    weights, groups = _sets(spec.groups)
    weights = weights.to(spec.C)
    return Spec(weights @ spec.C, (weights @ spec.d.unsqueeze(2)).squeeze(2), groups)


def _sets(groups: Tensor) -> tuple[Tensor, Tensor]:
    """(weights (K', K) whose first K rows are the unit ones, the group of each)."""
    count = len(groups)
    rows, names = list(torch.eye(count, dtype=torch.float64)), groups.tolist()
    for group in dict.fromkeys(groups.tolist()):
        places = (groups == group).nonzero().flatten().tolist()
        masks = range(1, 2 ** len(places)) if len(places) <= _SUBSETS else [2 ** len(places) - 1]
        for mask in masks:
            chosen = [place for bit, place in enumerate(places) if mask >> bit & 1]
            if len(chosen) > 1:
                row = torch.zeros(count, dtype=torch.float64)
                row[chosen] = 1 / len(chosen)
                rows.append(row)
                names.append(group)
    return torch.stack(rows), torch.tensor(names)


def numbered(spec: Spec) -> Spec:
    """The same property with groups numbered 0, 1, ...; without groups each row is one."""
    count = spec.C.shape[1]
    groups = torch.arange(count) if spec.groups is None else spec.groups.unique(return_inverse=True)[1]
    return Spec(spec.C, spec.d, groups)


def apart(graph: Graph) -> Graph:
    """The same graph, in which no two nodes share an op object: decisions are kept by op."""
    seen, fresh = set[int](), {}
    for node in graph.nodes:
        if node.op is not None and id(node.op) in seen:
            fresh[node.name] = copy(node.op)
        seen.add(id(node.op))
    return graph.with_ops(fresh) if fresh else graph
