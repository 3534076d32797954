"""`absdomain report`: what a run and its certifications have come to, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from absdomain.cli import options as option


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a certified run, or of one certification.")],
    out: Annotated[
        Path | None, typer.Option(help="The page. Default: RUN/report.html.", rich_help_panel=option.DATA)
    ] = None,
    data_dir: option.DataDir = None,
) -> None:
    """Write one HTML page about a certified run: errors with their intervals, curves, images, reasons and hashes.

    It needs no network and nothing beside it. The test images are read for pictures of the hardest and the falsified
    ones; without them the page has no such pictures.

    `absdomain report RUN`
    """
    from absdomain.report import page
    from absdomain.report.reporting import report as written
    from absdomain.runtime.writing import replace, vacant

    path = out or run / "report.html"
    vacant(path, page.ours)
    replace(path, written(run, data_dir=data_dir), page.ours)
    typer.echo(f"report: {path}")
