"""Complete verification: the instances of a data folder, and how many bounds a second the two kinds of splits take."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.table import Table

from absdomain import freeze, onnx_to_graph, parse, read_property
from absdomain import verify as answer
from absdomain.branching.axes import AxisSearch, Parts
from absdomain.branching.decide import EVERYDAY
from absdomain.branching.signs import Open, SignSearch
from absdomain.branching.target import Target, target
from absdomain.certification.question import Question
from absdomain.properties import queries
from absdomain.report.instances import Instance, read
from benchmarks.output import Row, ready, write

FAMILIES = {  # the network, a property of its input, and bounds a second that are to be reached on two threads
    "sign splits": ("mnist_fc/onnx/mnist-net_256x4.onnx", "mnist_fc/vnnlib/prop_13_0.05.vnnlib.gz", 9_000),
    "boxes": ("acasxu/onnx/ACASXU_run2a_5_1_batch_2000.onnx", "acasxu/vnnlib/prop_1.vnnlib", 1_000),
}
HALVINGS, STEPS = 9, 8  # of the parts that are timed, and evaluations of each branch's bound


def verify(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds for an instance, at most its own limit.")] = 60.0,
    only: Annotated[str, typer.Option(help="Only instances whose files have this in their names.")] = "",
    threads: Annotated[int, typer.Option(min=1)] = 2,
    out: Annotated[Path | None, typer.Option(help="Also write the rows to this JSON file.")] = None,
) -> None:
    """Verdicts of the instances in ABSDOMAIN_DATA, processor time and branches; bounds a second on two networks."""
    ready(out)
    folder = Path(os.environ.get("ABSDOMAIN_DATA", "")) / "vnnlib"
    if not (folder / "instances.csv").is_file():
        typer.echo(f"{folder / 'instances.csv'} is missing; set ABSDOMAIN_DATA to the folder that has vnnlib", err=True)
        raise typer.Exit(1)
    torch.set_num_threads(threads)
    rows = [speed(name, folder, threads) for name in FAMILIES]
    table = Table("", title=f"Bounds a second, {threads} threads", caption="targets: two threads")
    for column in ("parts a second", "bounds a second", "target"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row["what"], *(f"{row[key]:,.0f}" for key in ("parts", "bounds", "target")))
    write(table, rows, None)
    answers = [answered(one, timeout) for one in read(folder / "instances.csv") if only in f"{one.onnx} {one.vnnlib}"]
    write(summary(answers), rows + answers, out)


def answered(one: Instance, timeout: float) -> Row:
    """What became of an instance."""
    began = time.process_time()
    found = answer(one.asked.network, one.asked.unsafe, timeout=min(timeout, one.timeout))
    return {
        "network": Path(one.onnx).stem, "property": Path(one.vnnlib).stem, "verdict": str(found.verdict),
        "expected": one.expected, "seconds": time.process_time() - began, "branches": found.branches,
        "reason": found.reason,
    }  # fmt: skip


def summary(answers: list[Row]) -> Table:
    """A row for each answer, and their sums."""
    decided = [row for row in answers if row["verdict"] in ("sat", "unsat")]
    wrong = sum(bool(row["expected"]) and row["verdict"] != row["expected"] for row in decided)
    seconds = sum(row["seconds"] for row in answers)
    told = f"{len(decided)} of {len(answers)} decided, {wrong} of them wrong; {seconds:.1f} s of processor time"
    table = Table("network", "property", "verdict", "expected", title="Instances", caption=told)
    for column in ("seconds", "branches"):
        table.add_column(column, justify="right")
    for row in answers:
        names = (row["network"][:32], row["property"][:32], row["verdict"], row["expected"])
        table.add_row(*names, f"{row['seconds']:.2f}", f"{row['branches']:,}")
    return table


def speed(name: str, folder: Path, threads: int) -> Row:
    """Parts and bounds a second of one family."""
    network, unsafe, goal = FAMILIES[name]
    asked = posed(folder / network, folder / unsafe)
    work, bounds = SPEEDS[name](asked)
    work()
    began, count = time.process_time(), 0
    while time.process_time() - began < threads or not count:
        work()
        count += 1
    parts = count * 2**HALVINGS * threads / (time.process_time() - began)
    return {"what": f"{name}, {Path(network).stem}", "parts": parts, "bounds": parts * bounds, "target": goal}


def posed(network: Path, unsafe: Path) -> Target:
    """The first case of a property, bounded by the everyday domain."""
    graph = onnx_to_graph(network, dtype=torch.float64)
    given = read_property(unsafe, graph)
    (query, *_) = queries(given, {each.name: graph for each in given.networks}, torch.float64, boxes=torch.float32)
    first = torch.tensor([0])
    with torch.no_grad():
        question = Question(query.graph, freeze(query.graph), query.region.select(first), query.spec.select(first))
        return target(question, parse(EVERYDAY))


def branches(asked: Target) -> tuple[Callable[[], object], int]:
    """The bounds of branches that have decisions of their own, and the evaluations of each."""
    search = SignSearch(asked, 2**HALVINGS, lambda points: None)
    some: Open = search.open.take(1)
    entries = search.layout.unsettled(some.lower, some.upper)[0].nonzero().flatten()
    for entry in entries[:: max(1, len(entries) // HALVINGS)][:HALVINGS]:
        where = search.layout.thresholds(some.lower, some.upper)
        below, above = search.sides(some, entry.expand(len(some)), where)
        some = below.with_more(above)
    return lambda: search.bounded(some, STEPS), STEPS


def boxes(asked: Target) -> tuple[Callable[[], object], int]:
    """The linear bounds of equal parts of the input's box."""
    search = AxisSearch(asked, parse(EVERYDAY), 2**HALVINGS, lambda points: None)
    some: Parts = search.open.take(1)
    for turn in range(HALVINGS):
        axis = torch.tensor([turn % asked.size]).expand(len(some), 1)
        middle = torch.lerp(some.lower, some.upper, 0.5).gather(1, axis)
        left = Parts(some.lower, some.upper.scatter(1, axis, middle), some.bound)
        some = left.with_more(Parts(some.lower.scatter(1, axis, middle), some.upper, some.bound))
    return lambda: search.planes(some), 1


SPEEDS = {"sign splits": branches, "boxes": boxes}
