"""From a batch of images to its verdicts: points are tried, domains are asked, and the two are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from absdomain.attack import Attacked, Goal, Network, inside, rounded_towards
from absdomain.certification.asked import Asked
from absdomain.certification.evidence import Claim, Claims, Evidence, SoundnessError, check_agreement, failure, verdict
from absdomain.certification.question import Answer, Question
from absdomain.certification.unproved import Unproved
from absdomain.certification.verdict import Reason, Refused, Verdict
from absdomain.domain import AnyDomain
from absdomain.guarantee import Guarantee
from absdomain.linear import Bounds
from absdomain.lowering import UnsupportedOp
from absdomain.region import Draws, Region
from absdomain.rounding import evaluated
from absdomain.values import moved


class Attack(Protocol):
    """Anything that looks for a misclassified point of a region, as `Pgd` does; its text names it in results.

    `certify` gives it a generator for each sample, for `Region.sample`, and in the place of labels a `Spec` of the
    network's values where that is what is asked (`absdomain.attack.margin` takes either).
    """

    def __call__(self, model: Network, region: Region, labels: Goal, *, generator: Draws = None) -> Attacked: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Judge:
    """A question about every image, and the means to decide it; `verdicts` does one batch."""

    original: nn.Module  # the given module: a copy in evaluation mode
    exact: nn.Module  # the same in the certification's dtype, or as it is executed
    asked: Asked  # of all images
    question: Question  # of all images, in the certification's dtype
    domains: tuple[AnyDomain, ...]
    every: bool
    attack: Attack | None
    seed: int
    margin: float | None
    strict: bool
    own: torch.dtype  # the given module's
    executed: torch.dtype | None = None  # in which verdicts are of the module; None: in real arithmetic
    explain: bool = True  # which layer loosens the bound of an unknown image most

    def verdicts(self, index: Tensor, images: Tensor) -> list[Verdict]:
        """The verdicts of images (B, *shape); `index` (B,) has their places in the whole set."""
        indices = index.tolist()
        question, asked = self.question.select(index), self.asked.select(index)
        labels = [asked.label(row) for row in range(len(indices))]
        evidence = self.observe(indices, question, images, asked)
        claims: list[Claims] = []
        last: Unproved | None = None
        undecided = torch.ones_like(evidence.falsified) if self.every else ~evidence.falsified
        for domain in self.domains:
            rows = undecided.nonzero().squeeze(1)
            if not len(rows):
                break
            part = question.select(rows)
            claimed, evidence, answer = self.ask(domain, rows, part, asked.select(rows), evidence)
            claims.append(claimed)
            if answer is not None:
                last = Unproved(domain, rows, part, answer, self._enough(answer.slack), ties=not self.strict)
            check_agreement(claims, evidence, indices, labels)
            if not self.every:
                undecided[claimed.proved] = False
                undecided &= ~evidence.falsified
        found = [verdict(row, index, labels[row], evidence, claims) for row, index in enumerate(indices)]
        return last.explained(found) if self.explain and last is not None else found

    def observe(self, indices: list[int], question: Question, images: Tensor, asked: Asked) -> Evidence:
        """What the images and the attack's points show.

        A point is rounded to the given module's dtype, inside the region, before both modules are run at it.
        """
        region, dtype = question.region, question.region.centre.dtype
        wide, narrow = images.to(dtype), images.to(self.own)
        for row in (~inside(region, wide)).nonzero().flatten().tolist():
            raise ValueError(f"certify: image {indices[row]} lies outside its own region; is it clipped to its pixels?")
        exact, original = asked.network(self.exact), asked.network(self.original)
        values = _run(exact, wide)
        self._check_graph(question, wide, values)
        nominal = asked.margins(values)
        correct, points, attacked = self._has(nominal), narrow, None
        if self.attack is not None:
            draws = [torch.Generator(images.device).manual_seed(_mixed(self.seed, index)) for index in indices]
            found = self.attack(original, moved(region, narrow), asked.goal, generator=draws)
            tried = rounded_towards(region.project(found.points.detach().to(dtype)), wide, self.own)
            usable = correct & inside(region, tried.to(dtype))
            points = torch.where(usable.view(-1, *[1] * (images.dim() - 1)), tried, narrow)
            held = inside(region, points.to(dtype))  # an image rounded to the module's dtype may lie outside
            attacked = torch.where(held, asked.margins(_run(exact, points.to(dtype))), nominal)
        resisted = correct if attacked is None else correct & self._has(attacked)
        confirmed = asked.broken(points, _run(original, points), strict=self.strict)
        confirmed &= inside(region, points.to(dtype))
        violated = nominal if attacked is None else attacked
        falsified = ~resisted & confirmed & violated.isfinite() & ~self._has(violated)
        none = torch.full_like(nominal, torch.inf)
        return Evidence(nominal, attacked, correct, resisted, falsified, points, none, {})

    def ask(
        self, domain: AnyDomain, rows: Tensor, question: Question, asked: Asked, evidence: Evidence
    ) -> tuple[Claims, Evidence, Answer | None]:
        """What the domain claims of the samples `rows`, the evidence, to which it may add points, and its answer."""
        try:
            answer = question.ask(domain)
        except UnsupportedOp as refusal:
            refused = Claim(-torch.inf, (Reason.REFUSED, str(refusal)))
            return Claims(str(domain), dict.fromkeys(rows.tolist(), refused)), evidence, None
        region = question.region
        if answer.guarantee is not Guarantee.SOUND:
            raise Refused(f"certify refuses {domain} over {type(region).__name__}: {answer.guarantee.name}, not SOUND")
        if answer.decision.points is not None:
            evidence = evidence.with_found(str(domain), rows, *self._tried(answer.decision.points, region, asked))
        return Claims(str(domain), self._claims(domain, answer, rows, question, evidence)), evidence, answer

    def _claims(
        self, domain: AnyDomain, answer: Answer, rows: Tensor, question: Question, evidence: Evidence
    ) -> dict[int, Claim]:
        """For each of `rows` a proof, where the spec holds at the bounds and no point is against it, or why not."""
        lower, spec, enough = answer.decision.lower, question.spec, self._enough(answer.slack)
        seen = evidence.least[rows].isfinite()
        resisted = evidence.resisted[rows] & self._has(evidence.met[rows])
        proved = seen & resisted & spec.holds(lower, enough, ties=not self.strict)
        finite = seen & lower.isfinite().all(1)
        nodes = [""] * len(rows) if bool(finite.all()) else first_non_finite(domain, question)
        expired = torch.zeros_like(proved) if answer.decision.expired is None else answer.decision.expired & ~proved
        least = lower.gather(1, spec.weakest(lower).unsqueeze(1)).squeeze(1)
        near = enough.gather(1, spec.weakest(lower - enough).unsqueeze(1)).squeeze(1)
        columns = (rows, proved, finite, least, near, answer.slack.amax(1), expired)
        return {
            row: Claim(low, None if proof else failure(fine, low, limit, node or answer.unbounded, late), slack, late)
            for (row, proof, fine, low, limit, slack, late), node in zip(
                zip(*(column.tolist() for column in columns), strict=True), nodes, strict=True
            )
        }

    def _enough(self, slack: Tensor) -> Tensor:
        """What a bound has to exceed, (B, K): the given margin, or else the slack, or 0 where ties count."""
        if self.margin is not None:
            return torch.full_like(slack, self.margin)
        return slack if self.strict else torch.zeros_like(slack)

    def _tried(self, points: Tensor, region: Region, asked: Asked) -> tuple[Tensor, Tensor, Tensor]:
        """(points that a domain found, their margins, whether both modules break what is asked there).

        The points are rounded to the given module's dtype, inside their regions.
        """
        dtype, anchor = region.centre.dtype, region.project(region.centre)
        tried = rounded_towards(region.project(points.to(dtype)), anchor, self.own)
        held = inside(region, tried.to(dtype))
        here = asked.margins(_run(asked.network(self.exact), tried.to(dtype)))
        again = asked.broken(tried, _run(asked.network(self.original), tried), strict=self.strict)
        errs = ~self._has(here) & here.isfinite() & again
        return tried, torch.where(held & here.isfinite(), here, torch.inf), held & errs

    def _check_graph(self, question: Question, wide: Tensor, values: Tensor) -> None:
        """SoundnessError if the frozen graph, which is certified, cannot give what the module does at an image.

        A NaN is no difference: it makes the image unknown.
        """
        with torch.no_grad():
            held = evaluated(question.frozen, Bounds(wide, wide))[-1].box  # of rounded results all that may be
            drift = torch.maximum(held.lower - values, values - held.upper).flatten(1).amax(1)
        if bool((drift > question.drift).any()):
            raise SoundnessError(
                f"the graph that is certified differs from the module by {drift.nan_to_num().max():.3g} at an image; "
                "a defect of lowering or of rewriting; please report it"
            )

    def _has(self, margins: Tensor) -> Tensor:
        """Whether a point with this margin has the property; NaN has not."""
        return margins > 0 if self.strict else margins >= 0


def first_non_finite(domain: AnyDomain, question: Question) -> list[str]:
    """Per sample, the first node with a bound that is NaN or infinite; "the margins of the output" if none has one."""
    with torch.no_grad():
        trace = domain.propagate(question.frozen, question.region, keep=True)
        found: list[str] = []
        for node in question.frozen.nodes:
            bounds = trace.at(node.name)
            finite = bounds.lower.isfinite() & bounds.upper.isfinite()
            fine = finite.reshape(len(finite), -1).all(1).tolist()
            found = found or [""] * len(fine)
            found = [name or ("" if ok else f"node {node.name!r}") for name, ok in zip(found, fine, strict=True)]
    return [name or "the margins of the output" for name in found]


def _mixed(seed: int, index: int) -> int:
    """A seed for each image, which does not depend on its batch."""
    return int(np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0])


class Narrowed(nn.Module):
    """x -> module(x rounded to a dtype), in the dtype of x: the module as a machine executes it."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x.to(self.dtype)).to(x.dtype)


def _run(module: Network, points: Tensor) -> Tensor:
    with torch.no_grad():
        return module(points)
