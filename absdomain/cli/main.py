"""The command line as a whole: the entry point, and the list of commands, each of which has a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from absdomain.cli.bounds import bounds
from absdomain.cli.certify import certify
from absdomain.cli.check import check
from absdomain.cli.compare import compare
from absdomain.cli.console import Commands, keep_memory, plain_warnings
from absdomain.cli.demo import demo
from absdomain.cli.explain import explain
from absdomain.cli.figure import figure
from absdomain.cli.fuzz import fuzz
from absdomain.cli.inspect import inspect
from absdomain.cli.list import list_
from absdomain.cli.matrix import matrix
from absdomain.cli.prove import prove
from absdomain.cli.radius import radius
from absdomain.cli.report import report
from absdomain.cli.supports import supports
from absdomain.cli.sweep import sweep
from absdomain.cli.table import table
from absdomain.cli.toy import toy
from absdomain.cli.train import train
from absdomain.cli.verify import Deciding, verify
from absdomain.runtime.processes import launched

TOGETHER = ("train", "certify")  # commands whose work several processes share

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The entry point: what belongs to the whole process first, then the commands."""
    keep_memory()
    plain_warnings()
    app()


def _name(asked: bool) -> None:
    if asked:
        typer.echo("absdomain")
        raise typer.Exit


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("absdomain"))
        raise typer.Exit


@app.callback()
def absdomain(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
    name: Annotated[bool, typer.Option("--name", help="Print the name.", is_eager=True, callback=_name)] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Certified bounds and certified training of neural networks by abstract interpretation.

    On Linux with glibc the commands set malloc's thresholds so that large temporaries are reused: interval bounds of
    large batches took 1.6 to 1.9 times as long without. MALLOC_MMAP_THRESHOLD_ or MALLOC_TRIM_THRESHOLD_ in the
    environment are left as they are.
    """
    if launched() > 1 and ctx.invoked_subcommand not in TOGETHER:
        raise typer.BadParameter(
            f"{ctx.invoked_subcommand} works in one process, and torchrun has started {launched()}; "
            f"only {' and '.join(TOGETHER)} share their work"
        )


COMMANDS: tuple[Callable[..., None], ...] = (
    train, certify, bounds, explain, radius, fuzz, demo, list_, prove, sweep, table, figure, report, compare, matrix,
    inspect, toy,
)  # fmt: skip
for command in COMMANDS:
    app.command(command.__name__.rstrip("_"))(command)
app.command(cls=Deciding)(verify)
app.command(cls=Deciding)(check)
app.command(context_settings={"ignore_unknown_options": True})(supports)  # a capability begins with --
