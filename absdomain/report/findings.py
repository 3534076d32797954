"""What a certification has in its folder, and the numbers that a report draws of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

from absdomain.certification import Status, Verdict
from absdomain.report.measure import broken
from absdomain.report.study import VERDICTS

NAMES = ("clean", "attacked", "verified")


@dataclass(frozen=True, eq=False)
class Findings:
    """One certification: what was asked, the verdicts in order, and what was drawn of them."""

    folder: Path
    config: dict[str, Any]
    results: dict[str, Any]
    verdicts: tuple[Verdict, ...]
    header: dict[str, Any]  # of the verdicts' file: fingerprints of model, graph and data
    curve: list[dict[str, Any]]  # errors by radius; empty where none was drawn
    radii: list[float]  # for each image the largest radius of the curve that is proved
    layers: dict[str, list[dict[str, Any]]]  # widths of bounds by domain


@dataclass(frozen=True)
class Share:
    """k of n images, in percent, with Wilson's interval of 95 %."""

    count: int
    total: int

    @property
    def percent(self) -> float:
        """100 k / n."""
        return 100 * self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson 1927: the rates at which k is no surprise, in percent."""
        from scipy.stats import binomtest

        found = binomtest(self.count, self.total).proportion_ci(method="wilson")
        return 100 * float(found.low), 100 * float(found.high)


def certified_in(folder: Path) -> list[Findings]:
    """The finished certifications of a run's folder, or of a certification's own; ValueError without any."""
    own = [folder] if (folder / VERDICTS).exists() else sorted(path.parent for path in folder.rglob(VERDICTS))
    found = [_read(path) for path in own if (path / "results.json").exists()]
    if not found:
        raise ValueError(f"{folder}: nothing there has been certified to its end; run absdomain certify first")
    return sorted(found, key=lambda one: (str(one.folder.parent), float(one.results["eps"])))


def _read(folder: Path) -> Findings:
    lines = (folder / VERDICTS).read_text().splitlines()
    verdicts = sorted((Verdict.from_json(json.loads(line)) for line in lines[1:]), key=lambda v: v.index)
    config, results = _json(folder, "config.json", {}), _json(folder, "results.json", {})
    curve, radii, layers = (_json(folder, f"{name}.json", kind()) for name, kind in KINDS.items())
    return Findings(folder, config, results, tuple(verdicts), json.loads(lines[0]), curve, radii, layers)


KINDS: dict[str, Callable[[], Any]] = {"curve": list, "radii": list, "layers": dict}


def _json(folder: Path, name: str, default: Any) -> Any:
    path = folder / name
    return json.loads(path.read_bytes()) if path.exists() else default


def shares(verdicts: Sequence[Verdict]) -> dict[str, Share]:
    """Clean, attacked and verified errors of these images."""
    counts = (
        sum(not v.correct for v in verdicts),
        sum(map(broken, verdicts)),
        sum(v.status is not Status.VERIFIED for v in verdicts),
    )
    return {name: Share(count, len(verdicts)) for name, count in zip(NAMES, counts, strict=True)}


def classes(verdicts: Sequence[Verdict]) -> dict[int, dict[str, Share]]:
    """The errors of each label's images; without those that have no label."""
    labels = sorted({v.label for v in verdicts if v.label is not None})
    return {label: shares([v for v in verdicts if v.label == label]) for label in labels}


def hardness(verdict: Verdict) -> float:
    """The margin at the point that breaks an image; of others their best lower bound, below 0 where none proves it."""
    if verdict.status is Status.FALSIFIED:
        return verdict.nominal if verdict.attacked is None else verdict.attacked
    return max(verdict.lower.values(), default=nan)


def hardest(verdicts: Sequence[Verdict], most: int) -> list[Verdict]:
    """Those of the least `hardness`."""
    return sorted((v for v in verdicts if not isnan(hardness(v))), key=hardness)[:most]


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
