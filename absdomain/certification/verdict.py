"""What certification says: a verdict per image, and the errors in percent over many."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Refused(ValueError):
    """A domain or a region that does not promise sound bounds was given to certify."""


class Status(StrEnum):
    """What is known of one image."""

    VERIFIED = "verified"
    FALSIFIED = "falsified"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why an image is unknown. Where several domains fail in different ways, the one nearest to a proof is named."""

    ROUNDING = "rounding"  # too near to zero for the arithmetic
    TIMEOUT = "timeout"  # a domain's time ran out before it knew
    LOOSE = "loose"  # a lower bound is negative
    NON_FINITE = "non-finite"  # a value or a bound is NaN or infinite
    REFUSED = "refused"  # the domain has no rule for an operation of this network


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is known of image `index`: for all x in its region, min over j != y of z_y(x) - z_j(x) > 0, or not.

    Where a spec is asked, it is min over its groups of max over their rows of C f(x) + d that is meant, and what breaks
    it where this speaks of misclassified points.
    `nominal` and `attacked` are that minimum at the image and at the worst point tried; `lower` has, for each
    domain that was asked, its lower bound over the region, and `verified_by` the domains whose bound is a proof.
    A domain that looks for the minimum may find the witness; then `by` names it. `expired` are the domains whose time
    ran out. `layer` and `helps` are told of images that are unknown for want of tighter bounds, unless certification
    was asked not to.
    """

    index: int
    label: int | None  # None: a spec was asked
    status: Status
    by: str | None  # what decided: "nominal", "attack", or the text of a domain
    nominal: float
    attacked: float | None = None  # None: no attack was asked for
    lower: dict[str, float] = field(default_factory=dict)
    verified_by: tuple[str, ...] = ()
    correct: bool = True  # the image itself is classified correctly
    resisted: bool = True  # and so is every point that was tried
    reason: Reason | None = None  # of an unknown
    detail: str = ""
    witness: Tensor | None = None  # (*shape), in the model's own dtype: a misclassified point of the region
    expired: tuple[str, ...] = ()
    layer: str | None = None  # of an unknown: the layer whose relaxation costs the last domain's bound most
    helps: str | None = None  # and a domain that proves it, if one was found in passing

    def __repr__(self) -> str:
        best = max((bound for bound in self.lower.values() if np.isfinite(bound)), default=None)
        told = {
            "": f"{self.index}: {self.status}",
            "by": self.by,
            "because": self.reason,
            "margin": f"{self.nominal:.4g}",
            "attacked": None if self.attacked is None else f"{self.attacked:.4g}",
            "bound": None if best is None else f"{best:.4g}",
            "loosest layer": self.layer,
        }
        return f"Verdict({', '.join(f'{name} {value}'.strip() for name, value in told.items() if value is not None)})"

    def to_json(self) -> dict[str, Any]:
        """The verdict in JSON's types: numbers that JSON lacks as words, a witness as base64 of its bytes."""
        row = {f: v for f, v in vars(self).items() if f != "witness"}
        row |= {"nominal": _word(self.nominal), "attacked": None if self.attacked is None else _word(self.attacked)}
        row |= {"lower": {domain: _word(bound) for domain, bound in self.lower.items()}}
        if self.witness is not None:
            array = self.witness.detach().cpu().numpy()
            data = base64.b64encode(array.tobytes()).decode()
            row["witness"] = {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}
        return row

    @staticmethod
    def from_json(row: dict[str, Any]) -> Verdict:
        """The verdict that `to_json` wrote."""
        witness = row.get("witness")
        return Verdict(
            **row
            | {
                "status": Status(row["status"]),
                "reason": None if row["reason"] is None else Reason(row["reason"]),
                "nominal": float(row["nominal"]),
                "attacked": None if row["attacked"] is None else float(row["attacked"]),
                "lower": {domain: float(bound) for domain, bound in row["lower"].items()},
                "verified_by": tuple(row["verified_by"]),
                "expired": tuple(row.get("expired", ())),  # files older than the field are read
                "witness": None if witness is None else _tensor(witness),
            }
        )


def _word(value: float) -> float | str:
    return value if np.isfinite(value) else str(value)


def _tensor(stored: dict[str, Any]) -> Tensor:
    array = np.frombuffer(base64.b64decode(stored["data"]), np.dtype(stored["dtype"]))
    return torch.from_numpy(array.reshape(stored["shape"]).copy())


@dataclass(frozen=True)
class Summary:
    """Errors in percent over `samples` images; clean_error <= pgd_error <= verified_error <= each domain's own."""

    samples: int
    clean_error: float  # images that are misclassified themselves
    pgd_error: float | None  # images with a misclassified point that was found; None: no attack was asked for
    verified_error: float  # images without a proof
    domains: dict[str, float]  # verified error of each domain alone, for the domains that were asked of every image
    reasons: dict[str, int]  # how many images are unknown for which reason
    timeouts: dict[str, int] = field(default_factory=dict)  # images that a domain left open because its time ran out
    timed_out: int = 0  # images that are unknown, and for which some domain's time ran out
    layers: dict[str, int] = field(default_factory=dict)  # images that are unknown, by the layer that loosens most
    helped: dict[str, int] = field(default_factory=dict)  # and by the domain that would prove them, where one is known

    def in_time(self, domain: str | None = None) -> float:
        """The verified error of one domain, or of all together, if every time-out had ended in a proof."""
        if domain is None:
            return self.verified_error - 100 * self.timed_out / self.samples
        return self.domains[domain] - 100 * self.timeouts.get(domain, 0) / self.samples

    def __repr__(self) -> str:
        attacked = "" if self.pgd_error is None else f", PGD {self.pgd_error:.2f}"
        alone = "".join(f"; {domain} alone {error:.2f}" for domain, error in self.domains.items())
        why = "".join(f"; {count} unknown: {reason}" for reason, count in self.reasons.items())
        errors = f"clean {self.clean_error:.2f}{attacked}, verified {self.verified_error:.2f}"
        return f"Summary({self.samples} images, errors in %: {errors}{alone}{why})"

    def to_json(self) -> dict[str, Any]:
        """The fields, in JSON's types, and the errors without time-outs."""
        least = {"all": self.in_time(), **{domain: self.in_time(domain) for domain in self.domains}}
        return {**asdict(self), "in_time": least}


def summarise(verdicts: Iterable[Verdict]) -> Summary:
    """The errors of a set of verdicts. Raises ValueError if it is empty, AssertionError if its orderings fail."""
    rows = list(verdicts)
    if not rows:
        raise ValueError("summarise: no verdicts, so that no error rate is defined")

    def percent(count: int) -> float:
        return 100 * count / len(rows)

    asked = [d for d in dict.fromkeys(d for row in rows for d in row.lower) if all(d in row.lower for row in rows)]
    summary = Summary(
        samples=len(rows),
        clean_error=percent(sum(not row.correct for row in rows)),
        pgd_error=None if any(row.attacked is None for row in rows) else percent(sum(not row.resisted for row in rows)),
        verified_error=percent(sum(row.status is not Status.VERIFIED for row in rows)),
        domains={d: percent(sum(d not in row.verified_by for row in rows)) for d in asked},
        reasons=dict(Counter(str(row.reason) for row in rows if row.reason is not None)),
        timeouts=dict(Counter(domain for row in rows for domain in row.expired)),
        layers=dict(Counter(row.layer for row in rows if row.layer is not None)),
        helped=dict(Counter(row.helps for row in rows if row.helps is not None)),
        timed_out=sum(row.status is Status.UNKNOWN and bool(row.expired) for row in rows),
    )
    _check_orderings(summary)
    return summary


def _check_orderings(summary: Summary) -> None:
    attacked = summary.clean_error if summary.pgd_error is None else summary.pgd_error
    if not summary.clean_error <= attacked <= summary.verified_error:
        raise AssertionError(f"not clean_error <= pgd_error <= verified_error: {summary}; a defect of absdomain")
    if any(error < summary.verified_error for error in summary.domains.values()):
        raise AssertionError(f"a domain alone proves more than all of them together: {summary}; a defect of absdomain")
