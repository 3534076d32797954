"""Pictures of certified runs, each made from the folders alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from textwrap import fill
from typing import TYPE_CHECKING, Any

from absdomain.report import plots, plots_sweep
from absdomain.report.certificates import Certificate, certificates, grouped, labels
from absdomain.report.plots import ATTACK, CLEAN, CYCLE, OTHER, VERIFIED, _finish
from absdomain.runtime.pictures import blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABEL = 36  # letters in a line of a method's name, beside its bars
STATES = ("loose", "tight", "infeasible")


def _groups(runs: Sequence[Path]) -> dict[str, list[Certificate]]:
    """{ method, with what tells it from the others -> its certificates }, one radius or several."""
    groups = grouped(certificates(runs))
    found: dict[str, list[Certificate]] = {}
    for label, group in zip(labels(groups), groups, strict=True):
        found.setdefault(label, []).extend(group)
    return found


def eps(runs: Sequence[Path], title: str) -> Figure:
    """Verified error against the certified radius."""
    lines: dict[str, dict[float, list[float]]] = {}
    for label, group in _groups(runs).items():
        for one in sorted(group, key=lambda one: float(one.results["eps"])):
            points = lines.setdefault(label, {})
            points.setdefault(one.results["eps"], []).append(one.results["verified_error"])
    return plots_sweep.radii(lines, {})


def seeds(runs: Sequence[Path], title: str) -> Figure:
    """Quartiles of the verified error over seeds."""
    return plots_sweep.seeds({label: _errors(group, "verified_error") for label, group in _groups(runs).items()})


def methods(runs: Sequence[Path], title: str) -> Figure:
    """Clean, attacked and verified error of each recipe: means, with the deviation over seeds."""
    groups = _groups(runs)
    names = [fill(label, _LABEL) for label in groups]
    figure = blank(8, 1.2 + sum(max(0.6, 0.2 * (1 + name.count("\n"))) for name in names))
    axes = figure.subplots()
    kinds = (
        ("clean_error", "clean", CLEAN),
        ("pgd_error", "attacked", ATTACK),
        ("verified_error", "verified", VERIFIED),
    )
    for shift, (name, label, colour) in zip((-0.26, 0.0, 0.26), kinds, strict=True):
        for place, group in enumerate(groups.values()):
            values = _errors(group, name)
            if values:
                spread = stdev(values) if len(values) > 1 else 0.0
                shown = label if place == 0 else None
                axes.barh(place + shift, mean(values), 0.25, xerr=spread, color=colour, label=shown)
    axes.set_yticks(range(len(groups)), names)
    axes.invert_yaxis()
    _finish(axes, title, xlabel="error, %: mean and deviation over seeds")
    return figure


def training(runs: Sequence[Path], title: str) -> Figure:
    """The curves of one run."""
    return plots.training(_metrics(runs), title or str(runs[0]))


def states(runs: Sequence[Path], title: str) -> Figure:
    """The mean t by its own rule, and the states of the half-spaces at t = 0, of a pair's first network."""
    rows = [row for row in _metrics(runs) if "t" in row["more"]]
    if not rows:
        raise ValueError(f"{runs[0]}: notes no half-spaces; give a run of robustra that held images out")
    figure = blank(7, 4.4)
    top, bottom = figure.subplots(2, 1, sharex=True)
    epochs = [row["epoch"] for row in rows]
    top.plot(epochs, [row["more"]["t"] for row in rows], color=OTHER)
    _finish(top, title, ylabel="mean t")
    for name, colour in zip(STATES, CYCLE, strict=False):
        bottom.plot(epochs, [100 * row["more"][name] for row in rows], color=colour, label=name)
    _finish(bottom, "", xlabel="epoch", ylabel="at t = 0, %")
    return figure


def _metrics(runs: Sequence[Path]) -> list[dict[str, Any]]:
    from absdomain.trainers import read_metrics

    if len(runs) != 1:
        raise ValueError(f"the curves are of one run, and {len(runs)} were given; give one")
    rows = read_metrics(runs[0])
    if not rows:
        raise ValueError(f"{runs[0]}: has no metrics of a training; name the folder that was given to it")
    return rows


def _errors(group: Sequence[Certificate], name: str) -> list[float]:
    return [one.results[name] for one in group if one.results[name] is not None]


KINDS: dict[str, Callable[[Sequence[Path], str], Figure]] = {
    "eps": eps, "seeds": seeds, "methods": methods, "training": training, "states": states
}  # fmt: skip
