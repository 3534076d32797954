"""The training loop: epochs of steps, one row of metrics each, resumed exactly after any interruption.

In several processes (`trainers.run.share`) each one runs this loop; the first one reads and writes the folder.
All that a step depends on is in the checkpoint or derived from (seed, epoch, batch): the weights, the optimiser's
state, torch's random state, the order of the images. So a run that is killed and started again ends with the same
weights, on a CPU bit for bit, given the same number of threads, which the run's config keeps. Several processes end
with those weights up to rounding, as does a run that goes on with another number of them.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from absdomain.data import Images, load
from absdomain.domain import parse
from absdomain.runtime.device import chosen
from absdomain.runtime.precision import set_tf32
from absdomain.runtime.processes import World
from absdomain.trainers.augment import augment
from absdomain.trainers.batchnorm import synchronised
from absdomain.trainers.method import read
from absdomain.trainers.objective import Step, clean_error, verified_error
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.run.collapse import collapsed
from absdomain.trainers.run.folder import Config, agreed, append_metrics, check_metrics, init_path, locked, settle
from absdomain.trainers.run.guard import Buffers, compared, gradient_trouble, left_out, loss_trouble, taken
from absdomain.trainers.run.metrics import Metrics, StepMetrics, step_metrics
from absdomain.trainers.run.session import Session, start
from absdomain.trainers.run.share import Share
from absdomain.trainers.schedules import Moment

EVALUATION_BATCH = 500  # held-out images at a time


class Diverged(RuntimeError):
    """Too many steps in a row had to be left out, or weights are not finite; the last good weights are saved.

    Starting the same training again raises it again.
    """


def train(
    recipe: Recipe,
    out: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    on_step: Callable[[StepMetrics], None] | None = None,
    checkpoint_seconds: float = 30.0,
    world: World | None = None,
) -> Iterator[Metrics]:
    """Train by the recipe in the folder `out`, or resume what was begun there; one Metrics per finished epoch.

    The folder gets config.json, metrics.jsonl, a checkpoint (every `checkpoint_seconds` and after each epoch) and at
    the end model.safetensors. A finished run yields nothing. The test images are never read. Seeds torch's global
    random state, and sets the number of threads to that of the run and whether CUDA computes in TF32 to what the recipe
    says, for the whole process. `device` "auto" is CUDA where there is some.

    Processes of one `world` train together, by default those that torchrun has started (`World.here`): each calls this
    with the same arguments and gets the same rows, but for their seconds. `World()` trains in this process alone.

    Raises RunError for a folder that holds another run or what is not the library's, Diverged when losses or gradients
    stay unusable, and DataError, RecipeError and CheckpointError as their files do.
    """
    folder, world = Path(out), World.here() if world is None else world
    recipe = replace(recipe, trainer=str(read(recipe.trainer)))
    if recipe.domain:  # a text that is no domain is refused here, before any work, also where the method reads none
        parse(recipe.domain)
    full = world.ahead(lambda: load(recipe.data, "train", data_dir=data_dir))
    if recipe.validation >= len(full):
        raise recipe.refuse("validation", f"there are {len(full)} training images, hold out fewer")
    if recipe.images is not None and recipe.images + recipe.validation > len(full):
        raise recipe.refuse("images", f"there are {len(full)} and {recipe.validation} are held out, take fewer")
    wanted = config_of(recipe, full)
    world.once(lambda: agreed(folder, wanted))
    return run(folder, wanted, full, torch.device(chosen(device)), world, on_step, checkpoint_seconds)


def config_of(recipe: Recipe, full: Images, *, given: bool = False) -> Config:
    """What makes the results of a training by this recipe on these images; `given` with a network of the caller's."""
    digest = hashlib.sha256(full.pixels.numpy().tobytes() + full.labels.numpy().tobytes()).hexdigest()
    first = init_path(recipe)
    weights = "" if first is None else hashlib.sha256(first.read_bytes()).hexdigest()
    threads = torch.get_num_threads()
    return Config(recipe, full.shape, full.classes, digest, threads, torch.__version__, weights, given)


def run(
    folder: Path,
    wanted: Config,
    full: Images,
    device: torch.device,
    world: World,
    on_step: Callable[[StepMetrics], None] | None = None,
    checkpoint_seconds: float = 30.0,
    network: nn.Module | None = None,
) -> Iterator[Metrics]:
    """`train`, of what has been checked; a network that is given is trained in the place of the recipe's."""
    recipe = wanted.recipe
    with ExitStack() as held:
        world.once(lambda: held.enter_context(locked(folder)))
        config = world.once(lambda: agreed(folder, wanted))  # again, as only now nobody else can write it
        torch.set_num_threads(config.threads)
        set_tf32(recipe.tf32)
        session = start(folder, recipe, full, device, world, network)
        world.once(lambda: settle(folder, config))  # what cannot start leaves no config behind
        session.restore()
        world.once(lambda: check_metrics(folder, session.position.metrics_size, session.position.epoch))
        if session.position.diverged is not None:  # with other random numbers it might go on, as another training
            _set(session, session.position.epoch * session.batches + session.position.batch)
            raise Diverged(_diverged(session, session.position.diverged))
        while session.position.epoch < recipe.epochs:
            _epoch(session, on_step, checkpoint_seconds)
            row = _finish_epoch(session)
            trouble = collapsed(row, session.held_out.labels) if row.epoch == recipe.epochs else None
            if trouble is not None and world.first:
                warnings.warn(trouble, stacklevel=2)
            yield row
        session.save_models()


def _epoch(session: Session, on_step: Callable[[StepMetrics], None] | None, checkpoint_seconds: float) -> None:
    """Do what is left of the present epoch."""
    recipe, position = session.recipe, session.position
    order = torch.from_numpy(np.random.default_rng((recipe.seed, position.epoch)).permutation(len(session.images)))
    learning_rate = recipe.learning_rate(session.batches)
    session.objective.train()
    saved = clock = time.monotonic()
    while position.batch < session.batches:
        step = position.epoch * session.batches + position.batch
        _set(session, step)
        for group in session.optimiser.param_groups:
            group["lr"] = learning_rate(step)
        metrics = _step(session, step, *_batch(session, order))
        now = time.monotonic()
        position.batch += 1
        position.seconds += now - clock
        clock = now
        if session.world.once(lambda late=now - saved > checkpoint_seconds: late):  # type: ignore[misc]
            _save(session)
            saved = now
        if on_step is not None:
            on_step(metrics)


def _set(session: Session, step: int) -> None:
    """Give the objective what the schedules say at a step."""
    values = session.recipe.at(step, session.batches)
    session.objective.set(**values._asdict(), at=Moment(step, session.batches))


def _step(session: Session, step: int, x: Tensor, y: Tensor) -> StepMetrics:
    """One step of the optimiser; or none where it would do harm, and the objective stays as it was."""
    recipe, position, objective = session.recipe, session.position, session.objective
    before = Buffers(objective.buffers())
    share = Share.of(session.world, len(y))
    with objective.working_on(share), synchronised(objective, share):
        result: Step = session.model(share.rows(x), share.rows(y))
    loss, seen = share.numbers(result.loss, result.metrics)
    compared(position, objective.with_bound)
    trouble = loss_trouble(recipe, position, loss)
    if trouble is None:
        session.optimiser.zero_grad()
        share.backward(result.loss)
        trouble = gradient_trouble(recipe, objective.parameters())
    if trouble is None:
        session.optimiser.step()
        metrics = step_metrics(session, step, loss, seen)
        taken(position, loss)
        position.see(metrics.more)
        return metrics
    before.restore()
    left_out(position)
    if position.streak > recipe.patience:
        position.diverged = trouble
        _save(session)
        raise Diverged(_diverged(session, trouble))
    return replace(step_metrics(session, step, loss, {}), skipped=trouble)


def _batch(session: Session, order: Tensor) -> tuple[Tensor, Tensor]:
    """The images and labels of the present step, of all processes together."""
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
    recipe, position, objective = session.recipe, session.position, session.objective
    step = position.epoch * session.batches + session.batches - 1
    _set(session, step)  # a run may resume just here, with no step before
    started = time.monotonic()
    objective.eval()
    with torch.no_grad():
        used, held_out = objective.values, session.batches_held_out(EVALUATION_BATCH)
        radius = used.eps if recipe.eps_eval is None else recipe.eps_eval
        clean, verified = _evaluate(session, radius)
        _set(session, step)
        session.compare(verified)
        reported = objective.epoch_end(held_out)
    row = Metrics(
        epoch=position.epoch + 1,
        step=step + 1,
        loss=position.loss,
        **used._asdict(),
        lr=recipe.learning_rate(session.batches)(step),
        clean_error=clean,
        verified_error=verified,
        seconds=position.seconds + time.monotonic() - started,
        eps_eval=radius,
        skipped=position.skipped,
        more={name: total / count for name, (total, count) in position.seen.items()}
        | reported
        | session.norms
        | session.kept,
    )
    _check(session)
    size = session.world.once(lambda: append_metrics(session.folder, asdict(row), position.metrics_size))
    session.position = position.next_epoch(row.seconds, size)
    session.save()
    return row


def _check(session: Session) -> None:
    if not session.finite:
        raise Diverged(_diverged(session, "a weight is not finite"))


def _save(session: Session) -> None:
    """Commit a checkpoint, or raise Diverged where a weight is not finite, so that the last good one is kept."""
    _check(session)
    session.save()


def _evaluate(session: Session, eps: float) -> tuple[float | None, float | None]:
    """(clean, verified) error on the held-out images, the second at the radius."""
    objective, count = session.objective, len(session.held_out)
    if count == 0:
        return None, None
    objective.set(**objective.values._replace(eps=eps)._asdict())
    clean = verified = unbounded = 0.0
    for x, y in session.own_held_out(EVALUATION_BATCH):
        clean += clean_error(objective.network(x), y).item() * len(y)
        lower = objective.lower(x, y)
        unbounded += lower is None
        verified += verified_error(lower).item() * len(y) if lower is not None else 0.0
    sums = torch.tensor([clean, verified, unbounded], dtype=torch.float64, device=session.device)
    clean, verified, unbounded = session.world.sum(sums).tolist()
    return clean / count, None if unbounded else verified / count


def _diverged(session: Session, trouble: str) -> str:
    position, values = session.position, session.objective.values
    rows = f", after {position.streak} steps in a row that were left out" if position.streak > 1 else ""
    return (
        f"{session.folder}: {trouble} at epoch {position.epoch + 1}, batch {position.batch + 1} "
        f"(eps {values.eps:g}, kappa {values.kappa:g}){rows}; the last finite weights that were saved are kept. "
        "Train anew with a smaller lr, a longer ramp or a longer warmup"
    )
