"""`absdomain table`: what runs and their certificates have written, as a table in Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from absdomain.cli import options as option


def table(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, or folders that hold runs.")],
    into: Annotated[
        Path | None,
        typer.Option(help="Put it into this file, between its lines for --name.", rich_help_panel=option.DATA),
    ] = None,
    domains: Annotated[
        bool, typer.Option("--domains", help="Methods by the domains on which they trained: clean, verified.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Of the table in that file.", rich_help_panel=option.DATA)] = None,
) -> None:
    """Tabulate certified runs: a row for each recipe, mean and deviation over its seeds, what papers publish beside it.

    All figures are read from the runs' config.json, metrics.jsonl and results.json. With --into the table takes the
    place of what stands between the lines `<!-- table NAME -->` and `<!-- end NAME -->` of a file.

    `absdomain table runs/*`
    """
    from absdomain.report import results_table
    from absdomain.report.certificates import certificates

    if (into is None) != (name is None):
        raise typer.BadParameter("--into and --name go together: a file, and which of its tables this is")
    make = results_table.crossed if domains else results_table.table
    text = make(certificates(runs))
    if into is None or name is None:
        typer.echo(text, nl=False)
        return
    results_table.insert(into, name, text)
    typer.echo(f"{into}: table {name}")
