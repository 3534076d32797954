"""python -m benchmarks bounds | methods | lowering | startup | gpu | verify | zoo: tables."""

from __future__ import annotations

import os
import sys

import torch
import typer

from benchmarks.bounds import bounds
from benchmarks.gpu import gpu
from benchmarks.lowering import lowering
from benchmarks.methods import methods
from benchmarks.output import MALLOC
from benchmarks.startup import startup
from benchmarks.verify import verify
from benchmarks.zoo import zoo

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Speed and memory beside a plain forward pass and a plain training step."""
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        os.execvpe(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], os.environ | MALLOC)
    torch.set_num_threads(1)


for command in (bounds, methods, lowering, startup, gpu, verify, zoo):
    app.command()(command)


if __name__ == "__main__":
    app()
