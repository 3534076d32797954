"""verify: the answer to a question, complete where that can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

import torch
from torch import Tensor

from absdomain.branching.axes import AxisSearch
from absdomain.branching.falsify import descended
from absdomain.branching.outcome import Limits, Outcome, Verdict
from absdomain.branching.signs import SignSearch
from absdomain.branching.target import Target, target
from absdomain.certification.question import Question
from absdomain.domain import AnyDomain, parse
from absdomain.graph import Graph, freeze
from absdomain.region import Region
from absdomain.spec import Spec

_AXES = 12  # entries of the input that vary: up to here the input is halved, beyond it activations are
_BATCH = 512
Replay = Callable[[Tensor], bool]  # a point (*shape): does the network itself break the property there?


def verify(
    graph: Graph,
    region: Region,
    spec: Spec,
    *,
    domain: AnyDomain | str = "box & deeppoly",
    limits: Limits | None = None,
    replay: Replay | None = None,
    batch: int = _BATCH,
) -> Outcome:
    """for all x in region: spec holds of graph(x), for a region of one sample.

    `unsat` is a proof in real arithmetic on the numbers of the graph; `sat` comes with a point that `replay` confirms
    (by default the graph itself, evaluated in its dtype).
    """
    limits = limits or Limits()
    domain = parse(domain) if isinstance(domain, str) else domain
    spec = spec.to(region.centre)
    confirm = replay or _own(graph, spec)
    with torch.no_grad():
        question = Question(graph, freeze(graph), region, spec)
        asked = target(question, domain)
        tried = _Tried(asked, region, confirm)
        if bool(asked.spec.holds(asked.bounds.unsqueeze(0), asked.slack).all()):
            return Outcome(Verdict.UNSAT, limits.spent, 1, float(asked.bounds.min()))
        point = tried(descended(asked, region, steps=30, restarts=24))
        if point is not None:
            return Outcome(Verdict.SAT, limits.spent, 1, -inf, point=point)
        box = region.box()
        varying = int((box.upper > box.lower).sum())
        search: AxisSearch | SignSearch
        search = AxisSearch(asked, domain, batch, tried) if varying <= _AXES else SignSearch(asked, batch, tried)
        reason, bound, point = search.run(limits)
    if point is not None:
        return Outcome(Verdict.SAT, limits.spent, search.branches, -inf, point=point)
    if not reason:
        return Outcome(Verdict.UNSAT, limits.spent, search.branches, inf)
    verdict = Verdict.TIMEOUT if reason.startswith("time") else Verdict.UNKNOWN
    return Outcome(verdict, limits.spent, search.branches, bound, reason)


class _Tried:
    """points -> one of the region at which the property is broken, and confirmed to be, or None."""

    def __init__(self, asked: Target, region: Region, confirm: Replay) -> None:
        self.asked, self.region, self.confirm = asked, region, confirm

    def __call__(self, points: Tensor) -> Tensor | None:
        with torch.no_grad():
            points = self.region.select(torch.zeros(len(points), dtype=torch.long)).project(points)
            unsafe = self.asked.unsafe(self.asked.rows(points))
            for place in unsafe.nonzero().flatten().tolist()[:16]:
                if self.confirm(points[place]):
                    return points[place]
        return None


def _own(graph: Graph, spec: Spec) -> Replay:
    """The graph as it is given, and the property without the means that a search adds."""

    def confirmed(point: Tensor) -> bool:
        z = graph(point.unsqueeze(0)).flatten(1)
        rows = (spec.C @ z.unsqueeze(2)).squeeze(2) + spec.d
        return bool(rows.isfinite().all()) and not bool(spec.holds(rows).all())

    return confirmed
