"""`absdomain train`: one network by one recipe, in a folder that can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from absdomain.cli import options as option
from absdomain.report.grid import best_of
from absdomain.report.runs import name_of, recipe_of, train_in, use
from absdomain.runtime.progress import speaks

METHOD, SCHEDULE = option.METHOD, option.SCHEDULE


def _hint(text: str, panel: str) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, show_default=False)


def train(
    ctx: typer.Context,
    data: option.Data = None,
    preset: Annotated[str | None, _hint("A whole recipe by its name; other options change it.", METHOD)] = None,
    network: Annotated[
        str | None, _hint("crown-ibp-B, gowal-small, 'mlp(hidden=(50, 50))' or module:factory.", METHOD)
    ] = None,
    trainer: Annotated[str | None, _hint('Method; "ibp(loss=hinge)" has options. Default: crown-ibp.', METHOD)] = None,
    domain: Annotated[str | None, _hint("The domain that bounds, as an expression.", METHOD)] = None,
    eps: option.Eps = None,
    eps_eval: Annotated[
        float | None,
        typer.Option(
            parser=option.radius,
            metavar="RADIUS",
            help="The radius to be certified, if another one.",
            rich_help_panel=METHOD,
            show_default=False,
        ),
    ] = None,
    clip: option.Clip = None,
    kappa_start: Annotated[float | None, _hint("First weight of the nominal loss.", METHOD)] = None,
    kappa_end: Annotated[float | None, _hint("Final weight of the nominal loss.", METHOD)] = None,
    beta_end: Annotated[float | None, _hint("Final weight of CROWN-IBP's relaxation.", METHOD)] = None,
    l1: Annotated[float | None, _hint("Weight of the L1 norm of the weights.", METHOD)] = None,
    normalise: Annotated[bool | None, _hint("Normalise pixels inside the network.", METHOD)] = None,
    flip: Annotated[bool | None, _hint("Mirror training images at random.", METHOD)] = None,
    crop: Annotated[int | None, _hint("Shift training images at random by up to so many pixels.", METHOD)] = None,
    epochs: Annotated[int | None, _hint("All phases stretch with it.", SCHEDULE)] = None,
    warmup: Annotated[str | None, _hint('Natural epochs before eps grows, or "2000 steps".', SCHEDULE)] = None,
    ramp: Annotated[str | None, _hint('Epochs in which eps grows to its value, or "10000 steps".', SCHEDULE)] = None,
    smooth: Annotated[bool | None, _hint("Smooth instead of linear ramp.", SCHEDULE)] = None,
    stair: Annotated[int | None, _hint("Epochs for which eps stays; 0: it grows at every step.", SCHEDULE)] = None,
    milestones: Annotated[
        str | None, _hint('When the rate falls: "25, 42" epochs, or "15000 steps, 25000 steps".', SCHEDULE)
    ] = None,
    decay: Annotated[float | None, _hint("The factor by which it falls.", SCHEDULE)] = None,
    batch: Annotated[int | None, _hint("Images per step.", SCHEDULE)] = None,
    optimiser: Annotated[str | None, _hint("adam or sgd.", SCHEDULE)] = None,
    lr: Annotated[
        list[float] | None, _hint("Learning rate; given again, the best on held-out images is taken.", SCHEDULE)
    ] = None,
    spike: Annotated[float | None, _hint("Leave out a step whose loss is so many times the mean.", SCHEDULE)] = None,
    patience: Annotated[int | None, _hint("So many in a row may be left out. Default: 3.", SCHEDULE)] = None,
    validation: Annotated[int | None, _hint("Training images held out to watch the run.", SCHEDULE)] = None,
    images: Annotated[int | None, _hint("Train on so many images, drawn by the seed. Default: all.", SCHEDULE)] = None,
    seed: Annotated[int | None, _hint("Seed of all randomness. Default: 0.", METHOD)] = None,
    init: Annotated[str | None, _hint("First weights: a safetensors file, or a run's folder.", METHOD)] = None,
    keep: Annotated[
        str | None, _hint("last, or best: the weights of the least held-out verified error after the ramp.", SCHEDULE)
    ] = None,
    norms: Annotated[bool | None, _hint("Note each layer's induced norm after each epoch.", SCHEDULE)] = None,
    tf32: Annotated[bool | None, _hint("Let CUDA round products to TF32.", option.MACHINE)] = None,
    log: Annotated[
        str | None,
        _hint("Send each epoch's numbers to tensorboard:FOLDER, wandb:PROJECT or mlflow:EXPERIMENT.", "Data"),
    ] = None,
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
    from absdomain.trainers import loggers

    times = None if milestones is None else [time for time in milestones.split(",") if time.strip()]
    rates = list(dict.fromkeys(lr or []))
    given = ctx.params | {"milestones": times, "lr": rates[0] if rates else None}
    recipe, device = recipe_of(preset, given), use(threads, device)
    folder = out or Path("runs") / name_of(recipe)
    if len(rates) > 1:
        if log is not None:
            raise ValueError(f"--log {log}: the trainings of {len(rates)} rates would be mixed; give one --lr")
        folder = best_of(recipe, rates, folder, data_dir, device)
    else:
        after = [loggers.read(log)] if log is not None and speaks() else []  # before any work: it may be missing
        train_in(recipe, folder, data_dir, device, *after)
    if speaks():
        typer.echo(f"{folder}: trained. Now: absdomain certify {folder}")
