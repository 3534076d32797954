"""Networks of others: an npz file of arrays W0, b0, W1, b1, ... and `arch`, a JSON text that says what they are.

Weights have PyTorch's layout; a ReLU follows every layer but the last. `arch` has "layers", for example
`conv1>16 k4 s2 p1 relu flatten fc3136>100 relu fc100>10`, "input" (C, H, W), and may have "mean" and "std" per channel
and "dataset". Nothing in the file is ever unpickled.
"""

import json
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from absdomain.data.normalise import Normalise
from absdomain.networks.chain import Shape, front

EXAMPLE = '{"layers": "flatten fc784>100 relu fc100>10", "input": [1, 28, 28]}'


class WeightsError(ValueError):
    """A weights file is missing, damaged or inconsistent; the text has the file, the finding and the remedy."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A network as its file describes it."""

    network: nn.Sequential  # raw pixels (B, *shape) -> logits (B, classes)
    shape: Shape  # of one image
    classes: int
    data: str | None  # the data set it was trained on, where the file says so


def load(path: str | Path) -> Weights:
    """The network of a weights file, in evaluation mode and the file's own dtype."""
    path = Path(path)
    arrays = _arrays(path)
    arch = _arch(path, arrays.pop("arch", None))
    shape = tuple(int(size) for size in arch["input"])
    normalise = _normalise(path, arch)
    layers: OrderedDict[str, nn.Module] = front(shape, normalise)
    for number, layer in enumerate(_layers(path, arch["layers"])):
        layers[f"{number}"] = layer
    network = nn.Sequential(layers)
    _fill(path, network, arrays)
    classes = _classes(path, network, shape)
    return Weights(network.eval(), shape, classes, arch.get("dataset"))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.is_dir():
        raise WeightsError(
            f"{path}: is a folder; give the npz file in it (the folder of a training is a RUN, not weights)"
        )
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; give the npz file with the weights")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as reason:
        raise WeightsError(f"{path}: not an npz file of plain arrays; write it with numpy.savez") from reason


def _arch(path: Path, text: np.ndarray | None) -> dict[str, Any]:
    if text is None:
        raise WeightsError(f"{path}: has no `arch`; add it, such as {EXAMPLE!r}")
    try:
        arch = json.loads(str(text))
    except json.JSONDecodeError as reason:
        raise WeightsError(f"{path}: arch is {str(text)!r}, which is not JSON ({reason})") from reason
    if not isinstance(arch, dict) or not {"layers", "input"} <= arch.keys():
        raise WeightsError(f"{path}: arch is {arch!r}; it needs the fields layers and input")
    return arch


def _normalise(path: Path, arch: dict[str, Any]) -> Normalise | None:
    mean, std = arch.get("mean", [0.0]), arch.get("std", [1.0])
    if set(mean) == {0.0} and set(std) == {1.0}:
        return None
    try:
        return Normalise(mean, std)
    except ValueError as reason:
        raise WeightsError(f"{path}: arch has mean {mean} and std {std}: {reason}") from reason


CONV = re.compile(r"conv(\d+)>(\d+)")
DENSE = re.compile(r"fc(\d+)>(\d+)")
OPTION = re.compile(r"([ksp])(\d+)")
PLAIN = {"relu": nn.ReLU, "flatten": nn.Flatten}


def _layers(path: Path, text: str) -> Iterator[nn.Module]:
    words = text.split()
    while words:
        word = words.pop(0)
        if word in PLAIN:
            yield PLAIN[word]()
        elif match := DENSE.fullmatch(word):
            yield nn.Linear(int(match[1]), int(match[2]))
        elif match := CONV.fullmatch(word):
            options = {"k": 0, "s": 1, "p": 0}
            while words and (option := OPTION.fullmatch(words[0])):
                options[option[1]] = int(option[2])
                words.pop(0)
            if not options["k"]:
                raise WeightsError(f"{path}: {word!r} in {text!r} has no kernel size; write it as in `{word} k4 s2 p1`")
            yield nn.Conv2d(int(match[1]), int(match[2]), options["k"], options["s"], options["p"])
        else:
            raise WeightsError(
                f"{path}: {word!r} in {text!r} is not a layer; write relu, flatten, fcIN>OUT and convIN>OUT kK sS pP"
            )


def _fill(path: Path, network: nn.Sequential, arrays: dict[str, np.ndarray]) -> None:
    weighted = [layer for layer in network if isinstance(layer, nn.Linear | nn.Conv2d)]
    expected = {f"{kind}{number}" for number in range(len(weighted)) for kind in "Wb"}
    if expected != arrays.keys():
        raise WeightsError(f"{path}: has the arrays {sorted(arrays)}, where its arch needs {sorted(expected)}")
    for number, layer in enumerate(weighted):
        for name, parameter in zip("Wb", layer.parameters(), strict=True):
            array = arrays[f"{name}{number}"]
            if tuple(array.shape) != tuple(parameter.shape) or array.dtype.kind != "f":
                raise WeightsError(
                    f"{path}: {name}{number} is {array.dtype} {array.shape}, "
                    f"where {layer} needs floats {tuple(parameter.shape)}"
                )
            parameter.data = torch.from_numpy(array.copy())


def _classes(path: Path, network: nn.Sequential, shape: Shape) -> int:
    dtype = next(network.parameters()).dtype
    try:
        with torch.no_grad():
            logits = network(torch.zeros(1, *shape, dtype=dtype))
    except RuntimeError as reason:
        raise WeightsError(f"{path}: the layers do not fit images of {shape} ({reason})") from reason
    return int(logits.shape[-1])
