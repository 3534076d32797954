"""decide: for all x in a region, a spec holds; complete where that can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, prod
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from absdomain.attack import inside, rounded_towards
from absdomain.branching.axes import AxisSearch
from absdomain.branching.decisions import Layout
from absdomain.branching.falsify import descended
from absdomain.branching.outcome import Cause, Limits, Outcome, Reason, Verdict
from absdomain.branching.pairs import pairwise
from absdomain.branching.race import Found, Search, raced
from absdomain.branching.record import UNRECORDED, Record
from absdomain.branching.signs import SignSearch
from absdomain.branching.target import Target, target
from absdomain.certification.arguments import check_sound
from absdomain.certification.question import Question
from absdomain.domain import AnyDomain, Domain, parse
from absdomain.domains.deeppoly import DeepPoly
from absdomain.errors import check_count, check_type
from absdomain.graph import Graph, freeze
from absdomain.kinds import Nonlinear
from absdomain.region import Region
from absdomain.relations.search import Ascent
from absdomain.spec import Spec
from absdomain.values import leaves, moved

EVERYDAY, _SYMBOLS = "box & deeppoly", 1024
_WIDE = f"deeppoly.guided(by=box & zonotope(symbols={_SYMBOLS}))"
_NUMBERS = 2**26  # of the zonotopes of a batch, in their widest activation
_ROWS = 500_000_000  # coefficients of all activations' rows over the widest one
_AXES = 24  # entries of the input that vary: beyond so many, halves of it are not worth their time
_BATCH = 512
_FIRST = 2.0  # seconds of search before the boxes of activations are bounded more tightly
_PER_SECOND = 250_000  # slopes that such an ascent finds in a second, roughly
_LIGHT, _HEAVY = (30, 24), (200, 64)  # steps and restarts of the attack: before the search, and where it has not ended
Replay = Callable[[Tensor], Tensor | None]  # a point (*shape) -> one next to it that does break the property, or None


def decide(
    graph: Graph,
    region: Region,
    spec: Spec,
    *,
    domain: AnyDomain | str | None = None,
    limits: Limits | None = None,
    replay: Replay | None = None,
    batch: int = _BATCH,
    record: Record = UNRECORDED,
    executed: torch.dtype | None = None,
) -> list[Outcome]:
    """For each sample of the region, whether the spec holds of graph(x) at all of its x: bounds, then a search.

    `unsat`: proved, in real arithmetic on the numbers of the graph, whatever its dtype. `sat`: with a point that
    `replay` confirms, by default the graph in its own dtype, at a point of that. `domain` bounds the region and the
    parts of its input; where many entries vary, it is activations that are split, with the slopes and multipliers of
    `climb`. All samples share the limits. `record` is told of each sample how it was proved. With `executed`, `unsat`
    is of the graph as machines evaluate it in that dtype (`absdomain.rounding.executed`), and so in real arithmetic,
    too.
    """
    check_type("decide", graph, Graph, "lower a module first: absdomain.to_graph(module, example)")
    check_type("decide", region, Region, "make one, such as absdomain.Linf(x, eps)")
    check_type("decide", spec, Spec, "make one, such as absdomain.margins(labels, classes)")
    if tuple(region.centre.shape[1:]) != graph.input.shape:
        raise ValueError(
            f"decide: the region's points have shape {tuple(region.centre.shape)}, but the graph takes a batch "
            f"(B, {', '.join(map(str, graph.input.shape))})"
        )
    check_type("decide, domain", domain, (str, Domain, NoneType), "give its text, or an instance, such as Box()")
    check_type("decide, limits", limits, (Limits, NoneType), "make them, as in absdomain.branching.Limits(seconds=60)")
    check_type("decide, executed", executed, (torch.dtype, NoneType), "give a dtype, such as torch.float32")
    check_count("decide, batch", batch)
    limits = limits or Limits()
    if domain is None:
        domain, batch = suited(graph, region, batch)
    domain = parse(domain) if isinstance(domain, str) else domain
    check_sound(f"{domain} over {type(region).__name__}", min(domain.guarantee, region.guarantee))
    own = next((t.dtype for t in leaves(graph) if t.is_floating_point()), region.centre.dtype)
    like = region.centre.new_zeros((), dtype=torch.float64)  # cuts allow for the roundoffs of that dtype
    region, wide = moved(region, like), moved(graph, like)
    with torch.no_grad():
        question = Question(wide, freeze(wide), region, spec)
        outcomes = []
        for i in range(len(region.centre)):
            one = question.select(torch.tensor([i]))
            confirm = replay or _own(graph, one, own)
            one = one if executed is None else one.executed(executed, domain)
            outcomes.append(settled(one, target(one, domain), domain, limits, confirm, batch, record))
        return outcomes


def suited(graph: Graph, region: Region, batch: int = _BATCH) -> tuple[AnyDomain, int]:
    """The everyday domain, and how many parts at once it is asked for: `batch`, or as many as fit into memory.

    Where the network is so wide that its rows are too many, and few entries of the input vary, zonotopes bound the
    activations, and rows are carried back from the output alone.
    """
    sizes = [prod(node.shape) for node in graph.nodes]
    rows = sum(sizes[a] for step in graph.schedule if isinstance(step.op, Nonlinear) for a in step.args)
    if rows * max(sizes) <= _ROWS or _varying(region) > _AXES:
        return parse(EVERYDAY), batch
    return parse(_WIDE), min(batch, max(1, _NUMBERS // (max(sizes) * _SYMBOLS)))


def _varying(region: Region) -> int:
    """Entries of the input that vary in some sample."""
    box = region.box()
    return int((box.upper > box.lower).flatten(1).any(0).sum())


def settled(
    question: Question,
    asked: Target,
    domain: AnyDomain,
    limits: Limits,
    replay: Replay,
    batch: int = _BATCH,
    record: Record = UNRECORDED,
) -> Outcome:
    """One sample's outcome: `asked` is the question with its bounds by the domain over the whole region."""
    began = limits.spent
    if bool(asked.spec.holds(asked.bounds.unsqueeze(0), asked.slack).all()):
        record.proved(asked, ())
        return Outcome(Verdict.UNSAT, limits.spent - began, 1, float(asked.bounds.min()))
    region = question.region
    tried = _Tried(asked, region, replay)
    point = tried(descended(asked, region, *_LIGHT))
    found = Found(-inf, None, point)
    searches: list[Search[Any]] = []
    if point is None:
        paired = replace(question, frozen=pairwise(question.frozen))  # each kink is of one variable
        split = asked if paired.frozen is question.frozen else target(paired, domain, asked.caution)
        searches = _searches(asked, split, domain, batch, tried, record)
        found = raced(searches, limits, tried.tie, _FIRST)
    if found.pausing:
        sharper = _sharper(paired, domain, split, limits)
        if sharper is not None:
            searches = [*searches[:-1], SignSearch(sharper, batch, tried, record)]
        found = raced(searches, limits, tried.tie)
    if found.point is None and found.reason is not None and limits.expired(0) is None:
        found = replace(found, point=tried(descended(asked, region, *_HEAVY)))
    branches = 1 + sum(search.branches for search in searches)
    known = Outcome(Verdict.UNKNOWN, limits.spent - began, branches, found.bound, str(found.reason or ""))
    if found.point is not None:
        return replace(known, verdict=Verdict.SAT, bound=-inf, reason="", point=found.point)
    if found.reason is None:
        record.proved(asked, searches)
        return replace(known, verdict=Verdict.UNSAT)
    return replace(known, verdict=Verdict.TIMEOUT) if found.reason.cause is Cause.TIME else known


def _sharper(question: Question, domain: AnyDomain, asked: Target, limits: Limits) -> Target | None:
    """The question with tighter boxes, by an ascent for each undecided entry; None where that would take too long."""
    if not asked.boxes:
        return None
    layout = Layout.of(asked.boxes)
    work = len(layout) * int(layout.unsettled(*layout.ends(asked.boxes)).sum())
    if work > _PER_SECOND * min(limits.seconds - limits.spent, 600.0) / 4:
        return None
    return target(question, domain & DeepPoly(search=Ascent(steps=20, intermediate=True)), asked.caution)


def _searches(
    asked: Target, split: Target, domain: AnyDomain, batch: int, tried: Replay, record: Record
) -> list[Search[Any]]:
    """Halves of the input where it is a box of which few entries vary, and decisions on activations of `split`."""
    found: list[Search[Any]] = []
    if asked.region.constraints().is_box and _varying(asked.region) <= _AXES:
        found.append(AxisSearch(asked, domain, batch, tried))
    if split.boxes:
        found.append(SignSearch(split, batch, tried, record))
    return found


class _Tried:
    """points -> one of the region at which the property is broken, and confirmed to be, or None."""

    def __init__(self, asked: Target, region: Region, confirm: Replay) -> None:
        self.asked, self.region, self.confirm = asked, region, confirm
        self.slack, self.tied = float(asked.slack.max()), False
        best, slacks = (asked.best(t.unsqueeze(0))[0] for t in (asked.bounds - asked.slack, asked.slack))
        self.near = _TIE * float(slacks[~(best > 0)].min())  # rows may differ in scale: by the finest that is open

    def __call__(self, points: Tensor) -> Tensor | None:
        with torch.no_grad():
            points = self.region.select(torch.zeros(len(points), dtype=torch.long)).project(points)
            rows = self.asked.rows(points)
            worst, known = self.asked.worst(rows), self.asked.worst(rows - self.asked.slack)
            for place in worst.argsort().tolist()[:_CONFIRMED]:
                if not bool(worst[place] <= self.slack):
                    return None
                found = self.confirm(points[place])
                if found is not None:
                    return found
                self.tied |= bool(known[place] <= 0)
        return None

    def tie(self, bound: float) -> Reason | None:
        """Why it is in vain to search on: a point is unsafe but for rounding, and no point is so by much more."""
        if not self.tied or bound < -self.near:
            return None
        told = f"the least value is a tie, within {self.near:.1g} of 0, which rounding hides"
        return Reason(Cause.PRECISION, f"{told}; ask with another threshold")


_CONFIRMED = 16  # points of a batch that are replayed at most
_TIE = 16  # slacks: least values nearer to 0 are not told apart from it


def _own(graph: Graph, question: Question, dtype: torch.dtype) -> Replay:
    """The graph as it is given, evaluated in its own dtype; of one sample."""
    spec = question.spec

    def confirmed(point: Tensor) -> Tensor | None:
        near = within(question.region, point, dtype)
        if near is None:
            return None
        z = graph(near.unsqueeze(0)).flatten(1).to(spec.C)
        rows = (spec.C @ z.unsqueeze(2)).squeeze(2) + spec.d
        return near if bool(rows.isfinite().all()) and not bool(spec.holds(rows).all()) else None

    return confirmed


def within(region: Region, point: Tensor, dtype: torch.dtype) -> Tensor | None:
    """A point (*shape) of a dtype, next to one of the region (of one sample) and of it, too; None: there is none."""
    if point.dtype == dtype:
        return point
    near = rounded_towards(point.unsqueeze(0), region.project(region.centre), dtype)
    return near[0] if bool(inside(region, near.to(point.dtype)).all()) else None
