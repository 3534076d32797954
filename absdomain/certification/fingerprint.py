"""What verdicts depend on, as JSON values: a file of verdicts is continued only where all of them are the same."""

from __future__ import annotations

import hashlib
from typing import Any

from torch import Tensor, nn

from absdomain.certification.judge import Judge
from absdomain.graph import Graph
from absdomain.region import Region
from absdomain.region.base import tensors


def configuration(judge: Judge, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """All that determines the verdicts on these images: the region, the domains, the attack, the network, the data."""
    return {
        "region": _described(judge.question.region),
        "domains": [str(domain) for domain in judge.domains],
        "every": judge.every,
        "attack": None if judge.attack is None else str(judge.attack),
        "seed": judge.seed,
        "dtype": str(judge.question.region.centre.dtype),
        "margin": judge.margin,
        "strict": judge.strict,
        "model": _model_hash(judge.original),
        "graph": _graph_hash(judge.question.frozen),
        "data": _hash([images, labels]),
        "samples": len(images),
    }


def _model_hash(model: nn.Module) -> str:
    """A fingerprint of the module's structure and of every parameter and buffer."""
    state = model.state_dict()
    return _hash([*state.values()], repr(model) + "".join(state))


def _hash(tensors: list[Tensor], text: str = "") -> str:
    digest = hashlib.sha256(text.encode())
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _graph_hash(graph: Graph) -> str:
    """A fingerprint of what is certified, whatever the module's class and attributes: every op and all it holds."""
    tensors, text = [], []
    for node in graph.nodes:
        text.append(f"{node.name} {type(node.op).__qualname__} {node.args} {node.shape}")
        for name, value in sorted(({} if node.op is None else vars(node.op)).items()):
            text.append(name if isinstance(value, Tensor) else f"{name}={value!r}")
            tensors += [value] if isinstance(value, Tensor) else []
    return _hash(tensors, "\n".join(text))


def _described(region: Region) -> dict[str, Any]:
    """The regions of all images: their kind, their numbers, and a fingerprint of every tensor."""
    held = {k: v for k, v in vars(region).items() if not k.startswith("_")}  # _: derived
    numbers = {k: v for k, v in held.items() if isinstance(v, int | float | str | tuple | None)}
    return {"kind": type(region).__name__, **numbers, "all": _hash(tensors(region), repr(sorted(held)))}
