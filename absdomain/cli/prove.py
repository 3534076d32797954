"""`absdomain prove`: every lemma checked on the code that is installed, every twin refuted."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from absdomain.runtime.progress import progress

if TYPE_CHECKING:
    from absdomain.proofs.lemma import Result


def prove(
    names: Annotated[list[str] | None, typer.Argument(help="Lemmas by name; all without it.")] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Which functions and branches of the code each lemma has run.")
    ] = False,
    readme: Annotated[
        Path | None, typer.Option(help="A file whose table of what lemmas run is written anew (proofs/README.md).")
    ] = None,
) -> None:
    """Check the lemmas behind every operation and domain: their proofs, and that their falsified twins fail.

    Each runs the installed code on symbols, rationals or formulas; nothing is sampled. The exit code is 1 if a lemma
    or a twin is not as it should be, and 2 for a name that is not known. What each says and assumes stands in
    proofs/README.md.

    `absdomain prove relu deeppoly`

    `absdomain prove --coverage relu`
    """
    from absdomain.proofs.lemma import absent, lemmas, verify

    known = lemmas()
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(_unknown(name, list(known)), param_hint="NAMES")
    chosen = [known[name] for name in names or known]
    results = []
    with progress("prove", len(chosen), lines=len(chosen)) as shown:
        for place, lemma in enumerate(chosen, 1):
            results.append(verify(lemma, branches=coverage or readme is not None))
            shown(place, f"{lemma.name}: {'FAILS' if results[-1].fault else 'holds'}")
    _told(results)
    if coverage:
        _covered(results)
    for theme in absent():
        typer.echo(f"left out: the lemmas of {theme}, whose code the extra `certificates` installs", err=True)
    failed = [r.lemma.name for r in results if r.fault]
    total = f"{sum(r.claims for r in results)} claims and {sum(len(r.lemma.twins) for r in results)} twins"
    if failed:
        typer.echo(f"{len(failed)} of {len(results)} lemmas fail: {', '.join(failed)}", err=True)
        raise typer.Exit(1)
    if readme is not None:
        _written(readme, results)
    typer.echo(f"{len(results)} lemmas hold: {total} in {sum(r.seconds for r in results):.0f} s of processor time")


def _told(results: Sequence[Result]) -> None:
    from rich.table import Table

    from absdomain.report.tables import show

    table = Table("lemma", "claims", "twins", "seconds", "", title="absdomain prove")
    for r in results:
        twins, verdict = str(len(r.lemma.twins)), r.fault or "holds; twins refuted"
        table.add_row(r.lemma.name, str(r.claims), twins, f"{r.seconds:.1f}", verdict)
    show(table)


def _covered(results: Sequence[Result]) -> None:
    """Of each lemma: what it has run of the functions that it lists, and through which others its checks went."""
    for r in results:
        lines, ways = (sum(getattr(one, name) for one in r.executed) for name in ("lines", "ways"))
        missed, never = (sum(len(getattr(one, name)) for one in r.executed) for name in ("missed", "never"))
        entered = f"{sum(one.entered for one in r.executed)} of {len(r.executed)} functions"
        typer.echo(f"{r.lemma.name}: {entered}, {lines - missed} of {lines} lines, {ways - never} of {ways} ways")
        for one in r.executed:
            lines_ = [f"line {number} not run" for number in one.missed]
            fate = "; ".join([*([] if one.entered else ["not run"]), *lines_, *one.never])
            typer.echo(f"  {one.name}{': ' if fate else ''}{fate}")
        if r.others:
            typer.echo(f"  through {len(r.others)} that it does not list: {', '.join(r.others)}")


def _written(readme: Path, results: Sequence[Result]) -> None:
    from absdomain.proofs.coverage import HEAD, renewed
    from absdomain.runtime.writing import replace

    try:
        text = renewed(readme.read_text(), results)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{readme}: {error}", param_hint="--readme") from None
    replace(readme, text.encode(), lambda content: HEAD[0].encode() in content)


def _unknown(name: str, known: list[str]) -> str:
    """What to say of a name that no lemma has: the lemma of an op of that name, near matches, or all names."""
    from absdomain import ops

    lemma = {op.lower(): getattr(getattr(ops, op), "lemma", "") for op in ops.__all__}
    spelt = {each: each for each in known} | {op: found for op, found in lemma.items() if found in known}
    close = dict.fromkeys(spelt[match] for match in difflib.get_close_matches(name.lower(), spelt, cutoff=0.7))
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
    return f"no lemma is called {name!r}; {hint}"
