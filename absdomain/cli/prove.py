"""`absdomain prove`: every lemma checked on the code that is installed, every twin refuted."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from absdomain.runtime.progress import progress


def prove(
    names: Annotated[list[str] | None, typer.Argument(help="Lemmas by name; all without it.")] = None,
) -> None:
    """Check the lemmas behind every operation and domain: their proofs, and that their falsified twins fail.

    Each runs the installed code on symbols, rationals or formulas; nothing is sampled. The exit code is 1 if a lemma
    or a twin is not as it should be, and 2 for a name that is not known. What each says and assumes stands in
    proofs/README.md.

    `absdomain prove relu deeppoly`
    """
    from rich.table import Table

    from absdomain.proofs.lemma import lemmas, verify
    from absdomain.report.tables import show

    known = lemmas()
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(_unknown(name, list(known)), param_hint="NAMES")
    chosen = [known[name] for name in names or known]
    results = []
    with progress("prove", len(chosen), lines=len(chosen)) as shown:
        for place, lemma in enumerate(chosen, 1):
            results.append(verify(lemma))
            shown(place, f"{lemma.name}: {'FAILS' if results[-1].fault else 'holds'}")
    table = Table("lemma", "claims", "twins", "seconds", "", title="absdomain prove")
    for r in results:
        twins, verdict = str(len(r.lemma.twins)), r.fault or "holds; twins refuted"
        table.add_row(r.lemma.name, str(r.claims), twins, f"{r.seconds:.1f}", verdict)
    show(table)
    failed = [r.lemma.name for r in results if r.fault]
    total = f"{sum(r.claims for r in results)} claims and {sum(len(r.lemma.twins) for r in results)} twins"
    if failed:
        typer.echo(f"{len(failed)} of {len(results)} lemmas fail: {', '.join(failed)}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{len(results)} lemmas hold: {total} in {sum(r.seconds for r in results):.0f} s of processor time")


def _unknown(name: str, known: list[str]) -> str:
    """What to say of a name that no lemma has: the lemma of an op of that name, near matches, or all names."""
    from absdomain import ops

    lemma = {op.lower(): getattr(getattr(ops, op), "lemma", "") for op in ops.__all__}
    spelt = {each: each for each in known} | {op: found for op, found in lemma.items() if found in known}
    close = dict.fromkeys(spelt[match] for match in difflib.get_close_matches(name.lower(), spelt, cutoff=0.7))
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
    return f"no lemma is called {name!r}; {hint}"
