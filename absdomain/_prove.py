"""`absdomain prove`: every lemma checked on the code that is installed, every twin refuted."""

from __future__ import annotations

from typing import Annotated

import typer

from absdomain._console import progress


def prove(
    names: Annotated[list[str] | None, typer.Argument(help="Lemmas by name; all without it.")] = None,
) -> None:
    """Check the lemmas behind every operation and domain: their proofs, and that their falsified twins fail.

    Each runs the installed code on symbols, rationals or formulas; nothing is sampled. The exit code is 1 if a lemma
    or a twin is not as it should be. What each says and assumes stands in proofs/README.md.

    `absdomain prove relu deeppoly`
    """
    from rich.table import Table

    from absdomain._report import show
    from absdomain.proofs.lemma import lemmas, verify

    known = lemmas()
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise ValueError(f"prove {' '.join(unknown)}: there are {', '.join(known)}")
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
