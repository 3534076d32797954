"""`absdomain matrix`: networks by the way they were trained, against the domains that certify them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from absdomain.cli import options as option
from absdomain.report.runs import check_of, subject_of, use
from absdomain.runtime.writing import as_json, keyed, replace, vacant

if TYPE_CHECKING:
    from torch import Tensor

    from absdomain.data import Images
    from absdomain.report.study import Check, Subject
    from absdomain.trainers import Recipe

# Box, the zero slope, Fast-Lin, CROWN and the linear program, each on its own boxes.
DOMAINS = ("box", "deeppoly(slopes=zero)", "fast-lin", "crown")  # lp takes minutes an image: by --domain lp
SPLITS = ("test", "train")
STREAM = 1  # of the seed's random streams; trainings draw what they hold out from the seed's own


@dataclass(frozen=True)
class Row:
    """One network's errors on images of one split, in percent."""

    run: str
    trained: str  # the trainer
    split: str
    eps: float
    clip: bool
    clean: float
    images: int
    pgd: float | None
    domains: dict[str, float]  # as the user spells them
    timeouts: dict[str, int]


OURS = keyed([field.name for field in fields(Row)])


def matrix(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished trainings.")],
    eps: option.Eps = None,
    clip: option.Clip = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(help=f"A column; may be given again. Default: {', '.join(DOMAINS)}.", show_default=False),
    ] = None,
    subset: Annotated[int, typer.Option(min=1, help="Images of each split, drawn by the seed.")] = 100,
    seed: option.Seed = 0,
    steps: option.Steps = 40,
    restarts: option.Restarts = 2,
    model: option.Model = "model",
    out: Annotated[Path, typer.Option(help="File for the numbers.")] = Path("matrix.json"),
    data_dir: option.DataDir = None,
    threads: option.Threads = None,
) -> None:
    """Certify each run with each domain, on images of the test and of the training split: a table of verified errors.

    A row is a network, a column a domain; eps and clipping are by default those of each training. Images of the
    training split are drawn from those that the network was trained on: they show how much of its proofs is learnt by
    heart. The same command again resumes.

    `absdomain matrix runs/ibp runs/wong-kolter --subset 100 --seed 1`
    """
    use(threads)
    vacant(out, OURS)
    asked = []
    for run in runs:  # all of them before any is certified: the last one may lack its radius
        subject = subject_of(run, None, None, model)
        check = check_of(
            subject, eps, clip, domain or list(DOMAINS),
            steps=steps, restarts=restarts, subset=subset, seed=seed, curve=0,
        )  # fmt: skip
        asked.append((run, subject, check))
    rows = [asdict(_row(*one, split, subset, data_dir)) for one in asked for split in SPLITS]
    replace(out, as_json(rows), OURS)
    _show(rows)
    typer.echo(f"numbers: {out}")


def _row(run: Path, subject: Subject, check: Check, split: str, count: int, data_dir: Path | None) -> Row:
    """One network's errors on `count` images of a split; verdicts that its folder has are not made again."""
    from absdomain.certification import summarise
    from absdomain.data import load
    from absdomain.report.study import judged

    recipe = _recipe(run)
    images, labels = drawn(_used(recipe, load(subject.data, split, data_dir=data_dir)), count, check.seed)
    folder = check.folder(subject)
    verdicts = judged(subject, check, images, labels, folder.with_name(f"{split}-seed{check.seed}-{folder.name}"))
    summary, spelt = summarise(verdicts), check.spelling()
    return Row(
        run=str(run),
        trained=recipe.trainer,
        split=split,
        eps=check.eps,
        clip=check.clip,
        clean=summary.clean_error,
        images=len(labels),
        pgd=summary.pgd_error,
        domains={spelt.get(name, name): error for name, error in summary.domains.items()},
        timeouts=dict(summary.timeouts),
    )


def drawn(images: Images, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """`count` images and labels drawn by the seed, in file order; all of them where there are no more."""
    import numpy as np
    import torch

    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAM,))).permutation(len(images))
    return images.select(torch.from_numpy(order[:count]).sort().values, images.split)[:]


def _used(recipe: Recipe, images: Images) -> Images:
    """Of a training split, the images that the recipe's training takes its steps on; any other split as it is."""
    from absdomain.trainers.run.session import split

    return split(recipe, images)[0] if images.split == "train" else images


def _recipe(run: Path) -> Recipe:
    from absdomain.trainers.run.folder import read_config

    config = read_config(run)
    assert config is not None  # its network has been read
    return config.recipe


def _show(rows: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table

    from absdomain.report.tables import show

    for split in SPLITS:
        chosen = [row for row in rows if row["split"] == split]
        names = list(dict.fromkeys(name for row in chosen for name in row["domains"]))
        title = f"verified error, %: {chosen[0]['images']} {split} images a network"
        table = Table("trained with", "run", "eps", "clip", "clean", "PGD", *names, title=title, title_justify="left")
        for row in chosen:
            pgd = "" if row["pgd"] is None else f"{row['pgd']:.2f}"
            clipped = "yes" if row["clip"] else "no"
            cells = [f"{row['domains'][name]:.2f}" if name in row["domains"] else "" for name in names]
            table.add_row(row["trained"], row["run"], f"{row['eps']:g}", clipped, f"{row['clean']:.2f}", pgd, *cells)
        show(table)
