"""What points show of a batch, what domains say of it, that the two agree, and the verdicts that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor

from absdomain.certification.verdict import Reason, Status, Verdict


class SoundnessError(AssertionError):
    """A point of a region beats a bound over it: a defect of a domain or of an operation, never of the caller."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What concrete points of a batch's regions show: the images, an attack's points, and those that domains find."""

    logits: Tensor  # (B, classes) at the images; like all margins, of the copy that is certified
    nominal: Tensor  # (B,) margins at the images
    attacked: Tensor | None  # (B,) margins at the attack's points
    correct: Tensor  # (B,) the image has the property
    resisted: Tensor  # (B,) and so has the attack's point
    falsified: Tensor  # (B,) one of them is in the region and lacks it, by the given module as well
    points: Tensor  # (B, *shape) that one, in the given module's dtype
    met: Tensor  # (B,) smallest margins at points that domains found; inf where they found none
    finders: dict[int, str]  # row -> the domain that found its point in `points`

    @property
    def least(self) -> Tensor:
        """(B,) the smallest margin seen; NaN where one is."""
        least = torch.minimum(self.nominal, self.met)
        return least if self.attacked is None else torch.minimum(least, self.attacked)

    def with_found(self, domain: str, rows: Tensor, points: Tensor, margins: Tensor, broken: Tensor) -> Seen:
        """And what a domain found: a point for each of `rows`, its margin, and whether it breaks the property."""
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
class Told:
    """What a domain says of one image: the least of its bounds of z_y - z_j, and why that is no proof."""

    lower: float
    failure: Failure | None  # None: it is one
    slack: float = 0.0  # how far rounding may have lifted the bound
    expired: bool = False  # time ran out


@dataclass(frozen=True, eq=False)
class Answer:
    """What one domain says of the rows that it was asked for."""

    domain: str
    rows: dict[int, Told]

    @property
    def proved(self) -> list[int]:
        """The rows that it verifies."""
        return [row for row, told in self.rows.items() if told.failure is None]


def check_agreement(answers: list[Answer], seen: Seen, indices: list[int], labels: Tensor) -> None:
    """No point, whoever found it, has a margin below any domain's bound."""
    least = seen.least.tolist()
    for answer in answers:
        for row, told in answer.rows.items():
            if least[row] < told.lower - told.slack:
                raise SoundnessError(
                    f"image {indices[row]}, label {int(labels[row])}: {answer.domain} claims that every margin over "
                    f"the region is at least {told.lower:.9g}, but {_shower(row, seen)} shows a point of the region "
                    f"with {least[row]:.9g}: a defect of that domain, of an operation of this network, or of "
                    "absdomain; please report it"
                )


def _shower(row: int, seen: Seen) -> str:
    least = seen.least[row]
    if bool(seen.nominal[row] == least):
        return "the image itself"
    if seen.attacked is not None and bool(seen.attacked[row] == least):
        return "the attack"
    return seen.finders.get(row, "another domain")


def failure(finite: bool, lower: float, enough: float, node: str | None, expired: bool) -> Failure:
    """Why a lower bound is no proof: time, a number or an error that is not finite (first at `node`), or its size."""
    if expired:
        return Reason.TIMEOUT, f"time ran out at lower bound {lower:.6g}"
    if not finite:
        return Reason.NON_FINITE, f"first at {node}"
    if lower > 0 and enough == inf:
        return Reason.ROUNDING, f"lower bound {lower:.3g}, but what rounding may add is not bounded, first at {node}"
    if lower < -enough:
        return Reason.LOOSE, f"lower bound {lower:.6g}"
    return Reason.ROUNDING, f"lower bound {lower:.3g} is not above the allowance {enough:.3g}"


def verdict(row: int, index: int, label: int, seen: Seen, answers: list[Answer]) -> Verdict:
    """What points and bounds together say of the image in this row of its batch."""
    told = {answer.domain: answer.rows[row] for answer in answers if row in answer.rows}
    proofs = tuple(domain for domain, one in told.items() if one.failure is None)
    known = Verdict(
        index=index,
        label=label,
        status=Status.UNKNOWN,
        by=None,
        nominal=seen.nominal[row].item(),
        attacked=None if seen.attacked is None else seen.attacked[row].item(),
        lower={domain: one.lower for domain, one in told.items()},
        verified_by=proofs,
        correct=bool(seen.correct[row]),
        resisted=bool(seen.resisted[row]),
        expired=tuple(domain for domain, one in told.items() if one.expired),
    )
    if bool(seen.falsified[row]):
        by = seen.finders.get(row, "attack" if known.correct else "nominal")
        return replace(known, status=Status.FALSIFIED, by=by, witness=seen.points[row].cpu().clone())
    if proofs:
        return replace(known, status=Status.VERIFIED, by=proofs[0])
    order = list(Reason)
    failed = [(domain, one.lower, one.failure) for domain, one in told.items() if one.failure is not None]
    failures = [(order.index(reason), -lower, f"{domain}: {text}") for domain, lower, (reason, text) in failed]
    rank, _, detail = min(failures)
    return replace(known, reason=order[rank], detail=detail)
