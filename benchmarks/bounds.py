"""Bounds and the basic training steps on several networks and batch sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from absdomain.errors import TooLarge
from absdomain.runtime.timing import interleaved, once, peak_memory
from benchmarks.cases import BATCHES, NETWORKS, Case, cases
from benchmarks.output import Row, ready, write


def bounds(
    network: Annotated[list[str] | None, typer.Option(help="Networks to measure; the default is all.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Batch sizes; the default is 1, 8, 32 and 128.")] = None,
    seconds: Annotated[float, typer.Option(help="Time for each network and batch size.")] = 30.0,
    out: Annotated[Path | None, typer.Option(help="Also write the rows to this JSON file.")] = None,
) -> None:
    """Time bounds as ratios to the module's forward, and training steps as ratios to a natural step, in one run."""
    ready(out)
    rows = []
    for name in network or NETWORKS:
        for size in batch or BATCHES:
            rows += _measure(name, size, seconds)
            Console(stderr=True).print(f"{name}, batch {size}: measured")
    write(_table(rows), rows, out)


def _measure(name: str, batch: int, seconds: float) -> list[Row]:
    listed, left_out = cases(name, batch)
    often = [case for case in listed if not case.once]
    times = interleaved([work for case in often for work in (case.plain, case.work)], seconds=seconds)
    rows = [_row(name, batch, case, *times[2 * i : 2 * i + 2]) for i, case in enumerate(often)]
    for case in listed:
        try:
            rows += [_row(name, batch, case, times[0], once(case.work))] if case.once else []
        except TooLarge as error:
            Console(stderr=True).print(f"{case.name}, batch {batch}: left out, {error}")
            left_out.append(case.name)
    return rows + [{"network": name, "batch": batch, "case": case} for case in left_out]


def _row(name: str, batch: int, case: Case, plain: float, certified: float) -> Row:
    return {
        "network": name,
        "batch": batch,
        "case": case.name,
        "plain_ms": 1e3 * plain,
        "ms": 1e3 * certified,
        "ratio": certified / plain,
        "target": case.target,
        "peak_mib": peak_memory(case.work),
        "plain_peak_mib": peak_memory(case.plain),
    }


def _table(rows: list[Row]) -> Table:
    table = Table(title="Ratios to the module's forward (bounds) or to a natural step (training), one thread")
    for column in ("network", "batch", "case", "plain ms", "ms", "ratio", "target", "peak MiB", "plain peak MiB"):
        table.add_column(column, justify="left" if column in ("network", "case") else "right")
    for row in rows:
        numbers = [row.get(key) for key in ("plain_ms", "ms", "ratio", "target", "peak_mib", "plain_peak_mib")]
        shown = ["-" if n is None else f"{n:.2f}" for n in numbers]
        if "ratio" not in row:
            shown[2] = "too dear"
        table.add_row(str(row["network"]), str(row["batch"]), str(row["case"]), *shown)
    return table
