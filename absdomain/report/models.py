"""Models as the command line is given them: folders of trainings, and files of networks by their suffix."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absdomain.errors import InvalidFile
from absdomain.report.runs import subject_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from absdomain.data import Images
    from absdomain.graph import Graph

STATES = (".safetensors", ".pt", ".pth")  # weights alone, of a network whose name is told


@dataclass(frozen=True, eq=False)
class Model:
    """A network, the data set whose test images it is asked about, and the radius at which it was trained, if any."""

    network: nn.Module | Graph
    name: str
    test: Images
    eps: float | None
    clip: bool

    def images(self, rows: slice) -> tuple[Tensor, Tensor]:
        """These test images, in the shape that the network takes, and their labels."""
        from absdomain.graph import Graph

        images, labels = self.test[rows]
        if not isinstance(self.network, Graph):
            return images, labels
        shape = self.network.input.shape
        if prod(shape) != prod(images.shape[1:]):
            told = f"{self.name} takes {shape}, and images of {self.test.name} are {tuple(images.shape[1:])}"
            raise ValueError(f"{told}; give --data with images of its size")
        return images.view(-1, *shape), labels


def opened(
    path: Path | None,
    weights: Path | None = None,
    data: str | None = None,
    model: str = "model",
    network: str | None = None,
    data_dir: Path | None = None,
) -> Model:
    """The model of a run's folder, of a weights file (.npz), of .onnx, or of .safetensors, .pt and a network's name.

    Errors: ValueError, InvalidFile where the file is none of these, or its numbers are not the network's.
    """
    from absdomain.data import load

    if path is None and weights is None:
        kinds = "the folder of a training, a file .onnx or .npz, or .safetensors or .pt with --network"
        raise ValueError(f"which network? Give MODEL: {kinds}")
    suffix = "" if path is None else path.suffix.lower()
    if network is not None and suffix not in STATES:
        raise ValueError(f"--network {network}: {path or weights} says itself which network it is; leave this out")
    if suffix == ".npz" and weights is None:
        path, weights = None, path
    if path is None or suffix not in (".onnx", *STATES):
        subject = subject_of(path, weights, data, model)
        test = load(subject.data, "test", data_dir=data_dir)
        return Model(subject.network, subject.name, test, subject.eps, subject.clip)
    if weights is not None or model != "model":
        raise ValueError(f"{path} is one network: leave --weights and --model out")
    if data is None:
        raise ValueError(f"{path} does not say its data set; give --data")
    test = load(data, "test", data_dir=data_dir)
    return Model(_network(path, network, test), path.stem, test, None, True)


def _network(path: Path, network: str | None, test: Images) -> nn.Module | Graph:
    if not path.is_file():
        raise InvalidFile(f"{path}: no such file; give that of a network")
    if path.suffix.lower() == ".onnx":
        from absdomain.lowering import onnx_to_graph

        return onnx_to_graph(path)
    if network is None:
        raise ValueError(f"{path} holds numbers alone; give --network, the name of the network that they are of")
    from absdomain.registry import find

    constructor: Any = find("networks", network)
    made: nn.Module = constructor(test.shape, test.classes)
    state = _state(path)
    try:
        made.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as reason:
        remedy = "give the --network that they were saved of, and --data of its images"
        raise InvalidFile(f"{path}: not the numbers of {network} ({reason}); {remedy}") from reason
    return made.eval()


def _state(path: Path) -> Any:
    """The tensors of a file by name; nothing in it is ever run."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as reason:  # safetensors raises its own type, torch that of pickle
        remedy = "save the network's state_dict() by torch.save or safetensors"
        raise InvalidFile(f"{path}: no file of tensors by name ({reason}); {remedy}") from reason
