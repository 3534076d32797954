"""Where a lower bound loses: at which relaxations, and how much at each.

Back-substitution through lines around every nonlinear op makes a linear bound of a row, <a, x> + b <= <c, f(x)>. At the
point x of the region where it is least, which is the bound,

    <c, f(x)> - bound = sum over the nonlinear ops of <c_k, f_k(z)> - <c_k, lines_k(z)>,

with c_k the coefficients that the substitution holds at op k and z what the op reads at x: affine ops lose nothing. No
term is negative. So all looseness of the bound, and what the point is above the true minimum, is shared out, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.certification.question import Question
from absdomain.domain import AnyDomain, Guided, parse
from absdomain.graph import Graph
from absdomain.kinds import Nonlinear
from absdomain.linear import Bounds, Rows
from absdomain.region import Region
from absdomain.relations import ascent, backward
from absdomain.relations.ascent import Pace
from absdomain.relations.backward import Constant, Pull, Relation
from absdomain.rounding import Boxes
from absdomain.runtime.precision import own_dtype

LINES = "deeppoly", "deeppoly(search=ascent)"  # as they are, and the best of a search
PACE = Pace(20, 0.25, 0.9)  # of the second
Seen = dict[Relation, tuple[Rows, tuple[Rows, ...], Constant]]  # rows at a node, those of its arguments, the constant


@dataclass(frozen=True, eq=False)
class Looseness:
    """Of one row of each sample: value = bound + costs.sum(1), and where that comes from."""

    names: tuple[str, ...]  # of the nonlinear nodes, L of them, in order
    bound: Tensor  # (B,) lower bound of the row, by the lines over the boxes
    value: Tensor  # (B,) the row's value at the point
    points: Tensor  # (B, *shape) where the linear bound is least
    costs: Tensor  # (B, L), what each op's lines lose there

    def loosest(self, sample: int) -> str | None:
        """The node that costs this sample most; None: no bound is finite, or nothing is lost."""
        costs = self.costs[sample]
        if not len(costs) or not bool(costs.isfinite().all()) or not bool((costs > 0).any()):
            return None
        return self.names[int(costs.argmax())]


def looseness(question: Question, boxes: Boxes, row: Tensor, *, search: bool = True) -> Looseness:
    """What relaxations over these boxes cost the bound of row (B,) of C f(x) + d, sample by sample.

    The lines are the best of a search, or without one CROWN's.
    """
    graph, region = question.whole, question.region
    with torch.no_grad(), own_dtype(region.centre):
        found = related(graph, region, boxes)
        places = [step.place for step in graph.schedule if isinstance(step.op, Nonlinear)]
        e, asked, seen = found[-1], _unit(row, question), Seen()
        pulls = {found[place]: found[place].pull for place in places} | (_searched(e, asked) if search else {})
        noted = {node: _noted(node, pull, seen) for node, pull in pulls.items() if pull is not None}
        rows, constant = backward.to_input(backward.with_pulls(e, noted), asked)
        points = region.argmin(rows.dense().data)[0]
        values = _values(graph, points)
        none = torch.zeros(len(points), dtype=points.dtype, device=points.device)
        costs = [
            _cost(seen[found[place]], values[place], [values[a] for a in graph.nodes[place].args]).expand_as(none)
            if found[place] in seen
            else none
            for place in places
        ]
        return Looseness(
            names=tuple(graph.nodes[place].name for place in places),
            bound=(region.minimum(rows) + constant)[0],
            value=asked.dot(values[-1])[0],
            points=points,
            costs=torch.stack(costs, 1) if costs else none.unsqueeze(1)[:, :0],
        )


def proving(
    question: Question, boxes: Boxes, enough: Tensor, domain: AnyDomain, *, ties: bool = False
) -> list[str | None]:
    """For each sample the cheapest of LINES over the domain's boxes whose bounds prove it, as text; None: neither does.

    They are the domains `lines.guided(by=domain)`, whose bounds are computed here; `enough` (B, K) is what they have to
    exceed, or with `ties` to reach.
    """
    guide = domain.by if isinstance(domain, Guided) else domain  # whose boxes they are
    named: list[str | None] = [None] * len(enough)
    left = torch.arange(len(named), device=enough.device)
    for text in LINES:
        part, lines = question.select(left), parse(text)
        with torch.no_grad(), own_dtype(part.region.centre):
            e = related(part.whole, part.region, selected(boxes, left))[-1]
            proved = part.spec.holds(lines.bounds(e).lower, enough[left], ties=ties)
        for sample in left[proved].tolist():
            named[sample] = str(lines.guided(by=guide))
        left = left[~proved]
        if not len(left) or torch.is_inference_mode_enabled():  # a search takes gradients
            break
    return named


def related(graph: Graph, region: Region, boxes: Boxes) -> list[Relation]:
    """Every node as CROWN relates it to those that it reads, each nonlinear op over its boxes."""
    lines = parse(LINES[0])
    found: list[Relation] = [lines.lift(region)]
    for step in graph.schedule:
        args = tuple(found[a] for a in step.args)
        match step.op:
            case Nonlinear() as op:
                found.append(lines.relax(op, args, boxes[graph.nodes[step.place].name]))
            case op:
                found.append(lines.transfer(op, *args))
    return found


def selected(boxes: Boxes, index: Tensor) -> Boxes:
    """The boxes of the samples at these places, (R,)."""
    return {name: tuple(Bounds(b.lower[index], b.upper[index]) for b in found) for name, found in boxes.items()}


def _unit(row: Tensor, question: Question) -> Rows:
    like = question.region.centre
    none = like.new_zeros(1, len(row), question.spec.C.shape[1])
    return Rows.of(none.scatter(2, row.view(1, -1, 1), 1.0))


def _searched(e: Relation, rows: Rows) -> dict[Relation, Pull]:
    """Better lines for these rows, found by ascent; a search takes gradients, so that there is none in inference."""
    if torch.is_inference_mode_enabled():
        return {}
    return ascent.pulls(e, ascent.ascended(e, rows, PACE))


def _noted(node: Relation, pull: Pull, seen: Seen) -> Pull:
    def pulled(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
        parts, constant = pull(rows)
        seen[node] = rows, parts, constant
        return parts, constant

    return pulled


def _cost(seen: tuple[Rows, tuple[Rows, ...], Constant], value: Tensor, args: list[Tensor]) -> Tensor:
    """<c, f(z)> less the linear bound of it at z, (B,)."""
    rows, parts, constant = seen
    lines = torch.stack([part.dot(z)[0] for part, z in zip(parts, args, strict=True)]).sum(0)
    lost = rows.dot(value)[0] - lines
    return lost if constant is None else lost - (constant[0] if constant.dim() else constant)


def _values(graph: Graph, x: Tensor) -> list[Tensor]:
    """The value of every node at x, (B, *shape) each."""
    values = [x]
    for step in graph.schedule:
        values.append(step.op(*(values[a] for a in step.args)))
    return values
