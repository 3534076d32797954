"""for all x in a region: C f(x) + d > 0. What is asked, made once, and what one domain says of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from absdomain.domain import Decision, Domain
from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.kinds import Nonlinear
from absdomain.linear import Bounds
from absdomain.linear.axes import flat
from absdomain.region import Region
from absdomain.rounding import Boxes, asked, evaluated, source, stepped, widened
from absdomain.runtime.precision import own_dtype
from absdomain.spec import Spec


@dataclass(frozen=True, eq=False)
class Said:
    """What one domain says: lower bounds of C f(x) + d, and how far rounding may have lifted each above the truth."""

    decision: Decision
    slack: Tensor  # (B, K), perhaps inf; never NaN
    guarantee: Guarantee
    unbounded: str | None  # the first node whose rounding is not bounded, for any sample

    @property
    def proved(self) -> Tensor:
        """(B, K): the bound is above zero by more than rounding; NaN and inf prove nothing."""
        return (self.decision.lower > self.slack) & self.decision.lower.isfinite()


@dataclass(frozen=True, eq=False)
class Question:
    """for all x in region: C f(x) + d > 0, sample by sample, of f as it is given and as it is evaluated."""

    given: Graph
    frozen: Graph  # the same function, fused: what domains bound
    region: Region
    spec: Spec

    def select(self, index: Tensor) -> Question:
        """The same of some samples."""
        return Question(self.given, self.frozen, self.region.select(index), self.spec.select(index))

    @cached_property
    def _whole(self) -> Graph:
        """x -> C f(x) + d."""
        return self.spec.to(self.region.centre).of(self.frozen)

    def ask(self, domain: Domain[object]) -> Said:
        """Lower bounds with relaxations over boxes that are widened by what rounding may have cut off them.

        So a line that is computed encloses the real values, but for the rounding of its own numbers. `slack` adds up
        what the bounds' arithmetic may be off by, what fusing the graph changed, and what an evaluation of the given
        one is off by: above it, the property holds in real arithmetic and as the network is evaluated in this dtype.
        """
        graph, region = self._whole, self.region
        with torch.no_grad(), own_dtype(region.centre):
            elements: list[object] = [domain.lift(region)]
            rounded, boxes = [source(region.box())], dict[str, tuple[Bounds, ...]]()
            for step in graph.schedule:
                args, sized = tuple(elements[a] for a in step.args), [rounded[a] for a in step.args]
                within = None
                match step.op:
                    case Nonlinear() as op:
                        own = domain.boxes(op, args)
                        within = tuple(widened(b, e.error) for b, e in zip(own, sized, strict=True))
                        boxes[graph.nodes[step.place].name] = within
                        elements.append(domain.relax(op, args, within))
                    case op:
                        elements.append(domain.transfer(op, *args))
                rounded.append(stepped(graph, step, sized, within))
                for place in step.dead:
                    elements[place] = None
            decision = domain.decide(elements[-1])
            slack = rounded[-1].error + self.evaluation_error(boxes)
        endless = [n.name for n, r in zip(graph.nodes, rounded, strict=True) if not bool(r.error.isfinite().all())]
        guarantee = min(domain.guarantee, region.guarantee)
        return Said(decision, slack, guarantee, endless[0] if endless else None)

    def drift(self) -> Tensor:
        """How far apart f as it is given and f as it is fused may be, both evaluated at a point of the region, (B,)."""
        with torch.no_grad():
            box = self.region.box()
            given, frozen = (evaluated(graph, box)[-1] for graph in (self.given, self.frozen))
            apart = 2 * given.error + frozen.error  # two evaluations, and what fusing changed
            return flat(apart, 1).amax(1)

    def evaluation_error(self, boxes: Boxes | None = None) -> Tensor:
        """What evaluating C f(x) + d, and fusing it, may be off by, (B, K); `boxes` as in `rounding.evaluated`."""
        spec = self.spec.to(self.region.centre)
        return 2 * asked(evaluated(self.given, self.region.box(), boxes)[-1], spec.C, spec.d)
