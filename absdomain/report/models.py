"""Models as the command line is given them: folders of trainings, and files of networks by their suffix."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from absdomain.report import networks
from absdomain.report.runs import subject_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from absdomain.data import Images
    from absdomain.graph import Graph


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
    if network is not None and suffix not in networks.STATES:
        raise ValueError(f"--network {network}: {path or weights} says itself which network it is; leave this out")
    if suffix == ".npz" and weights is None:
        path, weights = None, path
    if path is None or suffix not in networks.FILES:
        subject = subject_of(path, weights, data, model)
        test = load(subject.data, "test", data_dir=data_dir)
        return Model(subject.network, subject.name, test, subject.eps, subject.clip)
    if weights is not None or model != "model":
        raise ValueError(f"{path} is one network: leave --weights and --model out")
    if data is None:
        raise ValueError(f"{path} does not say its data set; give --data")
    test = load(data, "test", data_dir=data_dir)
    return Model(networks.read(path, network, test), path.stem, test, None, True)
