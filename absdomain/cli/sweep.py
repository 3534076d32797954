"""`absdomain sweep`: presets, schedules and seeds, trained, certified and put into one table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from absdomain.cli import options as option
from absdomain.report.runs import check_of, made_of_runs, recipe_of, subject_of, train_in, use
from absdomain.report.sweep_table import Result
from absdomain.runtime.folders import Kind, Output
from absdomain.runtime.progress import say
from absdomain.runtime.units import Tell, in_order, watched

if TYPE_CHECKING:
    from absdomain.trainers import Recipe


WRITTEN = ("results.json", "table.md", "costs.json", "eps.png", "length.png", "seeds.png", "cost.png")
SWEEP = Kind("sweep", earlier=lambda folder: made_of_runs(folder, *WRITTEN))


@dataclass(frozen=True)
class Job:
    """One training of a sweep."""

    preset: str
    recipe: Recipe
    folder: Path


def sweep(
    presets: Annotated[list[str], typer.Argument(metavar="PRESET...", help="Names of presets.", show_default=False)],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0, 1, ... of each.", rich_help_panel=option.METHOD)] = 1,
    budget: Annotated[
        list[float] | None,
        typer.Option(
            help="Share of the preset's epochs, all phases in proportion; may be given again. Default: 1.",
            rich_help_panel=option.SCHEDULE,
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Train on so many images, drawn by the seed. Default: the preset's.",
            show_default=False,
            rich_help_panel=option.SCHEDULE,
        ),
    ] = None,
    eps: Annotated[
        list[float] | None,
        typer.Option(min=0, help="A radius to certify; may be given again. Default: the preset's.", show_default=False),
    ] = None,
    clip: option.Clip = None,
    domain: option.Domains = None,
    steps: option.Steps = 40,
    restarts: option.Restarts = 2,
    attack: option.Attack = "",
    subset: option.Subset = None,
    cost: Annotated[bool, typer.Option("--cost/--no-cost", help="Time a step beside a natural one.")] = True,
    out: Annotated[Path, typer.Option(help="The sweep's folder.")] = Path("runs/sweep"),
    data_dir: option.DataDir = None,
    device: option.Device = "auto",
    threads: option.Threads = None,
    scheduler: option.Scheduler = None,
    workers: option.Workers = None,
) -> None:
    """Train presets with several seeds and budgets, certify each, and write one table with its plots.

    Each training has a folder of its own, and on a cluster, whose workers have to see it, one at a time is done by each
    worker; the same command again resumes: no epoch is trained and no image judged
    twice. Both networks of a pair are certified. The sweep's folder gets table.md, results.json and the plots. Epochs
    are rounded to an even number, as a pair needs.

    `absdomain sweep mnist-0.3-crown-ibp-B mnist-0.3-pure-ibp-B --seeds 3 --budget 0.1 --budget 0.3`
    """
    from absdomain.certification.arguments import check_domains
    from absdomain.domain import parse
    from absdomain.report import sweep_table

    cluster = option.cluster_of(scheduler, workers)
    device = use(option.threads_of(threads, cluster), device)
    asked: dict[str, Any] = {"clip": clip, "domains": domain, "steps": steps, "restarts": restarts, "subset": subset}
    asked |= {"attacked": attack, "curve": 0, "cascade": True}
    if domain is not None:
        check_domains([parse(text) for text in domain])  # now, and not after the first training
    if cluster is not None:  # whose workers may have other working folders
        out, data_dir = out.resolve(), None if data_dir is None else data_dir.resolve()
    trainings = list(jobs(presets, seeds, budget or [1.0], out, images))
    output = SWEEP.claim(out, *WRITTEN)
    results = _all(trainings, _Training(eps, asked, data_dir, device), cluster)
    costs = _costs(presets, data_dir, output) if cost else {}
    sweep_table.write(output, results, costs)
    output.write_json("results.json", [asdict(result) for result in results])
    typer.echo((out / "table.md").read_text())
    typer.echo(f"table, numbers and plots: {out}")


def jobs(presets: list[str], seeds: int, budgets: list[float], out: Path, images: int | None = None) -> Iterator[Job]:
    """All trainings, once each, seed by seed, so that an interrupted sweep has all methods.

    Budgets whose epochs round to the same number are one training. BadParameter for a budget that is none.
    """
    for budget in budgets:
        if not 0 < budget < math.inf:
            raise typer.BadParameter(f"{budget} is not a share of the epochs; give one above 0", param_hint="--budget")
    made: set[Path] = set()
    for seed in range(seeds):
        for budget in budgets:
            for preset in presets:
                whole = recipe_of(preset, {}).epochs
                epochs = whole if budget == 1 else max(2, 2 * round(budget * whole / 2))
                recipe = recipe_of(preset, {"epochs": epochs, "seed": seed, "images": images})
                job = Job(preset, recipe, out / f"{preset}-epochs{epochs}-seed{seed}")
                if job.folder not in made:
                    made.add(job.folder)
                    yield job


@dataclass(frozen=True)
class _Training:
    """What comes of a job, on which the radii and so on are the same as of all others."""

    radii: list[float] | None
    asked: dict[str, Any]
    data_dir: Path | None
    device: str

    def __call__(self, job: Job, tell: Tell) -> list[Result]:
        say(f"{job.folder}")
        return list(_results(job, self.radii, self.asked, self.data_dir, self.device))


def _all(trainings: list[Job], work: _Training, cluster: object) -> list[Result]:
    """The results of all jobs, in their order."""
    from absdomain.runtime.cluster import opened

    with opened(cluster, "sweep") as mapper:
        found = watched(mapper, work, trainings, [job.folder.name for job in trainings])
        return [result for results in in_order(found) for result in results]


def _results(
    job: Job, radii: list[float] | None, asked: dict[str, Any], data_dir: Path | None, device: str
) -> Iterator[Result]:
    """Train, and certify each network at each radius, once each; both go on from what the folder has."""
    from absdomain.trainers import Diverged, models_in, read_metrics

    recipe = job.recipe
    what = f"{recipe.trainer} on {recipe.domain}, {recipe.network}, {recipe.data}"
    of_job = partial(Result, job.preset, what, recipe.epochs, recipe.seed, recipe.eps, images=recipe.images)
    failure = None
    try:
        train_in(recipe, job.folder, data_dir, device)
    except Diverged as reason:
        failure = str(reason)
    for eps in dict.fromkeys(radii or [recipe.certified_eps]):
        if failure is not None:
            yield of_job(eps=eps, clip=recipe.clip, diverged=failure)
            continue
        rows = read_metrics(job.folder)
        seconds = rows[-1]["seconds"] / recipe.epochs if rows else None
        for model in models_in(job.folder):
            found = _certified(job.folder, model, eps, asked, data_dir, device)
            errors = {"clean": found["clean_error"], "pgd": found["pgd_error"], "verified": found["verified_error"]}
            yield of_job(eps=eps, clip=found["clip"], epoch_seconds=seconds, model=model, **errors)


def _certified(
    run: Path, model: str, eps: float, asked: dict[str, Any], data_dir: Path | None, device: str
) -> dict[str, Any]:
    """The results, as in results.json; verdicts that the folder has, of this network and data, are not made again."""
    from absdomain.report.study import study

    subject = subject_of(run, None, None, model)
    return study(subject, check_of(subject, eps, **asked), data_dir=data_dir, device=device).results


def _costs(presets: list[str], data_dir: Path | None, output: Output) -> dict[str, Any]:
    """What a step of each preset costs, measured once and kept."""
    from absdomain.data import load
    from absdomain.report.cost import cost

    path = output.path / "costs.json"
    try:
        known: dict[str, dict[str, Any]] = dict(json.loads(path.read_text())) if path.exists() else {}
    except ValueError as reason:
        raise ValueError(f"{path}: not what a sweep wrote ({reason}); delete it to measure again") from reason
    for preset in presets:
        recipe = recipe_of(preset, {})
        key = json.dumps([recipe.to_json()], sort_keys=True)
        if known.get(preset, {}).get("recipe") != key:
            found = cost(recipe, load(recipe.data, "train", data_dir=data_dir))
            known[preset] = {**asdict(found), "recipe": key}
            output.write_json(path.name, known)
    return {preset: known[preset] for preset in presets}
