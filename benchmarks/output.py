"""Where measured rows go: a table for people, and a JSON file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from absdomain.runtime.writing import as_json, keyed, replace, vacant

# glibc gives large blocks back to the system at each free by default, which costs more than the arithmetic at batch 128
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184"}

Row = dict[str, Any]


OURS = keyed(("torch", "malloc", "rows"))


def ready(out: Path | None) -> None:
    """WriteError, before anything is measured, for a file that is none of ours."""
    if out is not None:
        vacant(out, OURS)


def write(table: Table, rows: list[Row], out: Path | None) -> None:
    """Print the table, and write the rows with what they depend on."""
    Console(width=max(120, Console().width)).print(table)
    if out is not None:
        malloc = {name: os.environ.get(name) for name in MALLOC}
        content = {"torch": torch.__version__, "malloc": malloc, "rows": rows}
        replace(out, as_json(content), OURS)
