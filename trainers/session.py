"""A training in memory, and how it is put into a checkpoint and taken out of one."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from absdomain.data import Images
from absdomain.registry import find
from absdomain.trainers import checkpoints
from absdomain.trainers.folder import MODEL, RunError, build_network
from absdomain.trainers.method import Method
from absdomain.trainers.objective import Objective
from absdomain.trainers.recipe import Recipe


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

    def save_model(self) -> None:
        """Write the network's weights, at the end of the training."""
        content = checkpoints.pack(self.objective.network.state_dict())
        checkpoints.write_atomically(self.folder / MODEL, content)

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


def start(folder: Path, recipe: Recipe, full: Images, device: torch.device) -> Session:
    """The training at its beginning: network and data drawn from the recipe's seed."""
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


def _tensors(session: Session) -> dict[str, Tensor]:
    tensors = {f"model.{name}": tensor for name, tensor in session.objective.network.state_dict().items()}
    for number, state in session.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{key}": value for key, value in state.items() if value is not None}
    tensors["random.cpu"] = torch.get_rng_state()
    if session.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(session.device)
    return tensors


def _set_tensors(session: Session, tensors: dict[str, Tensor]) -> None:
    model: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
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
