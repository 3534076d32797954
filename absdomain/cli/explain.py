"""`absdomain explain`: which layers loosen the bounds, and how much."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from absdomain.cli import options as option
from absdomain.report.explained import of_images, of_property
from absdomain.report.models import opened
from absdomain.report.runs import use
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
    unsafe: Annotated[
        Path | None,
        typer.Option(
            "--property",
            help="A VNN-LIB file of which an ONNX file is asked, in the place of images and a radius.",
            rich_help_panel=option.DATA,
            show_default=False,
        ),
    ] = None,
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
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Tell what each domain's bounds would take, and do no more.")
    ] = False,
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

    `absdomain explain net.onnx --property property.vnnlib`

    `absdomain explain RUN --estimate --domain zonotope --domain "box & deeppoly"`
    """
    from absdomain.domain import parse
    from absdomain.report import plots_explain, tables
    from absdomain.runtime.progress import progress
    from absdomain.runtime.writing import replace

    use(threads)
    for picture in (plot, graph):
        if picture is not None:
            pictures.allow(picture)
    domains = {text: parse(text) for text in domain or DOMAINS}
    if unsafe is None:
        given = opened(model, weights, data, which, network, data_dir)
        asked = of_images(given, index, subset, eps, clip, batch)
    elif (weights, network, data, index, eps, clip) != (None,) * 6:
        raise ValueError(
            "--property says its own boxes: leave --weights, --network, --data, --index, --eps, --clip out"
        )
    else:
        asked = of_property(model, unsafe, batch)
    if estimate:
        found = asked.estimated(domains)
        if as_json:
            typer.echo(json.dumps({**asked.told, "estimates": [asdict(one) for one in found]}))
        else:
            tables.show(tables.estimates_table(found, asked.samples, asked.title))
        return
    told = {}
    with progress("explain", len(domains)) as show:
        for text, one in domains.items():
            told[text] = asked.explained(one)
            show(len(told), text)
    if plot is not None:
        figure = plots_explain.looseness(told, asked.title)
        replace(plot, pictures.encoded(figure, plot.suffix[1:] or "png"), pictures.drawn)
    if graph is not None:
        list(told.values())[-1].draw(graph)
    if as_json:
        typer.echo(json.dumps({**asked.told, "domains": {text: one.to_json() for text, one in told.items()}}))
        return
    tables.show(*(tables.looseness_table(one, f"{asked.title}: {text}") for text, one in told.items()))
    for picture in (plot, graph):
        if picture is not None:
            typer.echo(f"picture: {picture}")
