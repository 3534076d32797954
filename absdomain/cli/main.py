"""The command line: train, certify, bounds, fuzz, demo, list; the other commands have files of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from absdomain.cli import options as option
from absdomain.cli.compare import compare
from absdomain.cli.console import Commands, keep_memory, plain_warnings
from absdomain.cli.inspect import inspect
from absdomain.cli.matrix import matrix
from absdomain.cli.prove import prove
from absdomain.cli.sweep import sweep
from absdomain.cli.toy import toy
from absdomain.report.runs import check_of, name_of, recipe_of, subject_of, train_in, use
from absdomain.runtime.processes import launched
from absdomain.runtime.progress import speaks

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


@app.callback()
def absdomain(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
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


# --- train ------------------------------------------------------------------------------------------------------------
METHOD, SCHEDULE = option.METHOD, option.SCHEDULE


def _hint(text: str, panel: str) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, show_default=False)


@app.command()
def train(
    ctx: typer.Context,
    data: option.Data = None,
    preset: Annotated[str | None, _hint("A whole recipe by its name; other options change it.", METHOD)] = None,
    network: Annotated[str | None, _hint("Architecture, such as crown-ibp-B or gowal-small.", METHOD)] = None,
    trainer: Annotated[str | None, _hint('Method; "ibp(loss=hinge)" has options. Default: crown-ibp.', METHOD)] = None,
    domain: Annotated[str | None, _hint("The domain that bounds, as an expression.", METHOD)] = None,
    eps: option.Eps = None,
    eps_eval: Annotated[float | None, _hint("The radius to be certified, if another one.", METHOD)] = None,
    clip: option.Clip = None,
    kappa_start: Annotated[float | None, _hint("First weight of the nominal loss.", METHOD)] = None,
    kappa_end: Annotated[float | None, _hint("Final weight of the nominal loss.", METHOD)] = None,
    beta_end: Annotated[float | None, _hint("Final weight of CROWN-IBP's relaxation.", METHOD)] = None,
    l1: Annotated[float | None, _hint("Weight of the L1 norm of the weights.", METHOD)] = None,
    normalise: Annotated[bool | None, _hint("Normalise pixels inside the network.", METHOD)] = None,
    epochs: Annotated[int | None, _hint("All phases stretch with it.", SCHEDULE)] = None,
    warmup: Annotated[float | None, _hint("Natural epochs before eps grows.", SCHEDULE)] = None,
    ramp: Annotated[float | None, _hint("Epochs in which eps grows to its value.", SCHEDULE)] = None,
    smooth: Annotated[bool | None, _hint("Smooth instead of linear ramp.", SCHEDULE)] = None,
    batch: Annotated[int | None, _hint("Images per step.", SCHEDULE)] = None,
    optimiser: Annotated[str | None, _hint("adam or sgd.", SCHEDULE)] = None,
    lr: Annotated[float | None, _hint("Learning rate.", SCHEDULE)] = None,
    spike: Annotated[float | None, _hint("Leave out a step whose loss is so many times the mean.", SCHEDULE)] = None,
    patience: Annotated[int | None, _hint("So many in a row may be left out. Default: 3.", SCHEDULE)] = None,
    validation: Annotated[int | None, _hint("Training images held out to watch the run.", SCHEDULE)] = None,
    images: Annotated[int | None, _hint("Train on so many images, drawn by the seed. Default: all.", SCHEDULE)] = None,
    seed: Annotated[int | None, _hint("Seed of all randomness. Default: 0.", METHOD)] = None,
    norms: Annotated[bool | None, _hint("Note each layer's induced norm after each epoch.", SCHEDULE)] = None,
    tf32: Annotated[bool | None, _hint("Let CUDA round products to TF32.", option.MACHINE)] = None,
    out: Annotated[Path | None, _hint("The run's folder. Default: in runs/, one for each recipe.", "Data")] = None,
    data_dir: option.DataDir = None,
    device: option.Device = "auto",
    threads: option.Threads = None,
) -> None:
    """Train a network, by default with CROWN-IBP. The same command again resumes.

    The folder gets config.json, metrics.jsonl, checkpoints, training.png and at the end model.safetensors.
    All defaults but the data set are those of the method's paper for that data set, or of its MNIST recipe, with --eps.

    `absdomain train --data mnist --network crown-ibp-B --trainer crown-ibp --eps 0.3 --epochs 100 --out RUN`
    """
    recipe = recipe_of(preset, ctx.params)
    folder = out or Path("runs") / name_of(recipe)
    train_in(recipe, folder, data_dir, use(threads, device))
    if speaks():
        typer.echo(f"{folder}: trained. Now: absdomain certify {folder}")


# --- certify and bounds -----------------------------------------------------------------------------------------------


@app.command()
def certify(
    run: option.Run = None,
    weights: option.WeightsFile = None,
    data: option.Data = None,
    eps: option.Eps = None,
    clip: option.Clip = None,
    domain: option.Domains = None,
    cascade: option.Cascade = False,
    steps: option.Steps = 40,
    restarts: option.Restarts = 2,
    count_ties: option.Ties = False,
    margin: option.Margin = None,
    subset: option.Subset = None,
    curve: option.Curve = 100,
    seed: option.Seed = 0,
    model: option.Model = "model",
    out: option.Results = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    batch: option.Batch = 100,
    data_dir: option.DataDir = None,
    device: option.Device = "auto",
    threads: option.Threads = None,
) -> None:
    """Certify the test images: clean, PGD and verified error. The same command again resumes.

    eps and the data set are by default those of the training. Bounds are computed in double precision, and a bound
    within rounding of 0 is no proof. The folder gets config.json, verdicts.jsonl, results.json and the plots.

    `absdomain certify RUN --eps 0.3 --domain crown-ibp --domain "box & deeppoly"`
    """
    from absdomain.report import tables
    from absdomain.report.study import study

    device = use(threads, device)
    subject = subject_of(run, weights, data, model)
    check = check_of(
        subject, eps, clip, domain, cascade=cascade, steps=steps, restarts=restarts, strict=not count_ties,
        margin=margin, subset=subset, curve=curve, seed=seed,
    )  # fmt: skip
    outcome = study(subject, check, out=out, data_dir=data_dir, device=device, batch=batch)
    if not speaks():
        return
    if as_json:
        typer.echo(json.dumps(outcome.results))
        return
    title = f"{subject.name}, {subject.data}, eps {check.eps:g}{', clipped' if check.clip else ''}"
    tables.show(tables.errors_table(outcome.summary, check.spelling(), title))
    typer.echo(f"verdicts and plots: {outcome.folder}")


@app.command()
def bounds(
    run: option.Run = None,
    weights: option.WeightsFile = None,
    data: option.Data = None,
    index: Annotated[int, typer.Option(min=0, help="Which test image.", rich_help_panel=option.DATA)] = 0,
    eps: option.Eps = None,
    clip: option.Clip = None,
    domain: option.Domains = None,
    plot: Annotated[Path | None, _hint("Draw the widths into this file.", option.DATA)] = None,
    data_dir: option.DataDir = None,
    threads: option.Threads = None,
) -> None:
    """Bound one test image: the widths of every layer, and the margins over the other classes.

    `absdomain bounds RUN --index 7 --domain box --domain deeppoly`
    """
    from absdomain.data import load
    from absdomain.report import plots, tables
    from absdomain.report.study import layers_of, margins_of
    from absdomain.runtime.writing import replace, vacant

    use(threads)
    if plot is not None:
        vacant(plot, plots.drawn)
    subject = subject_of(run, weights, data)
    check = check_of(subject, eps, clip, domain)
    test = load(subject.data, "test", data_dir=data_dir)
    if index >= len(test):
        raise ValueError(f"--index {index}: {subject.data} has test images 0..{len(test) - 1}")
    image, label = test[index : index + 1]
    layers = layers_of(subject.network, check, image)
    title = f"{subject.name}, {subject.data} test image {index} (a {int(label)}), eps {check.eps:g}"
    margins = margins_of(subject.network, check, image, label)
    tables.show(
        tables.layers_table(layers, title),
        tables.margins_table(margins, int(label), f"lower bounds of z_{int(label)} - z_rival"),
    )
    if plot is not None:
        replace(plot, plots.encoded(plots.widths(layers, title), plot.suffix[1:] or "png"), plots.drawn)


# --- fuzz -------------------------------------------------------------------------------------------------------------


@app.command()
def fuzz(
    domain: Annotated[list[str], typer.Option(help="A domain expression; may be given again.", show_default=False)],
    examples: Annotated[
        int | None, typer.Option(min=1, help="Random problems of each law.", show_default=False)
    ] = None,
    seed: option.Seed = 0,
    laws: Annotated[
        list[str] | None, typer.Option(help="Only this law; may be given again.", show_default=False)
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Only laws whose problems are in float64, or in float32.", show_default=False)
    ] = None,
    extremes: Annotated[
        bool, typer.Option("--extremes", help="Only problems on which rounding is large, against 200 digits.")
    ] = False,
    profile: Annotated[str, typer.Option(help="fast or nightly: how many examples, where none is said.")] = "fast",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; such small tensors gain nothing from more.")] = 1,
) -> None:
    """Try to break a domain: its laws on random networks, regions and specifications; one exit code for all.

    0: all kept. 1: a law is broken, and the smallest problem found is printed as a script. 2: not understood.
    nightly is 10,000 problems of each law, 500 for a domain that asks a solver; the same seed tries the same problems.

    `absdomain fuzz --domain "box & deeppoly" --examples 1000 --seed 7`
    """
    from absdomain.cli import fuzz
    from absdomain.domain import ExpressionError, parse
    from absdomain.laws import LawBroken
    from absdomain.report import tables

    use(threads)
    if profile not in fuzz.PROFILES:
        raise typer.BadParameter(f"there are {', '.join(fuzz.PROFILES)}", param_hint="--profile")
    try:
        subjects, asked = [parse(text) for text in domain], fuzz.chosen(laws, dtype, extremes=extremes)
    except (ExpressionError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    for subject in subjects:
        try:
            outcome = fuzz.fuzz(subject, examples=examples or fuzz.count(subject, profile), seed=seed, laws=asked)
        except LawBroken as broken:
            typer.echo(broken)
            raise typer.Exit(1) from None
        tables.show(fuzz.table(outcome))


# --- demo and list ----------------------------------------------------------------------------------------------------


@app.command()
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
    check = check_of(subject, None, None, ["box", "crown-ibp", "fast-lin", "deeppoly", "box & deeppoly"])
    outcome = study(subject, check)
    tables.show(tables.errors_table(outcome.summary, check.spelling(), f"{recipe.data}, eps {check.eps:g}"))
    typer.echo(f"training curves: {out / 'training.png'}")
    for name in ("errors.png", "widths.png", "results.json"):
        typer.echo(outcome.folder / name)


@app.command(name="list")
def list_(
    what: Annotated[
        str | None, typer.Argument(help="domains, networks, trainers, data or presets; all without it.")
    ] = None,
) -> None:
    """What is installed: domains, networks, trainers, data sets, presets, with those of plug-ins."""
    from absdomain.report import tables

    listings = tables.listings() | {"presets": _presets}
    if what is not None and what not in listings:
        raise ValueError(f"list {what}: there are {', '.join(listings)}")
    tables.show(*(tables.names_table(name, rows()) for name, rows in listings.items() if what in (None, name)))


def _presets() -> list[tuple[str, str]]:
    from absdomain.registry import find, names

    recipes: list[tuple[str, Any]] = [(name, find("presets", name)) for name in names("presets")]
    return [(name, f"{r.trainer}, {r.network} on {r.data}, eps {r.eps:.4g}, {r.epochs} epochs") for name, r in recipes]


for command in (prove, sweep, compare, matrix, inspect, toy):
    app.command()(command)
