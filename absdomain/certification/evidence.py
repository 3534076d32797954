"""What points show of a batch, what domains claim of it, that the two agree, and the verdicts that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor

from absdomain.certification.verdict import Reason, Status, Verdict


class SoundnessError(AssertionError):
    """A point of a region beats a bound over it: a defect of a domain or of an operation, never of the caller."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What concrete points of a batch's regions show: the images, an attack's points, and those that domains find."""

    nominal: Tensor  # (B,) margins at the images; like all margins, of the copy that is certified
    attacked: Tensor | None  # (B,) margins at the attack's points
    correct: Tensor  # (B,) the image has the property
    resisted: Tensor  # (B,) and so has the attack's point
    falsified: Tensor  # (B,) one of them is in the region and lacks it, by the given module as well
    points: Tensor  # (B, *shape) that point, in the given module's dtype
    met: Tensor  # (B,) smallest margins at points that domains found; inf where they found none
    finders: dict[int, str]  # row -> the domain that found its point in `points`

    @property
    def least(self) -> Tensor:
        """(B,) the smallest margin seen; NaN where one is."""
        least = torch.minimum(self.nominal, self.met)
        return least if self.attacked is None else torch.minimum(least, self.attacked)

    def with_found(self, domain: str, rows: Tensor, points: Tensor, margins: Tensor, broken: Tensor) -> Evidence:
        """This and what a domain found: a point for each of `rows`, its margin, and whether it is misclassified."""
        fresh = broken & ~self.falsified[rows]
        new = rows[fresh]
        return replace(
            self,
            falsified=self.falsified.index_fill(0, new, True),
            points=self.points.index_copy(0, new, points[fresh]),
            met=self.met.index_copy(0, rows, torch.minimum(self.met[rows], margins)),
            finders=self.finders | dict.fromkeys(new.tolist(), domain),
        )


Failure = tuple[Reason, str]


@dataclass(frozen=True)
class Claim:
    """What a domain claims of one image: its bound of the margin, and why that is no proof."""

    lower: float
    failure: Failure | None  # None: the bound is a proof
    slack: float = 0.0  # how far rounding may have lifted the bound
    expired: bool = False  # time ran out


@dataclass(frozen=True, eq=False)
class Claims:
    """What one domain claims of the rows that it was asked for."""

    domain: str
    rows: dict[int, Claim]

    @property
    def proved(self) -> list[int]:
        """The rows that it verifies."""
        return [row for row, claim in self.rows.items() if claim.failure is None]


def check_agreement(
    claims: list[Claims], evidence: Evidence, indices: list[int], labels: list[int | None]
) -> None:  # fmt: skip
    """SoundnessError if a point that anyone found has a margin below a bound of any domain."""
    least = evidence.least.tolist()
    for each in claims:
        for row, claim in each.rows.items():
            if least[row] < claim.lower - claim.slack:
                label = "" if labels[row] is None else f", label {labels[row]}"
                raise SoundnessError(
                    f"image {indices[row]}{label}: {each.domain} claims that every margin over "
                    f"the region is at least {claim.lower:.9g}, but {_source(row, evidence)} shows a point of the "
                    f"region with {least[row]:.9g}: a defect of that domain, of an operation of this network, or of "
                    "absdomain; please report it"
                )


def _source(row: int, evidence: Evidence) -> str:
    least = evidence.least[row]
    if bool(evidence.nominal[row] == least):
        return "the image itself"
    if evidence.attacked is not None and bool(evidence.attacked[row] == least):
        return "the attack"
    return evidence.finders.get(row, "another domain")


def failure(finite: bool, lower: float, enough: float, node: str | None, expired: bool) -> Failure:
    """Why a lower bound is no proof: time ran out, a number is not finite (first at `node`), or it is too small."""
    if expired:
        return Reason.TIMEOUT, f"time ran out at lower bound {lower:.6g}"
    if not finite:
        return Reason.NON_FINITE, f"first at {node}"
    if lower > 0 and enough == inf:
        return Reason.ROUNDING, f"lower bound {lower:.3g}, but what rounding may add is not bounded, first at {node}"
    if lower < -enough:
        return Reason.LOOSE, f"lower bound {lower:.6g}"
    return Reason.ROUNDING, f"lower bound {lower:.3g} is not above the allowance {enough:.3g}"


def verdict(row: int, index: int, label: int | None, evidence: Evidence, claims: list[Claims]) -> Verdict:
    """What points and bounds together say of the image in this row of its batch."""
    asked = {each.domain: each.rows[row] for each in claims if row in each.rows}
    proofs = tuple(domain for domain, claim in asked.items() if claim.failure is None)
    known = Verdict(
        index=index,
        label=label,
        status=Status.UNKNOWN,
        by=None,
        nominal=evidence.nominal[row].item(),
        attacked=None if evidence.attacked is None else evidence.attacked[row].item(),
        lower={domain: claim.lower for domain, claim in asked.items()},
        verified_by=proofs,
        correct=bool(evidence.correct[row]),
        resisted=bool(evidence.resisted[row]),
        expired=tuple(domain for domain, claim in asked.items() if claim.expired),
    )
    if bool(evidence.falsified[row]):
        by = evidence.finders.get(row, "attack" if known.correct else "nominal")
        return replace(known, status=Status.FALSIFIED, by=by, witness=evidence.points[row].cpu().clone())
    if proofs:
        return replace(known, status=Status.VERIFIED, by=proofs[0])
    order = list(Reason)
    failed = [(domain, claim.lower, claim.failure) for domain, claim in asked.items() if claim.failure is not None]
    failures = [(order.index(reason), -lower, f"{domain}: {text}") for domain, lower, (reason, text) in failed]
    rank, _, detail = min(failures)
    return replace(known, reason=order[rank], detail=detail)
