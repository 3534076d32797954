"""What an explanation says: how a lower bound's looseness is shared out over the layers of a network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from absdomain.errors import needing
from absdomain.graph import Graph
from absdomain.graph.drawing import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADS = ("layer", "operation", "entries", "relaxed", "width", "looseness", "loosest")


@dataclass(frozen=True)
class Layer:
    """One nonlinear operation, over the images whose bounds are finite."""

    layer: str
    operation: str
    entries: int  # of its output
    relaxed: float  # the share of what it reads over whose bounds it is not affine, so that lines are not exact
    width: float  # mean width of the bounds over which it is relaxed
    looseness: float  # mean of what its relaxation costs the bound
    loosest: int  # images whose bound loses most here


@dataclass(frozen=True, eq=False)
class Explanation:
    """value - bound = lines + costs.sum(1), image by image: what a domain's lower bound of the margin loses, and where.

    `bound` is the domain's, of the row of C f(x) + d on which its answer hangs; `value` is this row at `points`, an
    input of the region at which the best linear bound over the domain's boxes is least. The true minimum is between the
    two. `costs` are what each nonlinear operation's relaxation loses at this point, each at least 0, and `lines` what
    the domain's bound is below the best linear one: relations that it does not keep, and slopes that it does not look
    for. It is below 0 where the domain is better than any lines.
    """

    domain: str
    graph: Graph  # the network that is bounded, fused
    bound: Tensor  # (N,)
    value: Tensor  # (N,)
    lines: Tensor  # (N,)
    costs: Tensor  # (N, L)
    points: Tensor  # (N, *shape)
    relaxed: Tensor  # (L,), shares over all images
    widths: Tensor  # (N, L), means over a layer's entries
    names: tuple[str, ...]  # of the L operations, nodes of the graph

    @cached_property
    def finite(self) -> Tensor:
        """(N,) the images whose numbers are all finite: means are over them."""
        return (self.bound - self.bound == 0) & self.costs.isfinite().all(1) & self.widths.isfinite().all(1)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The nonlinear operations, in the network's order."""
        nodes = {node.name: node for node in self.graph.nodes}
        costs, widths = self.costs[self.finite], self.widths[self.finite]
        loosest = costs.argmax(1) if costs.numel() else torch.zeros(0)
        return tuple(
            Layer(
                layer=name,
                operation=type(nodes[name].op).__name__,
                entries=prod(nodes[name].shape),
                relaxed=float(self.relaxed[place]),
                width=float(widths[:, place].mean()),
                looseness=float(costs[:, place].mean()),
                loosest=int((loosest == place).sum()),
            )
            for place, name in enumerate(self.names)
        )

    @property
    def worst(self) -> str | None:
        """The layer whose relaxation costs most; None: there is none, or no bound is finite."""
        layers = [layer for layer in self.layers if layer.looseness > 0]
        return max(layers, key=lambda layer: layer.looseness).layer if layers else None

    def mean(self, numbers: Tensor) -> float:
        """Of numbers (N,), one for each image, those of finite images."""
        return float(numbers[self.finite].mean())

    def draw(self, path: str | Path | None = None) -> Figure:
        """A matplotlib Figure of the network, each nonlinear layer with its share of all layers' looseness.

        With a path it is written, too; the suffix says as what, .svg or .png.

        Errors: ImportError without matplotlib; WriteError where the file cannot be written or is none of ours.
        """
        layers = self.layers
        total = sum(layer.looseness for layer in layers)
        return draw(self.graph.nx, path, {layer.layer: layer.looseness / total for layer in layers if total > 0})

    def to_json(self) -> dict[str, Any]:
        """The means over the images, in JSON's types."""
        means = {name: self.mean(getattr(self, name)) for name in ("bound", "value", "lines")}
        shown = {**means, "images": len(self.bound), "finite": int(self.finite.sum()), "worst": self.worst}
        rows = [asdict(layer) for layer in self.layers]
        return {"domain": self.domain, **{k: _word(v) for k, v in shown.items()},
                "layers": [{k: _word(v) for k, v in row.items()} for row in rows]}  # fmt: skip

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, a row for each layer.

        Errors: MissingExtra without pandas.
        """
        with needing("pandas", "to_pandas"):
            import pandas

        return pandas.DataFrame([asdict(layer) for layer in self.layers], columns=list(_HEADS))

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        from html import escape

        head = "".join(f"<th>{name}</th>" for name in _HEADS)
        rows = [[_shown(value) for value in asdict(layer).values()] for layer in self.layers]
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        return f"<table><caption>{escape(str(self))}</caption><tr>{head}</tr>{body}</table>"

    def __str__(self) -> str:
        told = f"{self.domain}: bound {self.mean(self.bound):.4g}, value {self.mean(self.value):.4g}"
        return f"{told}, lines {self.mean(self.lines):.4g}; means of {int(self.finite.sum())} images"

    def __repr__(self) -> str:
        return f"Explanation({self.domain}, {len(self.bound)} images, {len(self.names)} layers, worst {self.worst!r})"


def _word(value: Any) -> Any:
    return None if isinstance(value, float) and value - value != 0 else value


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
