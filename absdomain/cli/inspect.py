"""`absdomain inspect`: the first layer's filters, every layer's sparsity and norm, and how bounds are centred."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from absdomain.cli import options as option
from absdomain.report.runs import subject_of
from absdomain.runtime import pictures
from absdomain.runtime.folders import Kind
from absdomain.runtime.writing import keyed, present

if TYPE_CHECKING:
    from torch import Tensor

    from absdomain.graph import Graph
    from absdomain.report.centring import Centring


@dataclass(frozen=True)
class Weighed:
    """One layer: its weights, and how far it can carry a perturbation."""

    name: str
    op: str
    weights: int
    negligible: float  # the share of them below a threshold times the layer's largest
    norm: float  # max |A r|_inf over |r|_inf <= 1: the norm induced by l_inf


def _earlier(folder: Path) -> bool:
    return keyed([field.name for field in fields(Weighed)])(present(folder / LAYERS) or b"")


LAYERS, FILTERS, CENTRING = "layers.json", "filters.png", "centring.json"
INSPECTION = Kind("inspection", _earlier)


def inspect(
    run: option.Run = None,
    weights: option.WeightsFile = None,
    data: option.Data = None,
    model: option.Model = "model",
    eps: option.Eps = None,
    clip: option.Clip = None,
    subset: Annotated[int, typer.Option(min=1, help="Test images whose bounds are looked at.")] = 100,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Weights below this share of the layer's largest count as none.")
    ] = 0.01,
    out: Annotated[Path | None, typer.Option(help="Folder. Default: RUN/inspected.", show_default=False)] = None,
    data_dir: option.DataDir = None,
) -> None:
    """Draw the first layer's filters; tabulate each layer's sparsity, its norm induced by l_inf, and its centring.

    Robust training makes filters sparse (Gowal et al. 2019, appendix B), and linear relaxations shrink the norms
    (Zhang et al. 2020, figure 2). A norm is that of the whole linear map, with padding, strides and batch norm.

    Centring: how far values at the images are from the middle of their interval bounds, and their sums over all
    neurons, metrics 1 and 2 of Boopathy et al. 2021, at the eps of the training by default; without one, not at all.

    `absdomain inspect RUN`
    """
    from absdomain.data import load
    from absdomain.domains import Box
    from absdomain.region import Linf
    from absdomain.report import plots
    from absdomain.report.centring import centring
    from absdomain.report.measure import frozen

    subject = subject_of(run, weights, data, model)
    folder = out or subject.folder / "inspected"
    INSPECTION.allow(folder, LAYERS, FILTERS, CENTRING)
    images = load(subject.data, "test", data_dir=data_dir)[:subset][0]
    graph = frozen(subject.network, images[:1])
    rows = weighed(graph, threshold)
    radius, clipped = subject.eps if eps is None else eps, subject.clip if clip is None else clip
    ball = Linf(images.double(), radius or 0.0, clip=(0.0, 1.0) if clipped else None)
    centred = centring(graph, Box(), ball) if radius else []
    output = INSPECTION.claim(folder)
    output.write_json(LAYERS, [asdict(row) for row in rows])
    pictures.add(output, FILTERS, lambda: plots.filters(filters(graph), f"{subject.name}: the first layer"))
    _show(rows, f"{subject.name} on {subject.data}", threshold)
    if centred:
        output.write_json(CENTRING, {"eps": radius, "clip": clipped, "images": len(images), **_plain(centred)})
        _show_centring(centred, f"interval bounds of {len(images)} test images at eps {radius:g}")
    typer.echo(f"filters and numbers: {folder}")


def weighed(graph: Graph, threshold: float) -> list[Weighed]:
    """The layers with weights, in order."""
    from absdomain.graph.norms import induced_norms, weighted

    found, norms = [], induced_norms(graph)
    for node, op, weight in weighted(graph):
        size = weight.abs()
        few = (size < threshold * size.max()).double().mean().item()
        found.append(Weighed(node.name, type(op).__name__, weight.numel(), few, norms[node.name]))
    return found


def filters(graph: Graph) -> Tensor:
    """The first layer's weights as pictures (N, C, H, W) or (N, H, W): kernels, or the rows of a dense layer."""
    from absdomain.graph.norms import weighted

    weight = next(weight for _, op, weight in weighted(graph) if not op.diagonal)
    return weight if weight.dim() == 4 else weight.reshape(-1, *graph.input.shape)


def _plain(rows: list[Centring]) -> dict[str, Any]:
    from absdomain.report.centring import totals

    nodes = [{"name": row.name, "distance": row.mean_absolute, "share": row.mean_relative} for row in rows]
    return {"nodes": nodes, **{name: {"mean": m, "deviation": d} for name, (m, d) in totals(rows).items()}}


def _show_centring(rows: list[Centring], title: str) -> None:
    from rich.table import Table

    from absdomain.report.centring import totals
    from absdomain.report.tables import show

    table = Table("node", title=title, title_justify="left", caption_justify="left")
    for column in ("neurons", "from the middle", "of the width"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row.name, str(row.neurons), f"{row.mean_absolute:.3g}", f"{100 * row.mean_relative:.2f} %")
    table.caption = ", ".join(f"{name}: {m:.3g} ± {d:.2g}" for name, (m, d) in totals(rows).items())
    show(table)


def _show(rows: list[Weighed], title: str, threshold: float) -> None:
    from rich.table import Table

    from absdomain.report.tables import show

    table = Table("layer", "operation", title=title, title_justify="left", caption_justify="left")
    for column in ("weights", "negligible", "induced norm"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row.name, row.op, str(row.weights), f"{100 * row.negligible:.1f} %", f"{row.norm:.4g}")
    table.caption = f"negligible: below {threshold:g} of the layer's largest weight"
    show(table)
