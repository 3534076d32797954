"""`absdomain verify`: the answer to a VNN-LIB property of ONNX networks, or to a benchmark of them."""

from __future__ import annotations

import json
import re
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from absdomain.cli import options as option
from absdomain.errors import described

if TYPE_CHECKING:
    from absdomain.report.answering import Answered, Asked, Way

EXITS = {"unsat": 0, "sat": 1, "unknown": 2, "timeout": 2, "error": 3}
BENCHMARK = "A benchmark"
_RESULT = re.compile(rb"(sat|unsat|unknown|timeout|error)(\n\(\([^()\s]+ [-+.\w]+\)(\n \([^()\s]+ [-+.\w]+\))*\))?\n")


class Deciding(TyperCommand):
    """A command whose errors are a verdict, too: exit code 3, since 2 says `unknown`; with --json also as JSON."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return list(super().parse_args(ctx, list(args)))
        except Exception as error:
            if hasattr(error, "exit_code") and not isinstance(error, typer.Exit | typer.Abort):
                error.exit_code = EXITS["error"]
                if "--json" in args:
                    told = getattr(error, "format_message", error.__str__)
                    typer.echo(json.dumps(_failed(told())))
            raise


Net = Annotated[
    Path | None,
    typer.Argument(metavar="NET", help="An ONNX file; with --network the property.", show_default=False),
]
Unsafe = Annotated[
    Path | None, typer.Argument(metavar="PROPERTY", help="A VNN-LIB file, gzipped or not.", show_default=False)
]
Networks = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FILE", help="The ONNX file of a network that the property names.", show_default=False),
]
Timeout = Annotated[
    float | None, typer.Option(min=0, help="Seconds; of instances, instead of their own.", show_default=False)
]
Memory = Annotated[float | None, typer.Option(min=0, help="GiB that may be held.", show_default=False)]
Domain = Annotated[
    str | None,
    typer.Option(help="Bounds the whole and parts of the input; by default one that suits.", show_default=False),
]
Written = Annotated[
    Path | None, typer.Option(help="Write the verdict and a counterexample to this file.", show_default=False)
]
Certificate = Annotated[
    Path | None, typer.Option(help="Write a certificate to this file, for `absdomain check`.", show_default=False)
]
Instances = Annotated[
    Path | None,
    typer.Option(help="A CSV file of rows onnx,vnnlib,timeout.", rich_help_panel=BENCHMARK, show_default=False),
]
Out = Annotated[
    Path | None, typer.Option(help="Folder for its results.", rich_help_panel=BENCHMARK, show_default=False)
]
Others = Annotated[
    Path | None,
    typer.Option(
        help="A CSV file of other tools' times: tool,onnx,vnnlib,seconds,verdict.",
        rich_help_panel=BENCHMARK,
        show_default=False,
    ),
]


def verify(
    ctx: typer.Context,
    first: Net = None,
    second: Unsafe = None,
    network: Networks = None,
    timeout: Timeout = None,
    memory: Memory = None,
    domain: Domain = None,
    executed: option.Executed = None,
    result: Written = None,
    certificate: Certificate = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    instances: Instances = None,
    out: Out = None,
    others: Others = None,
    threads: option.Threads = None,
    scheduler: option.Scheduler = None,
    workers: option.Workers = None,
) -> None:
    """Whether a network can do what a VNN-LIB property calls unsafe: sat, with a counterexample, or unsat, proved.

    Exit codes: 0 unsat, 1 sat, 2 unknown or timeout, 3 error. Of instances: 0 all were tried, 3 an answer contradicts
    the expected one, or the run could not go on; the same command again goes on from there.

    `absdomain verify net.onnx property.vnnlib --timeout 60`

    `absdomain verify query.vnnlib --network f=f.onnx --network g=g.onnx`

    `absdomain verify --instances instances.csv --out results`
    """
    from absdomain.report.answering import Way

    told = ctx.obj["debug"]
    try:
        spoken = None if executed is None else str(executed)
        certified = certificate is not None
        cluster = option.cluster_of(scheduler, workers)
        threads = option.threads_of(threads, cluster)
        way = Way(domain, inf if timeout is None else timeout, memory or inf, threads, spoken, certified)
        if instances is not None:
            _refuse("--instances", NET=first, network=network, result=result, certificate=certificate)
            code = _benchmark(instances, out, others, way, cluster, own=timeout is None, as_json=as_json)
        else:
            _refuse("a single question", out=out, others=others, scheduler=scheduler, workers=workers)
            asked = _asked(first, second, network)
            code = _single(asked, way, result, certificate, as_json=as_json, told=told, newer=bool(network))
    except Exception as error:
        if told:
            raise
        _fail(described(error), as_json=as_json)
    raise typer.Exit(code)


def _refuse(what: str, **given: object) -> None:
    for name, value in given.items():
        if value:
            raise ValueError(f"verify: {what} takes no {name if name.isupper() else f'--{name}'}")


def _asked(first: Path | None, second: Path | None, network: list[str] | None) -> Asked:
    """The question, in either form of the command line."""
    from absdomain.report.answering import Asked

    if not network:
        if first is None or second is None:
            raise ValueError("verify: give NET and PROPERTY, or PROPERTY and --network NAME=FILE, or --instances CSV")
        return Asked(first, second)
    if first is None or second is not None:
        raise ValueError("verify: with --network NAME=FILE there is one argument, the property")
    named = dict[str, Path]()
    for text in network:
        name, found, file = text.partition("=")
        if not found or not name or not file or name in named:
            raise ValueError(f"verify: --network {text}: give NAME=FILE, once for each network that is declared")
        named[name] = Path(file)
    return Asked(named, first)


def _single(
    asked: Asked, way: Way, result: Path | None, certificate: Path | None, *, as_json: bool, told: bool, newer: bool
) -> int:  # fmt: skip
    """Prints the answer to one question, and writes it; the exit code."""
    from absdomain.certificates.verifying import is_certificate
    from absdomain.domain import parse
    from absdomain.report.answering import answered, asked_within
    from absdomain.runtime.writing import replace as written
    from absdomain.runtime.writing import vacant

    if way.domain is not None:
        parse(way.domain)
    if result is not None:
        vacant(result, _is_result)
    if certificate is not None and way.executed is not None:
        raise ValueError("verify: certificates are of real arithmetic: give --certificate without --executed")
    if certificate is not None:
        vacant(certificate, is_certificate)
    found = asked_within(asked, way) if way.limited and not told else answered(asked, way, raises=told)
    if result is not None:
        written(result, f"{found.competition}\n".encode(), _is_result)
    if certificate is not None and found.certificate:
        written(certificate, found.certificate, is_certificate)
    _print(found, as_json=as_json, newer=newer)
    return EXITS[found.verdict]


def _print(found: Answered, *, as_json: bool, newer: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    if found.verdict == "error":
        typer.echo(f"error: {found.reason}", err=True)
        return
    typer.echo(found.standard if newer else found.competition)
    told = [found.reason] if found.reason else []
    told += [f"no certificate: {found.uncertified}"] if found.uncertified else []
    typer.echo("; ".join([*told, f"branches: {found.branches}, seconds: {found.seconds:.2f}"]), err=True)


def _is_result(content: bytes) -> bool:
    """Whether this can only be a result of ours: a verdict, and perhaps a point."""
    return _RESULT.fullmatch(content) is not None


def _fail(message: str, *, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps(_failed(message)))
    else:
        typer.echo(f"error: {message}", err=True)
    raise typer.Exit(EXITS["error"])


def _failed(message: str) -> dict[str, Any]:
    return {"verdict": "error", "seconds": 0.0, "reason": message, "branches": 0, "counterexample": {}}


def _benchmark(
    file: Path, out: Path | None, others: Path | None, way: Way, cluster: str | int | None, *, own: bool, as_json: bool
) -> int:  # fmt: skip
    """Runs the instances of a CSV file, with a line for each on stderr and a table; the exit code."""
    from absdomain.report import others as theirs
    from absdomain.report import standing
    from absdomain.report.instances import read, run
    from absdomain.runtime.cluster import opened

    if out is None:
        raise ValueError("verify: --instances needs --out, a folder for the results")
    rows = read(file)
    compared = theirs.read(others, rows) if others is not None else []
    results = []
    with opened(cluster, "verify") as mapper:
        for one in run(rows, out, way, own_timeout=own, mapper=mapper):
            results.append(one)
            typer.echo(standing.line(one, rows, len(results)), err=True)
    found = standing.Standing.of(rows, results, compared)
    standing.write(out, found)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
    else:
        standing.show(found)
        typer.echo(f"results and plot: {out}")
    return EXITS["error"] if found.wrong else 0
