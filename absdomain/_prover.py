"""From a batch of images to its verdicts: what concrete points show, what bounds prove, and that the two agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from absdomain._evidence import Answer, Seen, SoundnessError, Told, check_agreement, failure, verdict
from absdomain.algebra import AnyDomain
from absdomain.attack import Attacked, Network, inside, margin, rounded_towards
from absdomain.domain import Decision
from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.lowering import UnsupportedOp
from absdomain.region import Region
from absdomain.rounding import allowance
from absdomain.spec import margins
from absdomain.verdict import Reason, Refused, Verdict


class Attack(Protocol):
    """Anything that looks for a misclassified point of a region, as `Pgd` does; its text names it in results."""

    def __call__(
        self, model: Network, region: Region, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> Attacked: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Prover:
    """A network, a region around every image, and the means to decide; `judge` does one batch."""

    original: nn.Module  # the given module: a copy in evaluation mode
    exact: nn.Module  # the same in the certification's dtype
    graph: Graph  # and lowered
    classes: int
    region: Callable[[Tensor], Region]
    domains: tuple[AnyDomain, ...]
    every: bool
    attack: Attack | None
    seed: int
    margin: float | None
    strict: bool
    dtype: torch.dtype

    def judge(self, indices: list[int], images: Tensor, labels: Tensor) -> list[Verdict]:
        """The verdicts of images (B, *shape) with labels (B,); `indices` are their places in the whole set."""
        seen = self.observe(indices, images, labels)
        answers: list[Answer] = []
        undecided = torch.ones_like(seen.falsified) if self.every else ~seen.falsified
        for domain in self.domains:
            rows = undecided.nonzero().squeeze(1)
            if not len(rows):
                break
            answer, seen = self.ask(domain, rows, images, labels, seen)
            answers.append(answer)
            check_agreement(answers, seen, indices, labels)
            if not self.every:
                undecided[answer.proved] = False
                undecided &= ~seen.falsified
        return [verdict(row, index, int(labels[row]), seen, answers) for row, index in enumerate(indices)]

    def observe(self, indices: list[int], images: Tensor, labels: Tensor) -> Seen:
        """Try the images, and the attack's points: rounded to the module's dtype within the region, and run again."""
        wide = images.to(self.dtype)
        region = self.region(wide)
        for row in (~inside(region, wide)).nonzero().flatten().tolist():
            raise ValueError(f"certify: image {indices[row]} lies outside its own region; is it clipped to its pixels?")
        own = self._own(images)
        narrow = images.to(own)
        logits = _run(self.exact, wide)
        self._check_graph(wide, logits, region)
        nominal = margin(logits, labels)
        correct, points, attacked = self._has(nominal), narrow, None
        if self.attack is not None:
            generator = torch.Generator(images.device).manual_seed(self.seed + indices[0])
            found = self.attack(self.original, self.region(narrow), labels, generator=generator)
            tried = rounded_towards(region.project(found.points.detach().to(self.dtype)), wide, own)
            usable = correct & inside(region, tried.to(self.dtype))
            points = torch.where(usable.view(-1, *[1] * (images.dim() - 1)), tried, narrow)
            held = inside(region, points.to(self.dtype))  # an image rounded to the module's dtype may lie outside
            attacked = torch.where(held, margin(_run(self.exact, points.to(self.dtype)), labels), nominal)
        resisted = correct if attacked is None else correct & self._has(attacked)
        again = margin(_run(self.original, points), labels)
        confirmed = ~self._has(again) & again.isfinite() & inside(region, points.to(self.dtype))
        violated = nominal if attacked is None else attacked
        falsified = ~resisted & confirmed & violated.isfinite() & ~self._has(violated)
        none = torch.full_like(nominal, torch.inf)
        return Seen(logits, nominal, attacked, correct, resisted, falsified, points, none, {})

    def ask(self, domain: AnyDomain, rows: Tensor, images: Tensor, labels: Tensor, seen: Seen) -> tuple[Answer, Seen]:
        """The domain's lower bounds for the samples `rows`, and what has been seen with the points that it found."""
        wide, labels = images[rows].to(self.dtype), labels[rows]
        region, spec = self.region(wide), margins(labels, self.classes)
        try:
            with torch.no_grad():
                trace = domain.propagate(self.graph, region, spec)
                decision = domain.decide(trace.output)
        except UnsupportedOp as refusal:
            refused = Told(-torch.inf, (Reason.REFUSED, str(refusal)))
            return Answer(str(domain), dict.fromkeys(rows.tolist(), refused)), seen
        if trace.guarantee is not Guarantee.SOUND:  # of a region, too, that only this batch has
            raise Refused(f"certify refuses {domain} over {type(region).__name__}: {trace.guarantee.name}, not SOUND")
        if decision.points is not None:
            seen = seen.with_found(str(domain), rows, *self._tried(decision.points, wide, labels))
        slack = allowance(self.graph, region, spec)
        finite = decision.lower.isfinite().all(1) & seen.least[rows].isfinite()
        nodes = [""] * len(rows) if bool(finite.all()) else self.first_non_finite(domain, region)
        return Answer(str(domain), self._told(decision, rows, slack, finite, nodes, seen)), seen

    def _told(
        self, decision: Decision, rows: Tensor, slack: Tensor, finite: Tensor, nodes: list[str], seen: Seen
    ) -> dict[int, Told]:
        """Per row what the bounds say: a proof above the allowance for rounding, or why there is none."""
        lower = decision.lower.amin(1)
        enough = slack if self.margin is None else torch.full_like(slack, self.margin)
        if not self.strict and self.margin is None:
            enough = torch.zeros_like(slack)
        resisted = seen.resisted[rows] & self._has(seen.met[rows])
        proved = finite & resisted & (lower > enough if self.strict else lower >= enough)
        expired = torch.zeros_like(proved) if decision.expired is None else decision.expired & ~proved
        columns = (rows, proved, finite, lower, enough, slack, expired)
        return {
            row: Told(low, None if proof else failure(fine, low, near, node, late), allowed, late)
            for (row, proof, fine, low, near, allowed, late), node in zip(
                zip(*(column.tolist() for column in columns), strict=True), nodes, strict=True
            )
        }

    def _tried(self, points: Tensor, wide: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points that a domain found, in the module's dtype within their regions; margins; whether the module errs."""
        region, own = self.region(wide), self._own(wide)
        tried = rounded_towards(region.project(points.to(self.dtype)), wide, own)
        held = inside(region, tried.to(self.dtype))
        here = margin(_run(self.exact, tried.to(self.dtype)), labels)
        again = margin(_run(self.original, tried), labels)
        errs = ~self._has(here) & here.isfinite() & ~self._has(again) & again.isfinite()
        return tried, torch.where(held & here.isfinite(), here, torch.inf), held & errs

    def _own(self, images: Tensor) -> torch.dtype:
        """The given module's dtype."""
        return next((p.dtype for p in self.original.parameters()), images.dtype)

    def _check_graph(self, wide: Tensor, logits: Tensor, region: Region) -> None:
        """What is certified is the frozen graph: hold it against the module at every image. NaN is told later."""
        with torch.no_grad():
            drift = (self.graph(wide) - logits).abs().amax(1)
        if bool((drift > allowance(self.graph, region)).any()):
            raise SoundnessError(
                f"the graph that is certified differs from the module by {drift.nan_to_num().max():.3g} at an image; "
                "a defect of lowering or of rewriting; please report it"
            )

    def first_non_finite(self, domain: AnyDomain, region: Region) -> list[str]:
        """Per sample, the first node with a bound that is NaN or infinite; "the output's margins" if none has one."""
        with torch.no_grad():
            trace = domain.propagate(self.graph, region, keep=True)
            found: list[str] = []
            for node in self.graph.nodes:
                bounds = trace.at(node.name)
                finite = bounds.lower.isfinite() & bounds.upper.isfinite()
                fine = finite.reshape(len(finite), -1).all(1).tolist()
                found = found or [""] * len(fine)
                found = [name or ("" if ok else f"node {node.name!r}") for name, ok in zip(found, fine, strict=True)]
        return [name or "the margins of the output" for name in found]

    def _has(self, margins: Tensor) -> Tensor:
        """Whether a point with this margin has the property; NaN has not."""
        return margins > 0 if self.strict else margins >= 0


def _run(module: nn.Module, points: Tensor) -> Tensor:
    with torch.no_grad():
        return module(points)
