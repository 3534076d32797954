"""`absdomain radius`: for each test image, how far its class is proved, and how near another one is found."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from absdomain.cli import options as option
from absdomain.report.runs import subject_of, use


def radius(
    run: option.Run = None,
    weights: option.WeightsFile = None,
    network: option.Network = None,
    data: option.Data = None,
    largest: Annotated[
        float,
        typer.Option(
            parser=option.radius,
            metavar="RADIUS",
            help="The largest radius that is asked: 0.3 or 8/255.",
            rich_help_panel=option.CHECK,
        ),
    ] = 1.0,
    tolerance: Annotated[
        float, typer.Option(help="How near the two radii are to come.", rich_help_panel=option.CHECK)
    ] = 1e-3,
    timeout: Annotated[float, typer.Option(help="Seconds for an image.", rich_help_panel=option.CHECK)] = 60.0,
    clip: option.Clip = None,
    domain: Annotated[
        str | None,
        typer.Option(
            help="Bounds the ball and parts of it; by default one that suits.",
            rich_help_panel=option.CHECK,
            show_default=False,
        ),
    ] = None,
    subset: option.Subset = None,
    model: option.Model = "model",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    data_dir: option.DataDir = None,
    threads: option.Threads = None,
) -> None:
    """The largest L-infinity radius that is proved for each test image, and the smallest that is falsified.

    By bisection on a complete search. A misclassified image has the radius 0.

    `absdomain radius RUN --subset 10 --largest 0.3`
    """
    from absdomain.branching import radius as radii
    from absdomain.data import load

    use(threads)
    subject = subject_of(run, weights, data, model, network, data_dir)
    images, labels = load(subject.data, "test", data_dir=data_dir)[:subset]
    clipped = (0.0, 1.0) if (subject.clip if clip is None else clip) else None
    asked = radii(
        subject.network, images, labels, largest=largest, tolerance=tolerance, clip=clipped, domain=domain,
        timeout=timeout,
    )  # fmt: skip
    found = list(asked)
    if as_json:
        typer.echo(json.dumps({"data": subject.data, "network": subject.name, "images": [r.to_json() for r in found]}))
        return
    from absdomain.report import tables

    tables.show(tables.radii_table(found, f"{subject.name}, {subject.data}{', clipped' if clipped else ''}"))
