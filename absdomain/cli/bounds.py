"""`absdomain bounds`: one image, layer by layer and domain by domain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from absdomain.cli import options as option
from absdomain.report.runs import check_of, subject_of, use
from absdomain.runtime import pictures


def bounds(
    run: option.Run = None,
    weights: option.WeightsFile = None,
    network: option.Network = None,
    data: option.Data = None,
    index: Annotated[int, typer.Option(min=0, help="Which test image.", rich_help_panel=option.DATA)] = 0,
    eps: option.Eps = None,
    clip: option.Clip = None,
    domain: option.Domains = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the widths into this file.", rich_help_panel=option.DATA, show_default=False),
    ] = None,
    data_dir: option.DataDir = None,
    threads: option.Threads = None,
) -> None:
    """Bound one test image: the widths of every layer, and the margins over the other classes.

    `absdomain bounds RUN --index 7 --domain box --domain deeppoly`
    """
    from absdomain.data import load
    from absdomain.report import plots, tables
    from absdomain.report.measure import frozen
    from absdomain.report.study import layers_of, margins_of
    from absdomain.runtime.writing import replace

    use(threads)
    if plot is not None:
        pictures.allow(plot)
    subject = subject_of(run, weights, data, "model", network, data_dir)
    check = check_of(subject, eps, clip, domain)
    test = load(subject.data, "test", data_dir=data_dir)
    if index >= len(test):
        raise ValueError(f"--index {index}: {subject.data} has test images 0..{len(test) - 1}")
    image, label = test[index : index + 1]
    graph = frozen(subject.network, image)
    layers = layers_of(graph, check, image)
    title = f"{subject.name}, {subject.data} test image {index} (a {int(label)}), eps {check.eps:g}"
    margins = margins_of(graph, check, image, label)
    tables.show(
        tables.layers_table(layers, title),
        tables.margins_table(margins, int(label), f"lower bounds of z_{int(label)} - z_rival"),
    )
    if plot is not None:
        replace(plot, pictures.encoded(plots.widths(layers, title), plot.suffix[1:] or "png"), pictures.drawn)
