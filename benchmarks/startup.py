"""What the program costs before it does anything: processor time of whole processes, beside torch's own import."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy
import typer
from onnx import helper, numpy_helper
from rich.table import Table

from absdomain.runtime.writing import replace as written
from benchmarks.output import Row, ready, write

TARGET = 1.5  # seconds after torch's import, for an answer to a small question
SIDES = "(assert (and (>= X_0 0) (<= X_0 1) (>= X_1 0) (<= X_1 1)))"
PROPERTY = f"(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real) {SIDES} (assert (>= Y_0 1.5))"


def startup(
    repeats: Annotated[int, typer.Option(min=1, help="The least of so many runs counts.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Also write the rows to this JSON file.")] = None,
) -> None:
    """Processor time of `import torch`, `import absdomain` and `absdomain verify` on a network of four neurons."""
    ready(out)
    with tempfile.TemporaryDirectory() as folder:
        files = small(Path(folder))
        commands = {
            "import torch": ["-c", "import torch"],
            "import absdomain": ["-c", "import absdomain"],
            "absdomain verify": ["-m", "absdomain.cli", "verify", *files],
            "absdomain verify --timeout 60": ["-m", "absdomain.cli", "verify", *files, "--timeout", "60"],
        }
        seconds = {name: min(spent(command) for _ in range(repeats)) for name, command in commands.items()}
    base = seconds["import torch"]
    rows: list[Row] = [
        {"what": name, "seconds": taken, "beyond": taken - base, "target": TARGET} for name, taken in seconds.items()
    ]
    table = Table("process", title="Start-up, one thread: seconds of processor time")
    for column in ("seconds", "beyond torch's import", "target"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row["what"], *(f"{row[key]:.2f}" for key in ("seconds", "beyond", "target")))
    write(table, rows, out)


def small(folder: Path) -> list[str]:
    """The files of |x_0 - x_1| and of a property that it has."""
    weights = {"W": numpy.array([[1, -1], [-1, 1]], "f"), "V": numpy.ones((2, 1), "f")}
    nodes = [("MatMul", "x", "W", "z"), ("Relu", "z", "h"), ("MatMul", "h", "V", "y")]
    graph = helper.make_graph(
        [helper.make_node(op, list(given), [made]) for op, *given, made in nodes],
        "distance",
        [helper.make_tensor_value_info("x", 1, [1, 2])],
        [helper.make_tensor_value_info("y", 1, [1, 1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    contents = {"net.onnx": model.SerializeToString(), "property.vnnlib": PROPERTY.encode()}
    for name, content in contents.items():
        written(folder / name, content, lambda there: False)
    return [str(folder / name) for name in contents]


def spent(command: list[str]) -> float:
    """Seconds of processor time of a Python process, and of those that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=alone)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
