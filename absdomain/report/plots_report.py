"""The pictures of a report that no command draws alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from absdomain.report.plots import ATTACK, CLEAN, VERIFIED, _finish, _picture
from absdomain.runtime.pictures import blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from absdomain.report.findings import Share

_COLOURS = {"clean": CLEAN, "attacked": ATTACK, "verified": VERIFIED}
_HATCHES = {"clean": "", "attacked": "//", "verified": ".."}  # told apart without colours, too


def radii(proved: Sequence[float], grid: Sequence[float]) -> Figure:
    """How many images are proved up to each radius of the grid, and not up to the next."""
    figure = blank(6.5, 3.2)
    axes = figure.subplots()
    counts = [sum(radius == point for radius in proved) for point in grid]
    bars = axes.bar(range(len(grid)), counts, color=CLEAN)
    axes.bar_label(bars, fontsize=8)
    axes.set_xticks(range(len(grid)), [f"{point:.3g}" for point in grid])
    _finish(axes, "", xlabel="largest proved radius", ylabel="images")
    return figure


def classes(found: Mapping[int, Mapping[str, Share]]) -> Figure:
    """Clean, attacked and verified error of each class."""
    figure = blank(7, 3.2)
    axes = figure.subplots()
    for shift, name in zip((-0.27, 0.0, 0.27), _COLOURS, strict=True):
        places = [place + shift for place in range(len(found))]
        heights = [shares[name].percent for shares in found.values()]
        axes.bar(places, heights, 0.25, color=_COLOURS[name], hatch=_HATCHES[name], label=f"{name} error")
    axes.set_xticks(range(len(found)), [str(label) for label in found])
    _finish(axes, "", xlabel="class", ylabel="error, %")
    return figure


def images(rows: Sequence[tuple[Tensor, Tensor | None, str]]) -> Figure:
    """Images side by side; below those that have one the attacked image and the difference, blue to red around 0."""
    attacked = any(other is not None for _, other, _ in rows)
    lines = 3 if attacked else 1
    figure = blank(1.3 * len(rows) + 0.1, 1.4 * lines + 0.2)
    grid = figure.subplots(lines, len(rows), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for column, (image, other, title) in enumerate(rows):
        grid[0, column].imshow(_picture(image), cmap="gray", vmin=0, vmax=1)
        grid[0, column].set_title(title, fontsize=8)
        if other is not None:
            difference = (other.to(image) - image).mean(0, keepdim=True)
            most = float(difference.abs().max()) or 1.0
            grid[1, column].imshow(_picture(other.clamp(0, 1)), cmap="gray", vmin=0, vmax=1)
            grid[2, column].imshow(_picture(difference), cmap="RdBu_r", vmin=-most, vmax=most)
    return figure
