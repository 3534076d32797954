"""A step of every registered training method beside a natural step of the same network, and what papers claim."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.table import Table

from absdomain.data import Images
from absdomain.registry import names
from absdomain.report.cost import steps
from absdomain.runtime.timing import interleaved, once, peak_memory
from absdomain.trainers import Recipe, read
from benchmarks.claims import CLAIMS
from benchmarks.output import Row, ready, write

NATURAL = "natural"
BASES = (NATURAL, "ibp", "pure-ibp")  # what papers form ratios to
DEAR = 2.0  # seconds: a step that takes longer is timed once


def methods(
    network: Annotated[str, typer.Option(help="The network that all methods train.")] = "gowal-small",
    batch: Annotated[int, typer.Option(help="Images per step.")] = 32,
    trainer: Annotated[list[str] | None, typer.Option(help="Methods to measure; the default is all.")] = None,
    seconds: Annotated[float, typer.Option(help="Time for all of them together.")] = 60.0,
    out: Annotated[Path | None, typer.Option(help="Also write the rows to this JSON file.")] = None,
) -> None:
    """Time a step of every method on MNIST's shape as a ratio to a natural step, in one run, beside what papers claim.

    Loss, gradients and Adam, in the middle of the ramp of eps; settings are those of each method's recipe for MNIST.
    """
    ready(out)
    asked = dict.fromkeys([*BASES, *(trainer or names("trainers"))])
    rows = measured({name: recipe_for(name, network, batch) for name in asked}, drawn(batch), seconds)
    write(_table(rows, f"A training step of {network}, batch {batch}, one thread"), rows, out)


def recipe_for(name: str, network: str, batch: int) -> Recipe:
    """The method's own recipe for MNIST, with the network and the batch size that all share."""
    return read(name).recipe(data="mnist", network=network, batch=batch)


def drawn(count: int) -> Images:
    """Random pixels of MNIST's shape: what a step costs does not depend on what the images show."""
    torch.manual_seed(0)
    pixels = torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8)
    return Images(pixels, torch.randint(10, (count,)), 10, "mnist", "train")


def measured(recipes: dict[str, Recipe], images: Images, seconds: float) -> list[Row]:
    """A row for each method: the median of steps that take turns, and the peak of memory; BASES must be among them."""
    works = {name: steps(recipe, images).method for name, recipe in recipes.items()}
    first = {name: once(work) for name, work in works.items()}
    often = [name for name in works if first[name] <= DEAR]
    times = first | dict(zip(often, interleaved([works[name] for name in often], seconds=seconds), strict=True))
    peaks = {name: peak_memory(work) for name, work in works.items()}
    return [
        {
            "name": name,
            "trainer": recipe.trainer,
            "domain": recipe.domain,
            "ms": 1e3 * times[name],
            "times": {base: times[name] / times[base] for base in BASES},
            "mib": peaks[name],
            "memories": {base: peaks[name] / peaks[base] for base in BASES},
            "once": name not in often,
            "claim": CLAIMS[name]._asdict() if name in CLAIMS else None,
        }
        for name, recipe in recipes.items()
    ]


def _table(rows: list[Row], title: str) -> Table:
    sources = [f"{row['name']}: {row['claim']['source']}" for row in rows if row["claim"]]
    caption = (
        "time and memory in those of a natural step, memory beyond weights, gradients and Adam's state; * timed once"
    )
    table = Table(title=title, title_justify="left", caption_justify="left", caption="\n".join([caption, *sources]))
    table.add_column("trainer", no_wrap=True)
    for column in ("ms", "time", *(f"/ {base}" for base in BASES[1:]), "MiB", "memory"):
        table.add_column(column, justify="right")
    table.add_column("papers")
    for row in rows:
        times = [f"{row['times'][base]:.2f}" for base in BASES]
        numbers = [f"{row['ms']:.1f}{'*' if row['once'] else ''}", *times, f"{row['mib']:.1f}"]
        said = row["claim"]["said"] if row["claim"] else ""
        table.add_row(row["name"], *numbers, f"{row['memories'][NATURAL]:.2f}", said)
    return table
