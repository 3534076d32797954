"""`absdomain figure`: what runs and their certificates have written, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def figure(
    kind: Annotated[str, typer.Argument(help="What is drawn: eps, seeds, methods, training or states.")],
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, or folders that hold runs.")],
    out: Annotated[Path, typer.Option(help="The picture, a PNG or an SVG by its name.")] = Path("figure.png"),
    title: Annotated[str, typer.Option(help="Above a picture of methods, training or states.")] = "",
) -> None:
    """Draw certified runs: `eps`, `seeds` and `methods` of their certificates, `training` and `states` epoch by epoch.

    eps: verified error against the radius, a line for each recipe, the median of its seeds. seeds: its quartiles over
    seeds. methods: mean and deviation for each recipe. training: the curves of one run, with its method's own numbers.
    states: which half-spaces of a Robustra pair are loose, tight or infeasible at t = 0, and the mean t (Li et al.
    2019, figure 4).

    `absdomain figure seeds runs/* --out docs/figures/seeds.svg`
    """
    from absdomain.report.figures import KINDS
    from absdomain.runtime.pictures import drawn, encoded
    from absdomain.runtime.writing import replace

    if kind not in KINDS:
        raise typer.BadParameter(
            f"{kind!r} is not a kind of figure; choose one of {', '.join(KINDS)}", param_hint="KIND"
        )
    form = out.suffix.removeprefix(".")
    if form not in ("png", "svg"):
        raise typer.BadParameter(f"{out} is neither a .png nor an .svg", param_hint="--out")
    replace(out, encoded(KINDS[kind](runs, title), form), drawn)
    typer.echo(f"{out}: {kind}")
