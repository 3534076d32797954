"""What lowering costs beside the export that it starts with: torch.export and its decompositions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.table import Table
from torch import Tensor, nn

from absdomain import to_graph
from absdomain.lowering.export import export, plain
from absdomain.runtime.timing import once
from benchmarks.output import Row, write

NODES = (300, 1000)
TARGET = 1.5  # times the export


class Residual(nn.Module):
    """x + relu(W x + b): three operations, one of them without a module of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The value at x."""
        y: Tensor = x + self.layer(x).relu()
        return y


def chain(nodes: int, width: int = 8) -> nn.Module:
    """A network of so many operations, in modules and functions, that grows with none of them."""
    layers = [nn.Sequential(nn.Linear(width, width), nn.ReLU(), Residual(width)) for _ in range(nodes // 5)]
    for part in layers:
        for p in part.parameters():
            nn.init.uniform_(p, -0.1, 0.1)
    return nn.Sequential(*layers).eval()


def lowering(
    nodes: Annotated[list[int] | None, typer.Option(help="Sizes of the network; the default is 300, 1000.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the rows to this JSON file.")] = None,
) -> None:
    """Time to_graph as a ratio to torch.export with its decompositions, on networks of so many operations."""
    rows = [measured(count) for count in nodes or NODES]
    table = Table(title="Lowering, one thread: seconds, and times the export alone")
    for column in ("operations", "export s", "to_graph s", "ratio", "target"):
        table.add_column(column, justify="right")
    for row in rows:
        numbers = (row[key] for key in ("export", "lowered", "ratio", "target"))
        table.add_row(str(row["operations"]), *(f"{number:.2f}" for number in numbers))
    write(table, rows, out)


def measured(count: int) -> Row:
    """The times of an export and of a lowering of one network, one after the other."""
    torch.manual_seed(0)
    module, x = chain(count), torch.rand(3, 8)
    to_graph(chain(5), x)  # what is loaded once
    exported = once(lambda: export(module, [plain(x)], {}))
    lowered = once(lambda: to_graph(module, x))
    return {
        "operations": count,
        "export": exported,
        "lowered": lowered,
        "ratio": lowered / exported,
        "target": TARGET,
    }
