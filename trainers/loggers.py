"""Loggers: callbacks of `fit` that send each epoch's numbers to TensorBoard, Weights & Biases or MLflow.

The three are no dependencies of absdomain: each is imported when its logger is made, before any training. Errors are in
[0, 1], and the axis is the epoch. Where several processes train, give the first one alone a logger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from absdomain.errors import needing
from absdomain.trainers.run.metrics import Metrics

Logger = Callable[[Metrics], None]


def tensorboard(folder: str | Path) -> Logger:
    """Event files in the folder, which `tensorboard --logdir FOLDER` shows.

    from absdomain.trainers import loggers
    absdomain.fit(model, data, eps=0.1, callbacks=loggers.tensorboard("logs"))

    Errors: MissingExtra without the package tensorboard.
    """
    with needing("tensorboard", "loggers.tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    writer = SummaryWriter(str(folder))

    def log(row: Metrics) -> None:
        for name, value in scalars(row).items():
            writer.add_scalar(name, value, row.epoch)
        writer.flush()  # so that the epoch is seen at once, and nothing has to be closed

    return log


def wandb(project: str = "absdomain", **options: Any) -> Logger:
    """The run of Weights & Biases that is under way, or else a new one of this project; options are of `wandb.init`.

    Errors: MissingExtra without the package wandb.
    """
    with needing("wandb", "loggers.wandb"):
        import wandb as package
    run = package.run or package.init(project=project, **options)

    def log(row: Metrics) -> None:
        run.log(scalars(row), step=row.epoch)

    return log


def mlflow(experiment: str | None = None) -> Logger:
    """MLflow's active run, or else a new one, which MLflow ends with the process; in this experiment, if it is given.

    Errors: MissingExtra without the package mlflow.
    """
    with needing("mlflow", "loggers.mlflow"):
        import mlflow as package
    if experiment is not None:
        package.set_experiment(experiment)

    def log(row: Metrics) -> None:
        package.log_metrics(scalars(row), step=row.epoch)

    return log


LOGGERS: dict[str, Callable[[str], Logger]] = {"tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow}


def read(text: str) -> Logger:
    """A logger by its text: tensorboard:FOLDER, wandb:PROJECT or mlflow:EXPERIMENT.

    Errors: ValueError for another text; MissingExtra without its package.
    """
    name, _, place = text.partition(":")
    if name not in LOGGERS or not place:
        raise ValueError(f"logger {text!r}: give tensorboard:FOLDER, wandb:PROJECT or mlflow:EXPERIMENT")
    return LOGGERS[name](place)


def scalars(row: Metrics) -> dict[str, float]:
    """The row's numbers by name, those of the method among them; what is not known is left out."""
    own = {field.name: getattr(row, field.name) for field in fields(row)}
    del own["epoch"], own["more"]
    return {name: float(value) for name, value in (own | row.more).items() if value is not None}
