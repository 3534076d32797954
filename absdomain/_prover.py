"""From a batch of images to its verdicts: what concrete points show, what bounds prove, and that the two agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from absdomain.algebra import AnyDomain
from absdomain.attack import Attacked, Network, inside, margin, rounded_towards
from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.lowering import UnsupportedOp
from absdomain.region import Region
from absdomain.rounding import allowance
from absdomain.spec import margins
from absdomain.verdict import Reason, Refused, Status, Verdict


class SoundnessError(AssertionError):
    """A point of a region beats a bound over it: a defect of a domain or of an operation, never of the caller."""


class Attack(Protocol):
    """Anything that looks for a misclassified point of a region, as `Pgd` does; its text names it in results."""

    def __call__(
        self, model: Network, region: Region, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> Attacked: ...


@dataclass(frozen=True, eq=False)
class Seen:
    """What concrete points of a batch's regions show: the images, and with an attack one more point each."""

    logits: Tensor  # (B, classes) at the images; like all margins, of the copy that is certified
    nominal: Tensor  # (B,) margins at the images
    attacked: Tensor | None  # (B,) margins at the attack's points
    correct: Tensor  # (B,) the image has the property
    resisted: Tensor  # (B,) and so has the attack's point
    falsified: Tensor  # (B,) one of them is in the region and lacks it, by the given module as well
    points: Tensor  # (B, *shape) that one, in the given module's dtype

    @property
    def least(self) -> Tensor:
        """(B,) the smallest margin seen; NaN where one is."""
        return self.nominal if self.attacked is None else torch.minimum(self.nominal, self.attacked)


Failure = tuple[Reason, str]


@dataclass(frozen=True, eq=False)
class Answer:
    """What one domain says of the rows that it was asked for."""

    domain: str
    rows: dict[int, tuple[float, Failure | None]]  # row -> min over j of its bounds of z_y - z_j; None: a proof

    @property
    def proved(self) -> list[int]:
        """The rows that it verifies."""
        return [row for row, (_, failure) in self.rows.items() if failure is None]


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
            answers.append(self.ask(domain, rows, indices, images, labels, seen))
            if not self.every:
                undecided[answers[-1].proved] = False
        return [_verdict(row, index, int(labels[row]), seen, answers) for row, index in enumerate(indices)]

    def observe(self, indices: list[int], images: Tensor, labels: Tensor) -> Seen:
        """Try the images, and the attack's points: rounded to the module's dtype within the region, and run again."""
        wide = images.to(self.dtype)
        region = self.region(wide)
        for row in (~inside(region, wide)).nonzero().flatten().tolist():
            raise ValueError(f"certify: image {indices[row]} lies outside its own region; is it clipped to its pixels?")
        own = next((p.dtype for p in self.original.parameters()), images.dtype)
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
        return Seen(logits, nominal, attacked, correct, resisted, falsified, points)

    def ask(
        self, domain: AnyDomain, rows: Tensor, indices: list[int], images: Tensor, labels: Tensor, seen: Seen
    ) -> Answer:
        """The domain's lower bounds for the samples `rows`, each held against every point seen."""
        region = self.region(images[rows].to(self.dtype))
        spec = margins(labels[rows], self.classes)
        try:
            with torch.no_grad():
                trace = domain.propagate(self.graph, region, spec)
                bounds = trace.lower
        except UnsupportedOp as refusal:
            refused = -torch.inf, (Reason.REFUSED, str(refusal))
            return Answer(str(domain), dict.fromkeys(rows.tolist(), refused))
        if trace.guarantee is not Guarantee.SOUND:  # of a region, too, that only this batch has
            raise Refused(f"certify refuses {domain} over {type(region).__name__}: {trace.guarantee.name}, not SOUND")
        lower, least, slack = bounds.amin(1), seen.least[rows], allowance(self.graph, region, spec)
        for place in (least < lower - slack).nonzero().flatten().tolist():
            row = int(rows[place])
            raise SoundnessError(_contradiction(indices[row], int(labels[row]), domain, lower[place], row, seen))
        enough = slack if self.margin is None else torch.full_like(slack, self.margin)
        if not self.strict and self.margin is None:
            enough = torch.zeros_like(slack)
        finite = bounds.isfinite().all(1) & least.isfinite()
        proved = finite & seen.resisted[rows] & (lower > enough if self.strict else lower >= enough)
        nodes = [""] * len(rows) if bool(finite.all()) else self.first_non_finite(domain, region)
        columns = (rows.tolist(), proved.tolist(), finite.tolist(), lower.tolist(), enough.tolist(), nodes)
        told = {
            row: (low, None if proof else _failure(fine, low, near, node))
            for row, proof, fine, low, near, node in zip(*columns, strict=True)
        }
        return Answer(str(domain), told)

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


def _contradiction(index: int, label: int, domain: AnyDomain, lower: Tensor, row: int, seen: Seen) -> str:
    nominal = seen.attacked is None or bool(seen.nominal[row] <= seen.attacked[row])
    return (
        f"image {index}, label {label}: {domain} claims that every margin over the region is at least {lower:.9g}, "
        f"but {'the image itself' if nominal else 'the attack'} shows a point of the region with "
        f"{seen.least[row]:.9g}: a defect of that domain, of an operation of this network, or of absdomain; "
        "please report it"
    )


def _failure(finite: bool, lower: float, enough: float, node: str) -> Failure:
    if not finite:
        return Reason.NON_FINITE, f"first at {node}"
    if lower < -enough:
        return Reason.LOOSE, f"lower bound {lower:.6g}"
    return Reason.ROUNDING, f"lower bound {lower:.3g} is not above the allowance {enough:.3g}"


def _verdict(row: int, index: int, label: int, seen: Seen, answers: list[Answer]) -> Verdict:
    told = {answer.domain: answer.rows[row] for answer in answers if row in answer.rows}
    proofs = tuple(domain for domain, (_, failure) in told.items() if failure is None)
    known = Verdict(
        index=index,
        label=label,
        status=Status.UNKNOWN,
        by=None,
        nominal=seen.nominal[row].item(),
        attacked=None if seen.attacked is None else seen.attacked[row].item(),
        lower={domain: lower for domain, (lower, _) in told.items()},
        verified_by=proofs,
        correct=bool(seen.correct[row]),
        resisted=bool(seen.resisted[row]),
    )
    if bool(seen.falsified[row]):
        by = "attack" if known.correct else "nominal"
        return replace(known, status=Status.FALSIFIED, by=by, witness=seen.points[row].cpu().clone())
    if proofs:
        return replace(known, status=Status.VERIFIED, by=proofs[0])
    order = list(Reason)
    failures = [(order.index(f[0]), -lower, f"{domain}: {f[1]}") for domain, (lower, f) in told.items() if f]
    rank, _, detail = min(failures)
    return replace(known, reason=order[rank], detail=detail)
