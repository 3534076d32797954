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
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from absdomain.data import Images, load
from absdomain.registry import find
from absdomain.trainers import checkpoints
from absdomain.trainers.augment import augment
from absdomain.trainers.folder import MODEL, Config, RunError, append_metrics, build_network, locked, settle
from absdomain.trainers.method import Method
from absdomain.trainers.objective import Objective, clean_error, verified_error
from absdomain.trainers.recipe import Recipe, Values


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


@dataclass
class Position:
    """Where a training stands; with the tensors, all that a checkpoint holds."""

    epoch: int = 0
    batch: int = 0  # done in this epoch
    losses: float = 0.0  # their sum in this epoch
    seconds: float = 0.0
    metrics_size: int = 0  # bytes of the metrics file that are committed


@dataclass
class Session:
    """A training in memory."""

    folder: Path
    recipe: Recipe
    images: Images
    held_out: Images
    objective: Objective
    optimiser: torch.optim.Optimizer
    device: torch.device
    position: Position = field(default_factory=Position)

    @property
    def batches(self) -> int:
        """Steps per epoch; the last one may have fewer images."""
        return math.ceil(len(self.images) / self.recipe.batch)

    def save(self) -> None:
        """Commit weights, optimiser, random state and position."""
        checkpoints.save(self.folder, _tensors(self), asdict(self.position))

    def restore(self) -> None:
        """Go to where the folder's checkpoint was made; stay at the start without one."""
        found = checkpoints.load(self.folder)
        if found is None:
            return
        tensors, numbers = found
        try:
            _set_tensors(self, tensors)
            self.position = Position(**numbers)
        except (KeyError, TypeError, RuntimeError, ValueError) as reason:
            raise checkpoints.CheckpointError(
                f"{self.folder / checkpoints.STATE}: not a checkpoint of this network ({reason}); use another folder"
            ) from reason


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
        session = _start(folder, recipe, full, device)
        session.restore()
        while session.position.epoch < recipe.epochs:
            _epoch(session, on_step, checkpoint_seconds)
            row = _finish_epoch(session)
            yield row
        if not (folder / MODEL).exists():
            checkpoints.write_atomically(folder / MODEL, _model_bytes(session.objective.network))


def _start(folder: Path, recipe: Recipe, full: Images, device: torch.device) -> Session:
    method = find("trainers", recipe.trainer)
    if not isinstance(method, Method):
        raise RunError(f"{recipe.trainer}: a trainer must be a Method, not a {type(method).__name__}")
    torch.manual_seed(recipe.seed)
    network = build_network(recipe, full.shape, full.classes).to(device)
    images, held_out = full.holdout(recipe.validation, recipe.seed)
    example = images[:1][0].to(device, recipe.torch_dtype)
    objective = method.objective(network, example, full.classes, recipe)
    return Session(folder, recipe, images, held_out, objective, _optimiser(recipe, network), device)


def _optimiser(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if recipe.optimiser == "adam":
        return torch.optim.Adam(parameters, recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    return torch.optim.SGD(parameters, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)


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
        if not math.isfinite(loss.item()):
            session.save()
            raise Diverged(_diverged(session, loss.item(), values))
        session.optimiser.zero_grad()
        loss.backward()
        session.optimiser.step()
        now = time.monotonic()
        position.batch += 1
        position.losses += loss.item()
        position.seconds += now - clock
        clock = now
        if on_step is not None:
            on_step(_step_metrics(session, step, loss, values, metrics))
        if now - saved > checkpoint_seconds:
            session.save()
            saved = now


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


def _step_metrics(session: Session, step: int, loss: Tensor, values: Values, metrics: dict[str, Tensor]) -> StepMetrics:
    seen = {name: value.item() for name, value in metrics.items()}
    return StepMetrics(
        epoch=session.position.epoch + 1,
        step=step + 1,
        steps=session.recipe.epochs * session.batches,
        loss=loss.item(),
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


# --- what a checkpoint holds ------------------------------------------------------------------------------------------


def _tensors(session: Session) -> dict[str, Tensor]:
    tensors = {f"model.{name}": tensor for name, tensor in session.objective.network.state_dict().items()}
    for number, state in session.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{key}": value for key, value in state.items() if value is not None}
    tensors["random.cpu"] = torch.get_rng_state()
    if session.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(session.device)
    return tensors


def _set_tensors(session: Session, tensors: dict[str, Tensor]) -> None:
    model, state = {}, {}  # type: dict[str, Tensor], dict[int, dict[str, Tensor]]
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "model":
            model[rest] = tensor
        elif kind == "optimiser":
            number, key = rest.split(".", 1)
            state.setdefault(int(number), {})[key] = tensor
    session.objective.network.load_state_dict(model)
    session.optimiser.load_state_dict({**session.optimiser.state_dict(), "state": state})
    torch.set_rng_state(tensors["random.cpu"])
    if session.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], session.device)


def _model_bytes(network: nn.Module) -> bytes:
    from safetensors import torch as safetensors

    return safetensors.save({name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()})
