"""`absdomain inspect`: the first layer's filters, and every layer's sparsity and induced norm."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from absdomain.cli import options as option
from absdomain.report.runs import subject_of
from absdomain.runtime.folders import Kind
from absdomain.runtime.writing import keyed, present

if TYPE_CHECKING:
    from torch import Tensor

    from absdomain.graph import Graph


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


LAYERS, FILTERS = "layers.json", "filters.png"
INSPECTION = Kind("inspection", _earlier)


def inspect(
    run: option.Run = None,
    weights: option.WeightsFile = None,
    data: option.Data = None,
    model: option.Model = "model",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Weights below this share of the layer's largest count as none.")
    ] = 0.01,
    out: Annotated[Path | None, typer.Option(help="Folder. Default: RUN/inspected.", show_default=False)] = None,
    data_dir: option.DataDir = None,
) -> None:
    """Draw the first layer's filters, and tabulate each layer's sparsity and its norm induced by l_inf.

    Robust training makes filters sparse (Gowal et al. 2019, appendix B), and linear relaxations shrink the norms
    (Zhang et al. 2020, figure 2). A norm is that of the whole linear map, with padding, strides and batch norm.

    `absdomain inspect RUN`
    """
    from absdomain.data import load
    from absdomain.report import plots
    from absdomain.report.measure import frozen

    subject = subject_of(run, weights, data, model)
    folder = out or subject.folder / "inspected"
    INSPECTION.allow(folder, LAYERS, FILTERS)
    graph = frozen(subject.network, load(subject.data, "test", data_dir=data_dir)[:1][0])
    rows = weighed(graph, threshold)
    output = INSPECTION.claim(folder)
    output.write_json(LAYERS, [asdict(row) for row in rows])
    output.write(FILTERS, plots.encoded(plots.filters(filters(graph), f"{subject.name}: the first layer")))
    _show(rows, f"{subject.name} on {subject.data}", threshold)
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
