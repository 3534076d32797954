"""`absdomain demo`: a training and its certification on small digits, in about a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from absdomain.report.runs import check_of, recipe_of, subject_of, train_in, use


def demo(
    out: Annotated[Path, typer.Option(help="The folder.")] = Path("runs/demo"),
    preset: Annotated[str, typer.Option(help="The recipe.")] = "digits-demo",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; such small tensors gain nothing from more.")] = 1,
) -> None:
    """Train CROWN-IBP on 8x8 digits and certify the whole test set with several domains: about a minute."""
    use(threads)
    recipe = recipe_of(preset, {})
    train_in(recipe, out, None, "cpu")
    from absdomain.report import tables
    from absdomain.report.study import study

    subject = subject_of(out, None, None)
    check = check_of(subject, None, None, ["box", "crown-ibp", "fast-lin", "deeppoly", "box & deeppoly"], curve=100)
    outcome = study(subject, check)
    tables.show(tables.errors_table(outcome.summary, check.spelling(), f"{recipe.data}, eps {check.eps:g}"))
    typer.echo(f"training curves: {out / 'training.png'}")
    for name in ("errors.png", "widths.png", "results.json"):
        typer.echo(outcome.folder / name)
