"""The folder of a training run: its recipe, its metrics, its checkpoint and, at the end, its network."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from absdomain.data import statistics
from absdomain.data.normalise import Normalise
from absdomain.networks.called import called
from absdomain.runtime.folders import Kind
from absdomain.runtime.writing import WriteError, present
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.run.checkpoints import STATE, CheckpointError

CONFIG, METRICS = "config.json", "metrics.jsonl"
MOST_THREADS = 1024


class RunError(RuntimeError):
    """A run's folder does not allow what was asked; the text has the folder, the finding and the remedy."""


@dataclass(frozen=True)
class Config:
    """What makes a run's results: its recipe, its data, and what rounding depends on."""

    recipe: Recipe
    shape: tuple[int, ...]  # of one image
    classes: int
    data_sha256: str  # of the training images
    threads: int
    torch: str
    init_sha256: str = ""  # of the file of first weights, where there is one
    given: bool = False  # network and data were handed to `fit`, so that no names tell them

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "recipe": self.recipe.to_json(), "shape": list(self.shape)}


def model_path(folder: Path, name: str = "model") -> Path:
    """Where a finished run keeps one of its objective's models."""
    return folder / f"{name}.safetensors"


def models_in(folder: Path) -> list[str]:
    """The names of the networks that a finished run has trained, the recipe's own first."""
    others = [path.stem for path in sorted(folder.glob("*.safetensors")) if not path.stem.startswith("checkpoint-")]
    return ["model", *(name for name in others if name != "model")]


def read_config(folder: Path) -> Config | None:
    """The folder's config; None where there is none yet."""
    path = folder / CONFIG
    if not path.exists():
        return None
    try:
        given = json.loads(path.read_bytes())
        numbers = [given["threads"], given["classes"], *given["shape"]]
        if not all(type(number) is int and number > 0 for number in numbers):
            raise ValueError(f"threads, classes and shape are {numbers}, not whole numbers above 0")
        if given["threads"] > MOST_THREADS:  # more can crash the process
            raise ValueError(f"threads are {given['threads']}, more than {MOST_THREADS}")
        return Config(**given | {"recipe": Recipe.from_json(given["recipe"]), "shape": tuple(given["shape"])})
    except (ValueError, KeyError, TypeError, OSError) as reason:
        raise RunError(f"{path}: not the config of a run ({reason}); restore it, or use another folder") from reason


TRAINING = Kind("training", earlier=lambda folder: read_config(folder) is not None)


def agreed(folder: Path, wanted: Config) -> Config:
    """The config under which a run goes on: the folder's own, if there is one, else `wanted`. Nothing is written.

    Thread count and torch version stay the run's; anything else that differs is refused, as is a folder of others'.
    """
    try:
        TRAINING.allow(folder)
    except WriteError as reason:
        raise RunError(str(reason)) from reason
    begun = read_config(folder)
    if begun is None:
        weights = next((path for path in (folder / STATE, model_path(folder)) if path.exists()), None)
        if weights is not None:
            raise RunError(
                f"{folder}: holds {weights.name} and no {CONFIG}, so that nothing says what was trained; restore it, "
                "or use another folder"
            )
        return wanted
    old, new = (config.to_json() | config.recipe.to_json() for config in (begun, wanted))
    differing = [name for name in new if name not in ("recipe", "threads", "torch") and old[name] != new[name]]
    if differing:
        changes = ", ".join(f"{name} {old[name]!r}, now {new[name]!r}" for name in differing)
        raise RunError(f"{folder}: holds a run with {changes}; ask for the same to resume it, or use another folder")
    return begun


def settle(folder: Path, config: Config) -> None:
    """Write the config of a run that begins; for the one process that has the lock.

    A run that goes on with another torch than it began with is warned of, as rounding may differ.
    """
    if not (folder / CONFIG).exists():
        TRAINING.claim(folder).write_json(CONFIG, config.to_json())
    elif config.torch != torch.__version__ and not model_path(folder).exists():
        warnings.warn(
            f"{folder}: begun with torch {config.torch}, goes on with {torch.__version__}: its weights may differ from "
            "those of a run without interruption; install that version, or train anew, to have the same",
            stacklevel=2,
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time trains in a folder, which is made; the lock goes with its process, however that ends."""
    import fcntl

    try:
        TRAINING.claim(folder)
        file = open(folder / ".lock", "a")  # noqa: SIM115  (closed below)
    except WriteError as reason:
        raise RunError(str(reason)) from reason
    except OSError as reason:
        raise RunError(f"{folder}: cannot be locked ({reason.strerror}); mend that, or use another") from reason
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as reason:
            raise RunError(f"{folder}: another process trains here; wait for it, or use another folder") from reason
        yield


def check_metrics(folder: Path, size: int, epoch: int) -> None:
    """RunError unless the metrics are `size` bytes of so many epochs, and perhaps the next row, which may be torn.

    With fewer bytes, rows have been lost. Other bytes behind them were not written by this run, and are not dropped.
    """
    path = folder / METRICS
    content = present(path) or b""
    if len(content) < size:
        raise RunError(f"{path}: has {len(content)} bytes, but {size} were written; restore it, or use another folder")
    if not _follows(content[size:], epoch + 1):
        raise RunError(
            f"{path}: behind the {size} bytes of this run stands what is not a row of its epoch {epoch + 1}; move it "
            "away, or use another folder"
        )


def _follows(rest: bytes, epoch: int) -> bool:
    """Whether this is at most one row, of the epoch, or the beginning of one."""
    begins = f'{{"epoch": {epoch}, '.encode()
    return b"\n" not in rest[:-1] and (rest.startswith(begins) or begins.startswith(rest))


def append_metrics(folder: Path, row: dict[str, Any], size: int) -> int:
    """Put a row behind the first `size` bytes of the metrics and return the new size; a torn one there is dropped."""
    check_metrics(folder, size, row["epoch"] - 1)
    path = folder / METRICS
    path.touch()
    with open(path, "r+b") as file:
        file.truncate(size)
        file.seek(size)
        file.write(json.dumps(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def read_metrics(folder: Path | str) -> list[dict[str, Any]]:
    """The rows of metrics, one per finished epoch; a line that is only half written is left out.

    RunError for a line that is whole and no JSON.
    """
    path = Path(folder) / METRICS
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows += [json.loads(line)] if line.endswith("\n") else []
        except json.JSONDecodeError as reason:
            raise RunError(f"{path}, line {number}: not JSON ({reason}); restore it, or train anew") from reason
    return rows


def build_network(recipe: Recipe, shape: tuple[int, ...], classes: int) -> nn.Module:
    """The recipe's network for images of the shape, initialised from torch's random state, in the recipe's dtype."""
    constructor = called(recipe.network)
    normalise = Normalise(*statistics(recipe.data)) if recipe.normalise else None
    network: nn.Module = constructor(shape, classes, normalise=normalise)
    return network.to(recipe.torch_dtype)


def init_path(recipe: Recipe) -> Path | None:
    """The file of the recipe's first weights: that of a finished run where `init` is its folder; None without."""
    if not recipe.init:
        return None
    path = Path(recipe.init)
    path = model_path(path) if path.is_dir() else path
    if not path.is_file():
        raise recipe.refuse("init", f"there is no {path}; give a safetensors file, or the folder of a finished run")
    return path


def initialise(recipe: Recipe, network: nn.Module) -> None:
    """Put the recipe's first weights into its network, where it names a file of them."""
    from safetensors.torch import load_file

    path = init_path(recipe)
    if path is None:
        return
    try:
        network.load_state_dict(load_file(path))
    except Exception as reason:  # safetensors raises its own type, torch RuntimeError
        raise recipe.refuse("init", f"{path} has no weights of {recipe.network}: {reason}") from reason


def load_run(folder: Path | str, model: str = "model") -> tuple[nn.Module, Recipe]:
    """(trained network in evaluation mode, its recipe) of a finished run; `model` names one of several networks."""
    from safetensors.torch import load_file

    folder = Path(folder)
    config, path = read_config(folder), model_path(folder, model)
    if config is None:
        raise RunError(f"{folder}: holds no {CONFIG}, so no run; name the folder given to training")
    if not model_path(folder).exists():
        raise RunError(
            f"{folder}: holds no {model_path(folder).name}, its training has not ended; start it again to resume"
        )
    if config.given:
        raise RunError(
            f"{folder}: `fit` trained a network here that was handed to it, and only its own code can build it again; "
            f"build it there, and load its weights: safetensors.torch.load_model(network, {str(path)!r})"
        )
    if not path.exists():
        raise RunError(f"{folder}: holds no {path.name}; a run of {config.recipe.trainer} does not train such a model")
    with torch.random.fork_rng():  # the initial weights, about to be replaced, shall not move the caller's random state
        network = build_network(config.recipe, config.shape, config.classes)
    try:
        network.load_state_dict(load_file(path))
    except Exception as reason:  # safetensors raises its own type, torch RuntimeError
        remedy = "move it away, and the training's command writes it again, if its checkpoint is whole"
        raise CheckpointError(f"{path}: not this network's weights ({reason}); {remedy}") from reason
    return network.eval(), config.recipe
