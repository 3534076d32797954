"""A certification as a picture: between which numbers each image's least margin lies."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from absdomain.certification.verdict import Status, Verdict
from absdomain.runtime.pictures import blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart, and markers for those who print in grey.
STYLES = {Status.VERIFIED: ("#009E73", "o"), Status.FALSIFIED: ("#D55E00", "x"), Status.UNKNOWN: ("#7F7F7F", "s")}


def margins(verdicts: Sequence[Verdict]) -> Figure:
    """lower <= min over the region of the margin <= seen, a line for each image, in the order of `seen`.

    `lower` is the best finite bound of all domains, and `seen` the margin at the worst point tried, which has a marker.
    Where no domain gave a bound, as for images that an attack has decided, the marker is alone.

    Errors: MissingExtra without matplotlib.
    """
    figure = blank(7, 4)
    axes = figure.subplots()
    ranked = list(enumerate(sorted(verdicts, key=_seen), 1))
    for status, (colour, marker) in STYLES.items():
        own = [(place, *_between(verdict)) for place, verdict in ranked if verdict.status is status]
        if own:
            places, lower, seen = zip(*own, strict=True)
            axes.vlines(places, lower, seen, color=colour, linewidth=1)
            axes.scatter(places, seen, s=9, color=colour, marker=marker, label=f"{status}: {len(own)}")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlabel("images, by the least margin that was seen")
    axes.set_ylabel("least margin: from bound to point")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _seen(verdict: Verdict) -> float:
    return verdict.nominal if verdict.attacked is None else verdict.attacked


def _between(verdict: Verdict) -> tuple[float, float]:
    seen = _seen(verdict)
    return max((bound for bound in verdict.lower.values() if isfinite(bound)), default=seen), seen
