"""`absdomain fuzz`: tries to break a domain; what it does is in report.fuzzing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from absdomain.cli import options as option
from absdomain.report.runs import use


def fuzz(
    domain: Annotated[list[str], typer.Option(help="A domain expression; may be given again.", show_default=False)],
    examples: Annotated[
        int | None, typer.Option(min=1, help="Random problems of each law.", show_default=False)
    ] = None,
    seed: option.Seed = 0,
    laws: Annotated[
        list[str] | None, typer.Option(help="Only this law; may be given again.", show_default=False)
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Only laws whose problems are in float64, or in float32.", show_default=False)
    ] = None,
    extremes: Annotated[
        bool, typer.Option("--extremes", help="Only problems on which rounding is large, against 200 digits.")
    ] = False,
    database: Annotated[
        Path | None, typer.Option(help="Keep what broke a law in this folder, and try it first.", show_default=False)
    ] = None,
    reproduce: Annotated[
        str | None, typer.Option(help="Pose what is printed as `reproduce` again, to one law.", show_default=False)
    ] = None,
    profile: Annotated[str, typer.Option(help="fast or nightly: how many examples, where none is said.")] = "fast",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; such small tensors gain nothing from more.")] = 1,
    scheduler: option.Scheduler = None,
    workers: option.Workers = None,
) -> None:
    """Try to break a domain: its laws on random networks, regions and specifications; one exit code for all.

    0: all kept. 1: a law is broken, and the smallest problem is printed as a script. 2: not understood. Hypothesis
    draws the problems and makes them small. nightly is 10,000 problems of each law, 500 for a domain that asks a
    solver; the same seed tries the same problems.

    `absdomain fuzz --domain "box & deeppoly" --examples 1000 --seed 7`
    """
    from absdomain.domain import ExpressionError, parse
    from absdomain.laws import LawBroken
    from absdomain.report import tables
    from absdomain.report.fuzzing import PROFILES, chosen, count, table
    from absdomain.report.fuzzing import fuzz as tried
    from absdomain.runtime.cluster import opened

    cluster = option.cluster_of(scheduler, workers)
    use(threads)
    if profile not in PROFILES:
        raise typer.BadParameter(f"there are {', '.join(PROFILES)}", param_hint="--profile")
    try:
        subjects, asked = [parse(text) for text in domain], chosen(laws, dtype, extremes=extremes)
    except (ExpressionError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    with opened(cluster, "fuzz") as mapper:
        for subject in subjects:
            try:
                outcome = tried(
                    subject, examples=examples or count(subject, profile), seed=seed, laws=asked, database=database,
                    reproduce=reproduce, mapper=mapper,
                )  # fmt: skip
            except LawBroken as broken:
                typer.echo(broken)
                raise typer.Exit(1) from None
            tables.show(table(outcome))
