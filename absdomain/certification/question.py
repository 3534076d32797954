"""for all x in a region: C f(x) + d > 0. The question, made once for a batch, and one domain's answer to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from absdomain.domain import Decision, Domain
from absdomain.graph import Graph, freeze
from absdomain.guarantee import Guarantee
from absdomain.kinds import Nonlinear
from absdomain.linear import Bounds
from absdomain.linear.axes import flat
from absdomain.region import Region
from absdomain.rounding import Boxes, Computed, asked, evaluated, radii, source, stepped, widened, with_radii
from absdomain.runtime.precision import own_dtype
from absdomain.spec import Spec


@dataclass(frozen=True, eq=False)
class Answer:
    """Lower bounds of C f(x) + d by one domain, and how far rounding may have lifted each above the true minimum.

    `spec.holds(decision.lower, slack)` is what they prove.
    """

    decision: Decision
    slack: Tensor  # (B, K), perhaps inf; never NaN
    guarantee: Guarantee
    boxes: Boxes  # over which nonlinear ops were relaxed
    rounded: Mapping[str, Computed]  # every node of `Question.whole`

    @cached_property
    def unbounded(self) -> str | None:
        """The first node whose rounding is not bounded, for any sample."""
        return next((name for name, e in self.rounded.items() if not bool(e.error.isfinite().all())), None)


@dataclass(frozen=True, eq=False)
class Question:
    """for all x in region: C f(x) + d > 0, sample by sample, of f in real arithmetic and of f as it is evaluated.

    What depends on no domain (the graph of C f(x) + d, the region's box, `drift`) is made once, at its first use.
    """

    given: Graph
    frozen: Graph  # the same function, fused: what domains bound
    region: Region
    spec: Spec  # in the region's dtype, whatever it is given in

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", self.spec.to(self.region.centre))

    def select(self, index: Tensor) -> Question:
        """The same question about the samples at these places, (R,); for all samples in order it is this one."""
        samples = len(self.region.centre)
        if len(index) == samples and torch.equal(index, torch.arange(samples, device=index.device)):
            return self
        return Question(self.given, self.frozen, self.region.select(index), self.spec.select(index))

    def executed(self, dtype: torch.dtype, domain: Domain[object], batch: int = 100) -> Question:
        """The same question of f as machines evaluate it in `dtype`; the domain bounds the sizes that are rounded.

        One network for all samples: each result is off by what it may be off in any of them.
        """
        found = dict[str, Tensor]()
        for index in torch.arange(len(self.region.centre), device=self.region.centre.device).split(batch):
            part = self.select(index)
            for name, radius in radii(self.given, part._box, dtype, part.ask(domain).boxes).items():
                found[name] = torch.maximum(found[name], radius) if name in found else radius
        graph = with_radii(self.given, found)
        return replace(self, given=graph, frozen=freeze(graph))

    @cached_property
    def whole(self) -> Graph:
        """x -> C f(x) + d."""
        return self.spec.of(self.frozen)

    @cached_property
    def _box(self) -> Bounds:
        return self.region.box()

    def ask(self, domain: Domain[object]) -> Answer:
        """Lower bounds of C f(x) + d, from relaxations over boxes widened by the rounding errors of their ends.

        So a computed line encloses the real values, up to the rounding of its own coefficients. `slack` is the sum of
        three errors: of the bounds' arithmetic, of the fusing of weights, and of an evaluation of the given graph. A
        bound above it proves the property in real arithmetic and for the network as it is evaluated in this dtype.
        """
        graph, region = self.whole, self.region
        with torch.no_grad(), own_dtype(region.centre):
            elements: list[object] = [domain.lift(region)]
            rounded, boxes = [source(self._box)], dict[str, tuple[Bounds, ...]]()
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
            decision = domain.decide(elements[-1], self.spec.groups)
            slack = rounded[-1].error + self.evaluation_error(boxes)
        guarantee = min(domain.guarantee, region.guarantee)
        names = [node.name for node in graph.nodes]
        return Answer(decision, slack, guarantee, boxes, dict(zip(names, rounded, strict=True)))

    @cached_property
    def drift(self) -> Tensor:
        """How far f as it is given and f as it is fused may differ, both evaluated at a point of the region, (B,)."""
        with torch.no_grad():
            given, frozen = (evaluated(graph, self._box)[-1] for graph in (self.given, self.frozen))
            apart = 2 * given.error + frozen.error  # two evaluations, and what fusing changed
            return flat(apart, 1).amax(1)

    def evaluation_error(self, boxes: Boxes | None = None) -> Tensor:
        """The rounding error of C f(x) + d as given, and of its fusing, (B, K); `boxes` as in `rounding.evaluated`."""
        return 2 * asked(evaluated(self.given, self._box, boxes)[-1], self.spec.C, self.spec.d)
