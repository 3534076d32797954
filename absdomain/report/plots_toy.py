"""The plot of a toy's training: images of a ball, and the boxes around them, as time goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from absdomain.report.plots import CYCLE, OTHER
from absdomain.runtime.pictures import blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from absdomain.report.polytope import Polytope

BOXES = ("#009E73", *CYCLE[:2], *CYCLE[3:])  # Box's is green, as in Gowal et al.


def polytopes(rows: Mapping[str, Mapping[int, Polytope]], title: str) -> Figure:
    """A row for each training, a column for each epoch: the image in gray, boxes as outlines, logits as axes.

    Each panel has its own scale; on the dotted line the two logits are equal.
    """
    figure = blank(2.6 * max(map(len, rows.values())), 2.9 * len(rows) + 0.4)
    grid = figure.subplots(len(rows), max(map(len, rows.values())), squeeze=False)
    for line, (name, found) in zip(grid, rows.items(), strict=True):
        for axes, (epoch, shown) in zip(line, found.items(), strict=True):
            _panel(axes, shown)
            axes.set_title(f"{name}, epoch {epoch}", fontsize=10, loc="left")
            axes.tick_params(labelsize=8)
            axes.spines[["top", "right"]].set_visible(False)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def _panel(axes: Axes, shown: Polytope) -> None:
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Rectangle

    axes.add_collection(PolyCollection(shown.corners.tolist(), color=OTHER, linewidth=0.2, label="image of the ball"))
    for (name, box), colour in zip(shown.boxes.items(), BOXES * len(shown.boxes), strict=False):
        (x, y), (width, height) = box.lower.tolist(), box.width.tolist()
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=1.3, label=name))
    axes.plot(*shown.nominal.tolist(), "o", color="black", markersize=3, linestyle="", label="nominal")
    axes.autoscale_view()
    axes.margins(0.08)
    axes.axline((0, 0), slope=1, color="black", linewidth=0.8, linestyle=":")
