"""The plot of a benchmark: solved instances against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from absdomain.report.plots import CYCLE, _finish
from absdomain.runtime.pictures import blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHORTEST = 1e-3  # seconds, on the logarithmic axis


def cactus(times: Mapping[str, Sequence[float]]) -> Figure:
    """How many instances each tool decides within how many seconds each; `times` are those of the decided, sorted."""
    figure = blank(6.5, 4.2)
    axes = figure.subplots()
    for (tool, seconds), colour in zip(times.items(), CYCLE * len(times), strict=False):
        least = [max(each, _SHORTEST) for each in seconds]
        axes.step(range(1, len(least) + 1), least, where="post", color=colour, label=f"{tool} ({len(least)})")
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    _finish(axes, "instances decided", xlabel="instances", ylabel="seconds for each, at most")
    return figure
