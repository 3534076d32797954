"""The plots of a sweep: errors against the radius, the length of the schedule and the seeds; what a step costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from absdomain.report.plots import CYCLE, OTHER, _finish
from absdomain.runtime.pictures import blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Lines = Mapping[str, Mapping[float, Sequence[float]]]  # { name -> { x -> values, one per seed } }


def radii(errors: Lines, best: Mapping[str, Mapping[float, float]]) -> Figure:
    """Verified error against the radius, each recipe's median over seeds; `best` over a method's training radii."""
    figure = blank(7, 4.4)
    axes = figure.subplots()
    for (name, values), colour in zip(errors.items(), CYCLE * len(errors), strict=False):
        axes.plot(list(values), [median(v) for v in values.values()], marker="o", color=colour, label=name)
    for name, least in best.items():
        axes.plot(list(least), list(least.values()), color=OTHER, linestyle="--", label=f"{name}, best training eps")
    _finish(axes, "median over seeds", xlabel="certified eps", ylabel="verified error, %")
    return figure


def lengths(errors: Lines) -> Figure:
    """Verified error against the epochs of the schedule: the median over seeds, and all seeds between the edges."""
    figure = blank(7, 4.4)
    axes = figure.subplots()
    for (name, values), colour in zip(errors.items(), CYCLE * len(errors), strict=False):
        axes.plot(list(values), [median(v) for v in values.values()], marker="o", color=colour, label=name)
        edges: tuple[Callable[[Sequence[float]], float], ...] = (min, max)
        low, high = ([edge(v) for v in values.values()] for edge in edges)
        axes.fill_between(list(values), low, high, color=colour, alpha=0.15, linewidth=0)
    _finish(axes, "median and range over seeds", xlabel="epochs of the schedule", ylabel="verified error, %")
    return figure


def seeds(errors: Mapping[str, Sequence[float]]) -> Figure:
    """The quartiles of the verified error over seeds, a box for each row of the table."""
    figure = blank(7, 1 + 0.45 * len(errors))
    axes = figure.subplots()
    axes.boxplot(list(errors.values()), orientation="horizontal", tick_labels=list(errors))
    axes.invert_yaxis()
    _finish(axes, "quartiles over seeds", xlabel="verified error, %")
    return figure


def costs(ratios: Mapping[str, tuple[float, float]]) -> Figure:
    """Time and peak memory of a step relative to a natural one."""
    figure = blank(7, 1.2 + 0.5 * len(ratios))
    axes = figure.subplots()
    places = range(len(ratios))
    for shift, which, label in ((-0.2, 0, "time"), (0.2, 1, "peak memory")):
        values = [ratio[which] for ratio in ratios.values()]
        bars = axes.barh([place + shift for place in places], values, 0.38, color=CYCLE[which], label=label)
        axes.bar_label(bars, fmt="%.2g", fontsize=8, padding=2)
    axes.set_yticks(places, list(ratios))
    axes.invert_yaxis()
    _finish(axes, "a step of training, a natural one being 1", xlabel="ratio")
    return figure
