"""ONNX file -> Graph."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path

import torch

from absdomain.errors import check_type, needing
from absdomain.graph import Graph


def onnx_to_graph(
    path: str | PathLike[str],
    *,
    dtype: torch.dtype | None = None,
    sizes: Mapping[str, int] | None = None,
    check: bool = True,
) -> Graph:
    """x -> the network in an ONNX file, gzipped or not, as a graph; its nodes are named after the file's tensors.

    The network is what the file computes of one sample. Where an input has a first axis that is 1 or that the file
    leaves open, that is the batch: the graph has its own there, of any size, and (1, 3, 32, 32) is (B, 3, 32, 32). Of
    an input without such an axis a sample is the whole: (5,) is (B, 5), and (5, "N"), whose batch is last, (B, 5, 1).
    `sizes` gives those of other open axes by the file's names, as {"length": 20}, or by their places, as {"x[1]": 20}.
    Several inputs and outputs are joined (`Graph`), and go by the file's names for them.

    dtype: of the weights, float32 or float64 (copies, in which constants are computed, too); by default the file's.
    `check`: whether the graph is compared with onnxruntime, node by node, on random points, in float32 and float64.

    Errors: UnsupportedOp, for all that is unsupported in the file at once; InvalidFile; ValueError where the graph and
    the runtime disagree; MissingExtra without the extra `onnx`.
    """
    with needing("onnx", "onnx_to_graph"):
        from absdomain.lowering.onnx import agreement, precision, reading, walk
    check_type("onnx_to_graph", path, (str, PathLike), "give the path of an ONNX file")
    _fill_rules()
    if dtype not in (None, torch.float32, torch.float64):
        raise ValueError(f"onnx_to_graph: dtype is {dtype}; give torch.float32 or torch.float64, or leave it out")
    file = Path(path)
    model = reading.read(file)
    known = sizes or {}
    chosen = dtype or precision.of(model)
    made = {
        kind: walk.lower(precision.cast(model, kind, file), file, kind, known)
        for kind in ((torch.float32, torch.float64) if check else (chosen,))
    }
    if check:
        agreement.check(made[torch.float32], made[torch.float64])
    return made[chosen].graph


def operators() -> list[str]:
    """The operators that have a rule, by name; those of another domain than ONNX's own are named with it."""
    from absdomain.lowering.onnx.table import RULES

    _fill_rules()
    return sorted(RULES)


def _fill_rules() -> None:
    """The table: ours, then those of plug-ins, whose modules are imported for the `lowers` in them."""
    import absdomain.lowering.onnx.rules  # noqa: F401
    from absdomain import registry

    with suppress(registry.NotInstalled):  # a source tree on the path has no plug-ins, and needs none
        for name in registry.names("lowerings"):
            registry.find("lowerings", name)


def node_outputs(path: str | PathLike[str]) -> dict[str, str]:
    """{ a node's name in an ONNX file -> its first output, after which the graph's node is called }.

    Nodes without a name are left out; so is a name that two nodes have. Errors: as `onnx_to_graph`.
    """
    with needing("onnx", "node_outputs"):
        from absdomain.lowering.onnx import reading
    nodes = reading.read(Path(path)).graph.node
    names = [node.name for node in nodes]
    return {node.name: node.output[0] for node in nodes if node.name and names.count(node.name) == 1 and node.output}
