"""How a benchmark came out: a table by verdict and group, and solved instances against time beside other tools'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from absdomain.report.answering import DECIDED, VERDICTS
from absdomain.report.instances import VERIFICATION, Instance, Result
from absdomain.report.others import Other
from absdomain.runtime import pictures

if TYPE_CHECKING:
    from rich.table import Table

OWN = "absdomain"


@dataclass(frozen=True)
class Count:
    """Of a group of instances: how many have each verdict, are as expected, or contradict it; seconds in all."""

    instances: int
    right: int
    wrong: int
    verdicts: dict[str, int]
    seconds: float

    @staticmethod
    def of(rows: Sequence[Instance], results: Sequence[Result]) -> Count:
        """The count of these results."""
        counted = Counter(one.answer.verdict for one in results)
        return Count(
            len(results), sum(one.right(rows) for one in results), sum(one.wrong(rows) for one in results),
            {verdict: counted[verdict] for verdict in VERDICTS}, sum(one.answer.seconds for one in results),
        )  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """The counts of all and of each group, and each tool's times of what it decided, its own first, sorted."""

    total: Count
    groups: dict[str, Count]
    times: dict[str, list[float]]
    contested: list[str]  # where another tool says the contrary

    @staticmethod
    def of(rows: Sequence[Instance], results: Sequence[Result], others: Sequence[Other] = ()) -> Standing:
        """The standing of these results, grouped by the first folder of the networks' paths, or the CSV file's."""
        grouped: dict[str, list[Result]] = {}
        for one in results:
            grouped.setdefault(_group(rows[one.index]), []).append(one)
        times = {OWN: sorted(one.answer.seconds for one in results if one.answer.verdict in DECIDED)}
        for tool in dict.fromkeys(other.tool for other in others):
            times[tool] = sorted(o.seconds for o in others if o.tool == tool and o.verdict in DECIDED)
        own = {one.index: one.answer.verdict for one in results if one.answer.verdict in DECIDED}
        against = [o for o in others if o.verdict in DECIDED and own.get(o.index, o.verdict) != o.verdict]
        contested = [
            f"{rows[o.index].onnx} {rows[o.index].vnnlib}: {own[o.index]}, {o.tool} {o.verdict}" for o in against
        ]
        return Standing(
            Count.of(rows, results), {g: Count.of(rows, some) for g, some in grouped.items()}, times, contested
        )

    @property
    def wrong(self) -> int:
        """How many contradict what is expected."""
        return self.total.wrong

    def to_json(self) -> dict[str, Any]:
        """What programs read."""
        return asdict(self)


def _group(one: Instance) -> str:
    file = next(iter(one.networks.values()))
    first = PurePosixPath(file).parts[0]
    return first if "/" in file and first not in ("/", ".", "..", "onnx") else one.folder.resolve().name


def line(one: Result, rows: Sequence[Instance], done: int) -> str:
    """One instance's result in a line; a contradiction is red."""
    import typer

    row = rows[one.index]
    wrong = f", but {row.expected} is expected" if one.wrong(rows) else ""
    why = f" ({one.answer.reason})" if one.answer.reason else ""
    text = f"{done}/{len(rows)}  {one.answer.verdict}{wrong}  {one.answer.seconds:.2f} s  {row.onnx} {row.vnnlib}{why}"
    return typer.style(text, fg="red", bold=True) if wrong else text


def write(folder: Path, found: Standing) -> None:
    """summary.json and cactus.png in the folder of the results."""
    from absdomain.report import plots_verify

    output = VERIFICATION.claim(folder)
    output.write_json("summary.json", found.to_json())
    pictures.add(output, "cactus.png", lambda: plots_verify.cactus(found.times))


def show(found: Standing) -> None:
    """The tables on stdout, and which answers another tool contradicts."""
    import typer

    from absdomain.report import tables

    tables.show(*[_counts(found), *([_tools(found)] if len(found.times) > 1 else [])])
    for text in found.contested:
        typer.echo(typer.style(f"contrary: {text}", fg="yellow"))


def _counts(found: Standing) -> Table:
    from rich.table import Table

    table = Table(
        "benchmark", "instances", "right", "wrong", *VERDICTS, "seconds", title="answers", title_justify="left"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for name, count in {**found.groups, "all": found.total}.items():
        if name == "all":
            table.add_section()
        wrong = f"[bold red]{count.wrong}[/bold red]" if count.wrong else "0"
        numbers = [str(count.verdicts[verdict]) for verdict in VERDICTS]
        table.add_row(name, str(count.instances), str(count.right), wrong, *numbers, f"{count.seconds:.1f}")
    return table


def _tools(found: Standing) -> Table:
    from rich.table import Table

    table = Table("tool", "decided", "median s", "seconds in all", title="beside other tools", title_justify="left")
    for tool, seconds in found.times.items():
        middle = f"{seconds[len(seconds) // 2]:.2f}" if seconds else ""
        table.add_row(tool, str(len(seconds)), middle, f"{sum(seconds):.1f}")
    return table
