"""The training loop: epochs of steps, one row of metrics each, resumed exactly after any interruption.

All that a step depends on is in the checkpoint or derived from (seed, epoch, batch): the weights, the optimiser's
state, torch's random state, the order of the images. So a run that is killed and started again ends with the same
weights, on a CPU bit for bit, given the same number of threads, which the run's config keeps.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from absdomain.data import Images, load
from absdomain.trainers.augment import augment
from absdomain.trainers.folder import MODEL, Config, append_metrics, locked, settle
from absdomain.trainers.objective import clean_error, verified_error
from absdomain.trainers.recipe import Recipe, Values
from absdomain.trainers.session import Position, Session, start


@dataclass(frozen=True)
class StepMetrics:
    """One step, for progress displays; errors are of this batch, None where the method did not compute them."""

    epoch: int
    step: int
    steps: int  # of the whole training
    loss: float
    values: Values
    clean_error: float | None
    verified_error: float | None


@dataclass(frozen=True)
class Metrics:
    """One epoch. Errors are in [0, 1], on the held-out images, at the radius that the epoch ended with."""

    epoch: int  # counted from 1
    step: int
    loss: float  # mean of the epoch's steps
    eps: float
    kappa: float
    beta: float
    lr: float
    clean_error: float | None  # None without held-out images
    verified_error: float | None  # None where the method bounds nothing, too
    seconds: float  # of training so far, without interruptions


class Diverged(RuntimeError):
    """The loss became infinite or undefined; the weights before that step are in the checkpoint."""


def train(
    recipe: Recipe,
    out: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    on_step: Callable[[StepMetrics], None] | None = None,
    checkpoint_seconds: float = 30.0,
) -> Iterator[Metrics]:
    """Train by the recipe in the folder `out`, or resume what was begun there; one Metrics per finished epoch.

    The folder gets config.json, metrics.jsonl, a checkpoint (every `checkpoint_seconds` and after each epoch) and at
    the end model.safetensors. A finished run yields nothing. The test images are never read. Seeds torch's global
    random state and sets the number of threads to that of the run.

    Raises RunError for a folder that holds another run, Diverged when the loss is no longer finite, and DataError,
    RecipeError and CheckpointError as their files do.
    """
    folder = Path(out)
    full = load(recipe.data, "train", data_dir=data_dir)
    if recipe.validation >= len(full):
        raise recipe.refuse("validation", f"there are {len(full)} training images, hold out fewer")
    digest = hashlib.sha256(full.pixels.numpy().tobytes() + full.labels.numpy().tobytes()).hexdigest()
    wanted = Config(recipe, full.shape, full.classes, digest, torch.get_num_threads(), torch.__version__)
    config = settle(folder, wanted)
    torch.set_num_threads(config.threads)
    return _train(folder, recipe, full, torch.device(device), on_step, checkpoint_seconds)


def _train(
    folder: Path,
    recipe: Recipe,
    full: Images,
    device: torch.device,
    on_step: Callable[[StepMetrics], None] | None,
    checkpoint_seconds: float,
) -> Iterator[Metrics]:
    with locked(folder):
        session = start(folder, recipe, full, device)
        session.restore()
        while session.position.epoch < recipe.epochs:
            _epoch(session, on_step, checkpoint_seconds)
            yield _finish_epoch(session)
        if not (folder / MODEL).exists():
            session.save_model()


def _epoch(session: Session, on_step: Callable[[StepMetrics], None] | None, checkpoint_seconds: float) -> None:
    """Do what is left of the present epoch."""
    recipe, position = session.recipe, session.position
    order = torch.from_numpy(np.random.default_rng((recipe.seed, position.epoch)).permutation(len(session.images)))
    learning_rate = recipe.learning_rate(session.batches)
    session.objective.train()
    saved = clock = time.monotonic()
    while position.batch < session.batches:
        step = position.epoch * session.batches + position.batch
        values = recipe.at(step, session.batches)
        session.objective.set(**values._asdict())
        for group in session.optimiser.param_groups:
            group["lr"] = learning_rate(step)
        x, y = _batch(session, order)
        loss, metrics = session.objective(x, y)
        value = loss.item()
        if not math.isfinite(value):
            session.save()
            raise Diverged(_diverged(session, value, values))
        session.optimiser.zero_grad()
        loss.backward()
        session.optimiser.step()
        now = time.monotonic()
        position.batch += 1
        position.losses += value
        position.seconds += now - clock
        clock = now
        if now - saved > checkpoint_seconds:
            session.save()
            saved = now
        if on_step is not None:
            on_step(_step_metrics(session, step, value, values, metrics))


def _batch(session: Session, order: Tensor) -> tuple[Tensor, Tensor]:
    recipe, position = session.recipe, session.position
    rows = order[position.batch * recipe.batch : (position.batch + 1) * recipe.batch]
    x, y = session.images[rows]
    x, y = x.to(session.device, recipe.torch_dtype), y.to(session.device)
    if recipe.flip or recipe.crop:
        seed = int(np.random.default_rng((recipe.seed, position.epoch, position.batch)).integers(2**63))
        x = augment(x, torch.Generator().manual_seed(seed), flip=recipe.flip, crop=recipe.crop)
    return x, y


def _finish_epoch(session: Session) -> Metrics:
    """Measure on the held-out images, commit the row of metrics, and go to the next epoch."""
    recipe, position = session.recipe, session.position
    step = position.epoch * session.batches + session.batches - 1
    values = recipe.at(step, session.batches)
    session.objective.set(**values._asdict())  # a run may resume just here, with no step before
    started = time.monotonic()
    clean, verified = _evaluate(session)
    row = Metrics(
        epoch=position.epoch + 1,
        step=step + 1,
        loss=position.losses / session.batches,
        **values._asdict(),
        lr=recipe.learning_rate(session.batches)(step),
        clean_error=clean,
        verified_error=verified,
        seconds=position.seconds + time.monotonic() - started,
    )
    size = append_metrics(session.folder, asdict(row), position.metrics_size)
    session.position = Position(epoch=position.epoch + 1, seconds=row.seconds, metrics_size=size)
    session.save()
    return row


@torch.no_grad()
def _evaluate(session: Session) -> tuple[float | None, float | None]:
    """(clean, verified) error on the held-out images with the objective's present values."""
    if len(session.held_out) == 0:
        return None, None
    session.objective.eval()
    clean = verified = 0.0
    bounded = True
    for x, y in session.held_out.batches(EVALUATION_BATCH):
        x, y = x.to(session.device, session.recipe.torch_dtype), y.to(session.device)
        clean += clean_error(session.objective.network(x), y).item() * len(y)
        lower = session.objective.lower(x, y)
        bounded = lower is not None
        verified += verified_error(lower).item() * len(y) if lower is not None else 0.0
    count = len(session.held_out)
    return clean / count, verified / count if bounded else None


EVALUATION_BATCH = 500


def _step_metrics(session: Session, step: int, loss: float, values: Values, metrics: dict[str, Tensor]) -> StepMetrics:
    seen = {name: value.item() for name, value in metrics.items()}
    return StepMetrics(
        epoch=session.position.epoch + 1,
        step=step + 1,
        steps=session.recipe.epochs * session.batches,
        loss=loss,
        values=values,
        clean_error=seen.get("clean_error"),
        verified_error=seen.get("verified_error"),
    )


def _diverged(session: Session, loss: float, values: Values) -> str:
    position = session.position
    return (
        f"{session.folder}: the loss is {loss} at epoch {position.epoch + 1}, batch {position.batch + 1} "
        f"(eps {values.eps:g}, kappa {values.kappa:g}); the weights before that step are saved. "
        "Train anew with a smaller lr, a longer ramp or a longer warmup"
    )
