"""Networks in files, by their suffix: ONNX, or the tensors of a network whose name is told. Nothing in them is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from absdomain.errors import InvalidFile

if TYPE_CHECKING:
    from torch import nn

    from absdomain.data import Images
    from absdomain.graph import Graph

STATES = (".safetensors", ".pt", ".pth")  # weights alone, of a network whose name is told
FILES = (".onnx", *STATES)


def read(path: Path, network: str | None, test: Images) -> nn.Module | Graph:
    """The network of a file; `network` names that of which it has the tensors, and `test` has the shape of images."""
    if not path.is_file():
        raise InvalidFile(f"{path}: no such file; give that of a network")
    if path.suffix.lower() == ".onnx":
        from absdomain.lowering import onnx_to_graph

        return onnx_to_graph(path)
    if network is None:
        raise ValueError(f"{path} holds numbers alone; give --network, the name of the network that they are of")
    from absdomain.networks.called import called

    made = called(network)(test.shape, test.classes)
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
