"""A graph for people: as a table, and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import networkx

from absdomain.errors import check_type
from absdomain.graph.digraph import Node
from absdomain.runtime.pictures import blank, drawn, encoded
from absdomain.runtime.writing import replace
from absdomain.values import leaves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADS = ("node", "operation", "shape", "numbers", "reads")
_INCHES = 1.6  # of a layer of the picture, and of a row


def table(nodes: Sequence[Node]) -> str:
    """A line for each node: name, operation, shape without the batch, entries of its tensors, and what it reads."""
    rows = [_HEADS, *(_row(node, nodes) for node in nodes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(node: Node, nodes: Sequence[Node]) -> tuple[str, ...]:
    numbers = 0 if node.op is None else sum(tensor.numel() for tensor in leaves(node.op))
    reads = ", ".join(nodes[a].name for a in node.args)
    return node.name, _kind(node.op), str(tuple(node.shape)), str(numbers or ""), reads


def _kind(op: object) -> str:
    return "input" if op is None else type(op).__name__


def draw(
    digraph: networkx.DiGraph[str], path: str | Path | None = None, shares: Mapping[str, float] | None = None
) -> Figure:
    """The digraph of operations as a picture, one column for each generation of its topological order.

    With a path it is written there. `shares` of some nodes, from 0 to 1, are written on them and colour them.
    """
    check_type("draw", path, (str, Path, NoneType), "give the path of a file, such as network.svg, or none")
    figure = _picture(digraph, shares)
    if path is not None:
        replace(Path(path), encoded(figure, Path(path).suffix[1:] or "png"), drawn)
    return figure


def _picture(digraph: networkx.DiGraph[str], shares: Mapping[str, float] | None) -> Figure:
    layers = list(networkx.topological_generations(digraph))
    placed: Any = networkx.DiGraph(digraph)
    for layer, names in enumerate(layers):
        networkx.set_node_attributes(placed, dict.fromkeys(names, layer), "layer")
    figure = blank(_INCHES * len(layers), max(2.0, _INCHES * max(map(len, layers))), dpi=100)
    axes = figure.subplots()
    labels = {name: f"{_kind(held.get('op'))}\n{tuple(held['shape'])}" for name, held in placed.nodes.items()}
    labels |= {name: f"{name}: {100 * share:.1f} %\n{labels[name]}" for name, share in (shares or {}).items()}
    colours = [_colour((shares or {}).get(name)) for name in placed]
    networkx.draw_networkx(
        placed, networkx.multipartite_layout(placed, "layer"), ax=axes, labels=labels, node_shape="s", font_size=7,
        node_color=colours, edgecolors="#444444", node_size=1800,
    )  # fmt: skip
    axes.set_axis_off()
    return figure


def _colour(share: float | None) -> str:
    """Blue without a share; from white to orange with one."""
    if share is None:
        return "#dbe9f6"
    red, green, blue = (round(255 + share * (end - 255)) for end in (0xE6, 0x9F, 0x00))
    return f"#{red:02x}{green:02x}{blue:02x}"
