"""The picture of an explanation: what each layer's relaxation costs the bound, and the network in that colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from absdomain.report.plots import CYCLE, OTHER, _finish
from absdomain.runtime.pictures import blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from absdomain.certification import Explanation

LINES = "(lines)"


def looseness(found: Mapping[str, Explanation], title: str) -> Figure:
    """Bars of the mean looseness of each layer, from the input down, one colour for each domain; below the lines'."""
    names = list(dict.fromkeys(name for one in found.values() for name in one.names))
    figure = blank(7, 1.6 + 0.28 * (len(names) + 1) * max(1, len(found)))
    axes = figure.subplots()
    height = 0.8 / len(found)
    for number, ((text, one), colour) in enumerate(zip(found.items(), CYCLE * len(found), strict=False)):
        costs = {layer.layer: layer.looseness for layer in one.layers} | {LINES: one.mean(one.lines)}
        places = [place + (number + 0.5) * height - 0.4 for place in range(len(names) + 1)]
        bars = axes.barh(places, [costs.get(name, 0.0) for name in (*names, LINES)], height, color=colour, label=text)
        axes.bar_label(bars, fmt=" %.3g", fontsize=7)
    axes.set_yticks(range(len(names) + 1), [*names, LINES], fontsize=8)
    axes.axhline(len(names) - 0.5, color=OTHER, linewidth=0.8, linestyle=":")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    _finish(axes, title, xlabel="mean looseness of the bound", ylabel="layer")
    return figure
