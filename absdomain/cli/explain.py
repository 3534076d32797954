"""`absdomain explain`: which layers loosen the bounds, and how much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from absdomain.cli import options as option
from absdomain.report.runs import radius_of, use
from absdomain.runtime import pictures

DOMAINS = ("box & deeppoly",)


def explain(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="Folder of a training, an ONNX or npz file, or .safetensors or .pt with --network.",
            show_default=False,
        ),
    ] = None,
    weights: option.WeightsFile = None,
    network: option.Network = None,
    data: option.Data = None,
    index: Annotated[
        int | None,
        typer.Option(min=0, help="One test image alone.", rich_help_panel=option.DATA, show_default=False),
    ] = None,
    subset: Annotated[int, typer.Option(min=1, help="The first so many.", rich_help_panel=option.DATA)] = 100,
    eps: option.Eps = None,
    clip: option.Clip = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            help="A domain expression; may be given again. Default: box & deeppoly.",
            rich_help_panel=option.CHECK,
            show_default=False,
        ),
    ] = None,
    which: Annotated[
        str,
        typer.Option("--model", help="Which network of a run: some train a partner.", rich_help_panel=option.DATA),
    ] = "model",
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw the looseness of layers into this file.", rich_help_panel=option.DATA, show_default=False
        ),
    ] = None,
    graph: Annotated[
        Path | None,
        typer.Option(
            help="Draw the network, coloured by the last domain's looseness.",
            rich_help_panel=option.DATA,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    batch: option.Batch = 100,
    data_dir: option.DataDir = None,
    threads: option.Threads = None,
) -> None:
    """Tell which layers loosen a domain's bounds, and how much: what a better domain or training could gain, and where.

    A domain's lower bound of the least margin, and the margin at the point where the bound is least, differ by what
    each nonlinear layer's relaxation loses there, and by what the domain's own bound is below the best linear one over
    the same layer bounds. The numbers add up exactly.

    `absdomain explain RUN --domain crown-ibp --domain "box & deeppoly" --plot looseness.png`

    `absdomain explain net.onnx --data mnist --eps 8/255 --index 7`
    """
    from absdomain.certification import explain as explained
    from absdomain.domain import parse
    from absdomain.report import plots_explain, tables
    from absdomain.report.models import opened
    from absdomain.runtime.progress import progress
    from absdomain.runtime.writing import replace

    use(threads)
    for picture in (plot, graph):
        if picture is not None:
            pictures.allow(picture)
    asked = {text: parse(text) for text in domain or DOMAINS}
    found = opened(model, weights, data, which, network, data_dir)
    radius, clipped = radius_of(found.eps, eps), found.clip if clip is None else clip
    if index is not None and index >= len(found.test):
        raise ValueError(f"--index {index}: {found.test.name} has test images 0..{len(found.test) - 1}")
    images, labels = found.images(slice(subset) if index is None else slice(index, index + 1))
    told = {}
    with progress("explain", len(asked)) as show:
        for text, one in asked.items():
            told[text] = explained(
                found.network, images, labels, eps=radius, clip=(0.0, 1.0) if clipped else None, domain=one, batch=batch
            )
            show(len(told), text)
    which_images = f"{len(labels)} test images" if index is None else f"test image {index}"
    title = f"{found.name}, {which_images} of {found.test.name}, eps {radius:g}{', clipped' if clipped else ''}"
    if plot is not None:
        figure = plots_explain.looseness(told, title)
        replace(plot, pictures.encoded(figure, plot.suffix[1:] or "png"), pictures.drawn)
    if graph is not None:
        list(told.values())[-1].draw(graph)
    if as_json:
        asks = {"network": found.name, "data": found.test.name, "eps": radius, "clip": clipped}
        typer.echo(json.dumps({**asks, "domains": {text: one.to_json() for text, one in told.items()}}))
        return
    tables.show(*(tables.looseness_table(one, f"{title}: {text}") for text, one in told.items()))
    for picture in (plot, graph):
        if picture is not None:
            typer.echo(f"picture: {picture}")
