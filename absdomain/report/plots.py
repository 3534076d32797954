"""The plots of a run's folder, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absdomain.runtime.pictures import blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

    from absdomain.report.landscape import Landscape
    from absdomain.report.measure import Errors, LayerWidths

# Okabe and Ito's colours, which the colour-blind can tell apart.
CLEAN, ATTACK, VERIFIED, OTHER = "#0072B2", "#E69F00", "#D55E00", "#7F7F7F"
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

# What a method notes of itself, by the panel that shows it below the curves: AdvIBP's and Robustra's.
PANELS = {
    "share of steps": {"fosc_reached": "FOSC at most c_t", "opposed": "gradients oppose"},
    "weight of a loss": {"weight_attacked": "attack's", "weight_bound": "bound's"},
    "share at t = 0": {"loose": "loose", "tight": "tight", "infeasible": "infeasible"},
}


def training(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Held-out errors, loss and radius against the epoch; below them the method's own numbers and the layers' norms.

    Those are drawn where they were noted: `PANELS` says which.
    """
    epochs = [row["epoch"] for row in rows]
    noted = {name for row in rows for name in row.get("more", {})}
    norms = [name for name in (rows[-1].get("more", {}) if rows else {}) if name.startswith("norm.")]
    panels = {label: names for label, names in PANELS.items() if noted & set(names)}
    heights = (3, 2, *(1.6 for _ in panels), *([2] if norms else []))
    figure = blank(7, 0.5 + sum(heights))
    top, bottom, *more = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for name, label, colour in (("verified_error", "verified error", VERIFIED), ("clean_error", "clean error", CLEAN)):
        values = [(row["epoch"], 100 * row[name]) for row in rows if row[name] is not None]
        if values:
            top.plot(*zip(*values, strict=True), label=label, color=colour)
    _finish(top, title, ylabel="held-out error, %")
    top.set_ylim(bottom=0)
    bottom.plot(epochs, [row["loss"] for row in rows], color=OTHER, label="loss")
    _finish(bottom, "", ylabel="loss")
    for axes, (label, names) in zip(more, panels.items(), strict=False):
        _noted(axes, rows, names, label)
    if norms:
        _norms(more[-1], rows, norms)
    [bottom, *more][-1].set_xlabel("epoch")
    bottom.xaxis.get_major_locator().set_params(integer=True)
    radius = bottom.twinx()
    radius.plot(epochs, [row["eps"] for row in rows], color=CYCLE[2], linestyle="--", label="eps")
    radius.set_ylabel("eps", color=CYCLE[2])
    radius.set_ylim(bottom=0)
    radius.spines["top"].set_visible(False)
    return figure


def _noted(axes: Axes, rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], label: str) -> None:
    """What rows say under these names; rows that do not are left out, as in a warm-up."""
    for (name, shown), colour in zip(names.items(), CYCLE, strict=False):
        seen = [(row["epoch"], row["more"][name]) for row in rows if name in row.get("more", {})]
        if seen:
            axes.plot(*zip(*seen, strict=True), color=colour, label=shown)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    _finish(axes, "", ylabel=label)


def _norms(axes: Axes, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    for name, colour in zip(names, CYCLE * len(names), strict=False):
        noted = [(row["epoch"], row["more"][name]) for row in rows]
        axes.plot(*zip(*noted, strict=True), color=colour, label=name.removeprefix("norm."))
    axes.set_yscale("log")
    _finish(axes, "", ylabel="norm induced by l_inf")


def errors(points: Sequence[Errors], eps: float, title: str) -> Figure:
    """Clean, attacked and verified error against the radius; between the last two the truth lies."""
    figure = blank(6.5, 4.2)
    axes = figure.subplots()
    radii = [point.eps for point in points]
    attacked, verified = [p.pgd_error for p in points], [p.verified_error for p in points]
    axes.fill_between(radii, attacked, verified, color=VERIFIED, alpha=0.12, linewidth=0, label="undecided")
    axes.plot(radii, verified, marker="o", markersize=3.5, color=VERIFIED, label="verified error")
    axes.plot(radii, attacked, marker="o", markersize=3.5, color=ATTACK, label="attacked error")
    axes.plot(radii, [p.clean_error for p in points], color=CLEAN, label="clean error")
    axes.axvline(eps, color=OTHER, linewidth=0.8, linestyle=":")
    axes.set_ylim(0, min(102, 5 + 1.1 * max(verified)))
    axes.set_xlim(left=0)
    _finish(axes, title, xlabel="eps", ylabel="error, %")
    return figure


def widths(layers: Mapping[str, Sequence[LayerWidths]], title: str) -> Figure:
    """The mean width of the bounds of each layer, one line per domain."""
    figure = blank(7, 4.4)
    axes = figure.subplots()
    for (domain, rows), colour in zip(layers.items(), CYCLE * len(layers), strict=False):
        axes.plot([row.mean for row in rows], marker="o", markersize=3.5, color=colour, label=domain)
    names = [row.name for row in next(iter(layers.values()))]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yscale("log")
    _finish(axes, title, ylabel="mean width of the bounds")
    return figure


def landscape(found: Landscape, title: str) -> Figure:
    """The image, the attack's point, the witness, and the margin over the plane through them."""
    figure = blank(10, 3.2)
    panels = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.7))
    pictures = (
        (found.image, f"image: {found.label}"),
        (found.attacked, f"attack: {found.label}"),
        (found.witness, f"witness: {found.predicted}"),
    )
    for axes, (picture, caption) in zip(panels, pictures, strict=False):
        axes.imshow(_picture(picture), cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
        axes.set_title(caption, fontsize=9)
    axes, axis, margins = panels[3], found.axis.tolist(), found.margins.tolist()
    surface = axes.contourf(axis, axis, margins, levels=20, cmap="RdBu", norm=_around_zero(found.margins))
    axes.contour(axis, axis, margins, levels=[0.0], colors="black", linewidths=1.2)
    for x, y, mark, name in ((0, 0, "o", "image"), (1, 0, "s", "attack"), (0, 1, "*", "witness")):
        axes.plot(x, y, mark, color="black", markerfacecolor="white", markersize=8, label=name)
    figure.colorbar(surface, ax=axes, label="margin")
    _finish(axes, title, xlabel="towards the attack's point", ylabel="towards the witness")
    axes.grid(visible=False)
    return figure


def filters(pictures: Tensor, title: str, *, most: int = 64) -> Figure:
    """The first filters (N, C, H, W) or (N, H, W): in colour for three channels, else each channel by itself, red > 0.

    All have one scale, so that a filter of small weights is seen to be one.
    """
    coloured = pictures.dim() == 4 and pictures.shape[1] == 3
    shown = (pictures if coloured else pictures.reshape(-1, *pictures.shape[-2:]))[:most].double()
    columns = min(len(shown), 8)
    rows = -(-len(shown) // columns)
    figure = blank(columns, rows + 0.4)
    largest = float(shown.abs().max()) or 1.0
    for axes, picture in zip(figure.subplots(rows, columns, squeeze=False).flat, shown, strict=False):
        image = (0.5 + 0.5 * picture / largest).movedim(0, -1) if coloured else picture
        axes.imshow(image.tolist(), cmap="RdBu_r", vmin=-largest, vmax=largest)
    for axes in figure.axes:
        axes.set_axis_off()
    figure.suptitle(f"{title}; the largest weight is {largest:.3g}", fontsize=9)
    return figure


def _picture(image: Tensor) -> Any:
    """(C, H, W) or (H, W) as matplotlib takes it; a flat image as one row."""
    shaped = image if image.dim() > 1 else image.unsqueeze(0)
    return shaped.movedim(0, -1).squeeze(-1).tolist() if shaped.dim() == 3 else shaped.tolist()


def _around_zero(values: Tensor) -> Any:
    from matplotlib.colors import CenteredNorm

    return CenteredNorm(0.0, float(values.abs().max()) or 1.0)


def _finish(axes: Axes, title: str, *, xlabel: str = "", ylabel: str = "") -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(frameon=False, fontsize=9)
