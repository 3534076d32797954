"""A training in memory, and how it is put into a checkpoint and taken out of one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from absdomain.data import Images
from absdomain.graph import Graph
from absdomain.graph.norms import induced_norms
from absdomain.lowering import to_graph
from absdomain.runtime.processes import ALONE, World
from absdomain.trainers.method import read
from absdomain.trainers.objective import Objective
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.run import checkpoints
from absdomain.trainers.run.folder import TRAINING, build_network, initialise, model_path


@dataclass
class Position:
    """Where a training stands; with the tensors, all that a checkpoint holds."""

    epoch: int = 0
    batch: int = 0  # done in this epoch
    losses: float = 0.0  # their sum in this epoch
    seconds: float = 0.0
    metrics_size: int = 0  # bytes of the metrics file that are committed
    skipped: int = 0  # steps of this epoch that were left out
    streak: int = 0  # of them, those in a row up to now, over epochs
    level: float | None = None  # running mean of the losses, over epochs
    robust: bool = False  # whether those losses have their robust term
    seen: dict[str, tuple[float, int]] = field(default_factory=dict)  # sum and count in this epoch of what steps saw
    diverged: str | None = None  # why the training has ended before its time
    best: float | None = None  # the least verified error on held-out images after an epoch behind the ramp
    best_epoch: int = 0  # the epoch whose weights are kept for it

    def next_epoch(self, seconds: float, metrics_size: int) -> Position:
        """The start of the next epoch."""
        over_epochs = {"streak": self.streak, "level": self.level, "robust": self.robust}
        over_epochs |= {"best": self.best, "best_epoch": self.best_epoch}
        return Position(self.epoch + 1, seconds=seconds, metrics_size=metrics_size, **over_epochs)  # type: ignore[arg-type]

    @property
    def loss(self) -> float:
        """The mean loss of the epoch's steps; NaN before the first."""
        done = self.batch - self.skipped
        return self.losses / done if done else math.nan

    def see(self, numbers: dict[str, float]) -> None:
        """Count what a step saw into the epoch's means."""
        for name, number in numbers.items():
            total, count = self.seen.get(name, (0.0, 0))
            self.seen[name] = (total + number, count + 1)


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
    world: World
    model: nn.Module  # the objective as it is called
    position: Position = field(default_factory=Position)
    layers: Graph | None = None  # of the live network, where the recipe asks for norms
    best: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # the models' weights after the best epoch

    @property
    def norms(self) -> dict[str, float]:
        """{ norm.LAYER -> the layer's present norm induced by l_inf }; empty where the recipe does not ask."""
        noted = {} if self.layers is None else induced_norms(self.layers)
        return {f"norm.{name}": norm for name, norm in noted.items()}

    @property
    def kept(self) -> dict[str, float]:
        """{ kept -> the epoch whose weights are kept }; empty where that is the last one."""
        return {"kept": float(self.position.best_epoch)} if self.best else {}

    @property
    def batches(self) -> int:
        """Steps per epoch; the last one may have fewer images."""
        return math.ceil(len(self.images) / self.recipe.batch)

    @property
    def finite(self) -> bool:
        """Whether all that the objective holds is a number."""
        return all(bool(tensor.isfinite().all()) for tensor in self.objective.state_dict().values())

    def save(self) -> None:
        """Commit weights, optimiser, random state and position: the first process's, as all have the same."""
        self.world.once(lambda: checkpoints.save(self.folder, _tensors(self), asdict(self.position)))

    def compare(self, error: float | None) -> None:
        """Keep the weights as they are if the recipe asks for the best, and no epoch after the ramp had less error."""
        position = self.position
        if self.recipe.keep != "best" or self.objective.values.eps < self.recipe.eps:
            return
        assert error is not None  # asked at the start
        if position.best is None or error <= position.best:
            position.best, position.best_epoch = error, position.epoch + 1
            models = self.objective.models.items()
            self.best = {name: {k: v.detach().clone() for k, v in model.state_dict().items()} for name, model in models}

    def save_models(self) -> None:
        """Write the weights of the objective's models at the end of the training, where no whole file has any.

        Those of the best epoch where the recipe keeps them, else those of the last.
        """
        self.world.once(self._write_models)

    def _write_models(self) -> None:
        for name, model in self.objective.models.items():
            path = model_path(self.folder, name)
            if not checkpoints.whole(path):
                TRAINING.claim(self.folder).write(path.name, checkpoints.pack(self.best.get(name, model.state_dict())))

    def batches_held_out(self, size: int) -> HeldOut:
        """The held-out images as the objective takes them."""
        return HeldOut(self.held_out, size, self.device, self.recipe.torch_dtype)

    def own_held_out(self, size: int) -> HeldOut:
        """Those of them that this process looks at."""
        rows = torch.arange(self.world.rank, len(self.held_out), self.world.size)
        return replace(self.batches_held_out(size), images=self.held_out.select(rows, self.held_out.split))

    def restore(self) -> None:
        """Go to where the folder's checkpoint was made; stay at the start without one."""
        found = self.world.once(lambda: checkpoints.load(self.folder))
        if found is None:
            return
        tensors, numbers = found
        if self.device.type == "cuda" and "random.cuda" not in tensors:
            raise checkpoints.CheckpointError(
                f"{self.folder / checkpoints.STATE}: made on another device than {self.device}, so without its random "
                "state; go on with --device cpu, or use another folder"
            )
        try:
            _set_tensors(self, tensors)
            self.position = Position(**numbers)
        except (KeyError, TypeError, RuntimeError, ValueError) as reason:
            raise checkpoints.CheckpointError(
                f"{self.folder / checkpoints.STATE}: not a checkpoint of this network ({reason}); use another folder"
            ) from reason


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Batches (x, y) of held-out images in order, as often as they are asked for."""

    images: Images
    size: int
    device: torch.device
    dtype: torch.dtype

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in self.images.batches(self.size):
            yield x.to(self.device, self.dtype), y.to(self.device)

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.size)


def split(recipe: Recipe, full: Images) -> tuple[Images, Images]:
    """(the images a training takes its steps on, those held out to watch it), of the data set's training images."""
    images, held_out = full.holdout(recipe.validation, recipe.seed)
    if recipe.images is not None and recipe.images < len(images):
        images = replace(images.holdout(recipe.images, recipe.seed)[1], split=images.split)
    return images, held_out


def start(
    folder: Path,
    recipe: Recipe,
    full: Images,
    device: torch.device,
    world: World = ALONE,
    given: nn.Module | None = None,
) -> Session:
    """The training at its beginning: data and, unless one is given, network drawn from the recipe's seed."""
    method = read(recipe.trainer)
    torch.manual_seed(recipe.seed)
    network = (build_network(recipe, full.shape, full.classes) if given is None else given).to(device)
    images, held_out = split(recipe, full)
    recipe.check(math.ceil(len(images) / recipe.batch))
    example = images[:1][0].to(device, recipe.torch_dtype)
    if len(images) % recipe.batch == 1 and any(isinstance(part, nn.BatchNorm1d) for part in network.modules()):
        raise recipe.refuse("batch", f"of {len(images)} images one would be left, of which a batch norm sees no spread")
    objective = method.build(network, example, full.classes, recipe)
    initialise(recipe, network)
    _check_seen(recipe, objective, example)
    optimiser = _optimiser(recipe, objective)
    layers = to_graph(network, example) if recipe.norms else None
    model = _called(objective, world)
    return Session(folder, recipe, images, held_out, objective, optimiser, device, world, model, layers=layers)


def _check_seen(recipe: Recipe, objective: Objective, example: Tensor) -> None:
    """RecipeError where the best epoch is to be kept, and no verified error tells which one that is."""
    label = torch.zeros(len(example), dtype=torch.int64, device=example.device)
    if recipe.keep == "best" and (recipe.validation == 0 or objective.lower(example, label) is None):
        raise recipe.refuse("keep", "no verified error tells the best; hold images out, and take a method that bounds")


def _called(objective: Objective, world: World) -> nn.Module:
    """The objective; in several processes with one gradient, and at each call with the first process's buffers."""
    if world.alone:
        return objective
    return nn.parallel.DistributedDataParallel(objective, find_unused_parameters=objective.takes_turns)


def _optimiser(recipe: Recipe, objective: nn.Module) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    if recipe.optimiser == "adam":
        return torch.optim.Adam(parameters, recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    return torch.optim.SGD(parameters, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)


# In a checkpoint, the name of a tensor of the objective's own, and of its network's.
OWN, NETWORK, BEST = "objective.", "network.", "best."


def _tensors(session: Session) -> dict[str, Tensor]:
    tensors = {_stored(name): tensor for name, tensor in session.objective.state_dict().items()}
    for number, state in session.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{key}": value for key, value in state.items() if value is not None}
    for model, weights in session.best.items():
        tensors |= {f"{BEST}{model}.{name}": tensor for name, tensor in weights.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if session.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(session.device)
    return tensors


def _stored(name: str) -> str:
    """The network's tensors are `model.*`, what the objective has beside them `objective.*`."""
    return f"model.{name.removeprefix(NETWORK)}" if name.startswith(NETWORK) else OWN + name


def saved_weights(folder: Path) -> dict[str, Tensor]:
    """The state of the network in a folder's last checkpoint; empty where there is none yet."""
    tensors, _ = checkpoints.load(folder) or ({}, {})
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}


def _set_tensors(session: Session, tensors: dict[str, Tensor]) -> None:
    objective: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "model":
            objective[NETWORK + rest] = tensor
        elif kind == "objective":
            objective[rest] = tensor
        elif kind == "best":
            model, key = rest.split(".", 1)
            session.best.setdefault(model, {})[key] = tensor
        elif kind == "optimiser":
            number, key = rest.split(".", 1)
            state.setdefault(int(number), {})[key] = tensor
    session.objective.load_state_dict(objective)
    session.optimiser.load_state_dict({**session.optimiser.state_dict(), "state": state})
    torch.set_rng_state(tensors["random.cpu"])
    if session.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], session.device)
