"""`absdomain compare`: which images two networks certify, and what an attack on one of them does to the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from absdomain.cli import options as option
from absdomain.report.runs import check_of, subject_of, use
from absdomain.runtime.progress import progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from absdomain.certification import Verdict
    from absdomain.report.study import Check

CAVEAT = (
    "No ensemble certificate: which of the two to trust is known from the true label alone, "
    "so that no classifier has the error of `either`."
)
BATCH = 100  # images that are attacked at once
PAIR = ("first", "second")
NAMES = (*PAIR, "both", "either", "only first", "only second", "neither")


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN1", help="Folder of a finished training.")],
    second: Annotated[Path, typer.Argument(metavar="RUN2", help="Another, or the same with another --model2.")],
    model1: Annotated[str, typer.Option(help="Which network of RUN1.", rich_help_panel=option.DATA)] = "model",
    model2: Annotated[str, typer.Option(help="Which network of RUN2.", rich_help_panel=option.DATA)] = "model",
    eps: option.Eps = None,
    clip: option.Clip = None,
    domain: option.Domains = None,
    steps: option.Steps = 40,
    restarts: option.Restarts = 2,
    subset: option.Subset = None,
    seed: option.Seed = 0,
    transfer: Annotated[bool, typer.Option(help="Attack each network with the points of the other.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    data_dir: option.DataDir = None,
    threads: option.Threads = None,
) -> None:
    """Certify the same test images with two networks, and say what either, both or only one of them certifies.

    Of all images, and of those that both classify correctly (Boopathy et al. 2021, table 7). What either certifies is
    no ensemble's certificate. Then each one's error at the points that PGD finds worst for the other (Li et al. 2019,
    section 4). eps and clipping are by default those of RUN1's training.

    `absdomain compare runs/ibp runs/singleprop --eps 0.3`
    """
    from absdomain.data import load
    from absdomain.report.study import judged

    use(threads)
    subjects = subject_of(first, None, None, model1), subject_of(second, None, None, model2)
    if subjects[0].data != subjects[1].data:
        raise ValueError(f"compare: {first} is of {subjects[0].data}, {second} of {subjects[1].data}; give runs of one")
    check = check_of(
        subjects[0], eps, clip, domain, steps=steps, restarts=restarts, subset=subset, seed=seed, cascade=True, curve=0
    )
    images, labels = load(subjects[0].data, "test", data_dir=data_dir)[: check.subset]
    found = [judged(subject, check, images, labels, check.folder(subject)) for subject in subjects]
    shares = {"all": counted(*found), "correct by both": counted(*_correct(*found))}
    errors = {name: _found(verdicts) for name, verdicts in zip(PAIR, found, strict=True)}
    if transfer and check.steps:
        networks = [subject.network for subject in subjects]
        for name, (own, other) in zip(PAIR, (networks, networks[::-1]), strict=True):
            errors[name]["transfer"] = transferred(other, own, check, images, labels)
    if as_json:
        typer.echo(json.dumps({"eps": check.eps, "note": CAVEAT, **shares, "errors": errors}))
        return
    _show(shares, f"certified at eps {check.eps:g}: {first} ({model1}), {second} ({model2})")
    _show_errors(errors)


def counted(first: Sequence[Verdict], second: Sequence[Verdict]) -> dict[str, float]:
    """The number of images, and the percentage that each, both, either, only one or neither certifies."""
    from absdomain.certification import Status

    pairs = [(a.status is Status.VERIFIED, b.status is Status.VERIFIED) for a, b in zip(first, second, strict=True)]
    each = {
        "first": sum(a for a, _ in pairs),
        "second": sum(b for _, b in pairs),
        "both": sum(a and b for a, b in pairs),
        "either": sum(a or b for a, b in pairs),
        "only first": sum(a and not b for a, b in pairs),
        "only second": sum(b and not a for a, b in pairs),
        "neither": sum(not (a or b) for a, b in pairs),
    }
    return {"images": len(pairs)} | {name: 100 * count / max(1, len(pairs)) for name, count in each.items()}


def _found(verdicts: Sequence[Verdict]) -> dict[str, float | None]:
    """One network's clean error and its error under PGD, in percent."""
    from absdomain.certification import summarise

    summary = summarise(verdicts)
    return {"clean": summary.clean_error, "pgd": summary.pgd_error}


def _correct(first: Sequence[Verdict], second: Sequence[Verdict]) -> tuple[list[Verdict], list[Verdict]]:
    """The verdicts on images that both classify correctly."""
    kept = [(a, b) for a, b in zip(first, second, strict=True) if a.correct and b.correct]
    return [a for a, _ in kept], [b for _, b in kept]


def transferred(source: nn.Module, target: nn.Module, check: Check, images: Tensor, labels: Tensor) -> float:
    """The percentage of images that `target` gets wrong at the points of their balls that PGD finds worst for `source`.

    PGD with the check's steps and restarts, which does not stop where `source` errs first. Each network is given points
    of its own dtype.
    """
    import math

    import torch

    from absdomain.attack import pgd
    from absdomain.region import Linf, Region
    from absdomain.trainers.pairs import transfer_error

    generator = torch.Generator().manual_seed(check.seed)

    def ball(x: Tensor, network: nn.Module) -> Region:
        own = next((p.dtype for p in network.parameters()), x.dtype)
        return Linf(x.to(own), check.eps, clip=check.region)

    def worst(model: nn.Module, region: Region, y: Tensor) -> Tensor:
        found = pgd(model, region, y, steps=check.steps, restarts=check.restarts, goal=-math.inf, generator=generator)
        theirs = ball(x, target)  # rounded to another dtype, a point may lie outside
        return theirs.project(found.points.to(theirs.centre.dtype))

    wrong = 0.0
    with progress("transfer", len(labels)) as show:
        for first in range(0, len(labels), BATCH):
            x, y = images[first : first + BATCH], labels[first : first + BATCH]
            wrong += transfer_error(worst, source, target, ball(x, source), y).item() * len(y)
            show(first + len(y), f"{wrong:.0f} wrong")
    return 100 * wrong / len(labels)


def _show_errors(errors: dict[str, dict[str, float | None]]) -> None:
    from rich.table import Table

    from absdomain.report.tables import show

    table = Table("error of, %", title="what PGD finds", title_justify="left")
    for column in ("clean", "PGD on itself", "PGD on the other"):
        table.add_column(column, justify="right")
    for name, row in errors.items():
        cells = (row.get(key) for key in ("clean", "pgd", "transfer"))
        table.add_row(name, *("" if value is None else f"{value:.2f}" for value in cells))
    show(table)


def _show(shares: dict[str, dict[str, float]], title: str) -> None:
    from rich.table import Table

    from absdomain.report.tables import show

    table = Table("certified by, %", *shares, title=title, title_justify="left", caption=CAVEAT, caption_justify="left")
    for name in NAMES:
        table.add_row(name, *(f"{column[name]:.2f}" for column in shares.values()))
    table.add_section()
    table.add_row("images", *(f"{column['images']:g}" for column in shares.values()))
    show(table)
