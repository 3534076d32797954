"""Tables for people, on stdout."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isinf
from statistics import median
from typing import TYPE_CHECKING

from absdomain.data.images import SOURCES
from absdomain.domain.expression import ALIASES
from absdomain.registry import Group, find, names

if TYPE_CHECKING:
    from rich.table import Table

    from absdomain.branching import Radius
    from absdomain.certification import Estimate, Explanation, Summary
    from absdomain.report.measure import LayerWidths


def show(*tables: Table) -> None:
    """Print tables on stdout, at the terminal's width or, in a file, at 120 columns.

    What stands above and below a table has the terminal's width, too: a narrow table would break its words.
    """
    from rich.console import Console

    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=120)
    for table in tables:
        above, below, table.title, table.caption = table.title, table.caption, None, None
        for text in (above, table, below):
            if text:
                console.print(text, highlight=False)


def errors_table(summary: Summary, texts: Mapping[str, str], title: str) -> Table:
    """Errors in percent, top to bottom from what is seen to what is proved; `texts` spells domains as the user did.

    Beside an error that time-outs may have raised: how many there were, and the error had all of them ended in proofs.
    """
    from rich.table import Table

    table = Table("error on the test images", "%", title=title, title_justify="left", caption_justify="left")
    table.columns[1].justify = "right"
    if summary.timeouts:
        table.add_column("time-outs", justify="right")
        table.add_column("at least, %", justify="right")
    table.add_row("clean", f"{summary.clean_error:.2f}")
    if summary.pgd_error is not None:
        table.add_row("PGD", f"{summary.pgd_error:.2f}")
    table.add_section()
    for domain, error in summary.domains.items():
        cells = [f"{error:.2f}", str(summary.timeouts.get(domain, 0)), f"{summary.in_time(domain):.2f}"]
        table.add_row(f"verified by {texts.get(domain, domain)}", *cells[: len(table.columns) - 1])
    cells = [f"{summary.verified_error:.2f}", str(summary.timed_out), f"{summary.in_time():.2f}"]
    table.add_row("verified by any", *cells[: len(table.columns) - 1], style="bold")
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary.reasons.items())
    table.caption = f"{summary.samples} images" + (f"; unknown: {reasons}" if reasons else "")
    table.caption += _told("; loosest at", summary.layers) + _told("; would be proved by", summary.helped)
    return table


def _told(head: str, counts: Mapping[str, int]) -> str:
    """The head and the counts, most first; nothing without counts."""
    most = sorted(counts.items(), key=lambda pair: -pair[1])
    return f"{head} {', '.join(f'{name} ({count})' for name, count in most)}" if counts else ""


def layers_table(layers: Mapping[str, Sequence[LayerWidths]], title: str) -> Table:
    """One row per node: the mean width of its bounds, and the share of neurons of open sign, for each domain."""
    from rich.table import Table

    table = Table("node", "operation", "shape", title=title, title_justify="left")
    for domain in layers:
        table.add_column(f"{domain}\nmean width", justify="right")
        table.add_column("\nunstable", justify="right")
    for rows in zip(*layers.values(), strict=True):
        cells = [cell for row in rows for cell in (f"{row.mean:.4g}", _percent(row.unstable))]
        table.add_row(rows[0].name, rows[0].op, "x".join(map(str, rows[0].shape)), *cells)
    return table


def estimates_table(found: Sequence[Estimate], samples: int, title: str) -> Table:
    """What each domain's bounds would take, of an image and of all of them; or why they do not fit."""
    from rich.table import Table

    table = Table("domain", title=title, title_justify="left", caption_justify="left")
    for column in ("an image", f"{samples:,} images", "memory"):
        table.add_column(column, justify="right")
    for one in found:
        table.add_row(one.domain, *one.cells(samples))
    refused = [f"{one.domain} does not fit: {one.refused}" for one in found if one.refused]
    table.caption = "; ".join(["estimates, from a trial on a part of the work", *refused])
    return table


def looseness_table(found: Explanation, title: str) -> Table:
    """One row per nonlinear layer: how much is relaxed, over bounds of which width, and what that costs the bound.

    The caption has what the rows add up to.
    """
    from rich.table import Table

    table = Table("layer", "operation", title=title, title_justify="left", caption_justify="left")
    for column in ("entries", "relaxed", "width", "looseness", "share", "loosest for"):
        table.add_column(column, justify="right")
    layers, lines = found.layers, found.mean(found.lines)
    total = sum(layer.looseness for layer in layers) + max(lines, 0.0)
    for layer in layers:
        numbers = (f"{layer.width:.4g}", f"{layer.looseness:.4g}", _percent(layer.looseness / total if total else 0.0))
        style = "bold" if layer.layer == found.worst else None
        table.add_row(
            layer.layer, layer.operation, str(layer.entries), _percent(layer.relaxed), *numbers, str(layer.loosest),
            style=style,
        )  # fmt: skip
    table.add_section()
    share = _percent(max(lines, 0.0) / total if total else 0.0)
    table.add_row("(lines)", "not in the domain", "", "", "", f"{lines:.4g}", share, "")
    left, broken = int((~found.finite).sum()), int((found.value[found.finite] <= 0).sum())
    table.caption = (
        f"bound {found.mean(found.bound):.4g} = {found.mean(found.value):.4g}, the margin at the point where the bound "
        "is least, less the looseness"
        + (f"; at {broken} images this margin is not positive: no domain can prove them" if broken else "")
        + (f"; {left} images without a finite bound are left out" if left else "")
    )
    return table


def margins_table(lower: Mapping[str, Sequence[float]], label: int, title: str) -> Table:
    """A row per rival class, with each domain's lower bound of z_label - z_rival; what is proved is green."""
    from rich.table import Table

    table = Table("rival class", title=title, title_justify="left")
    for domain in lower:
        table.add_column(domain, justify="right")
    for place, bounds in enumerate(zip(*lower.values(), strict=True)):
        cells = [f"[green]{bound:.4f}[/green]" if bound > 0 else f"{bound:.4f}" for bound in bounds]
        table.add_row(str(place + (place >= label)), *cells)
    return table


def radii_table(radii: Sequence[Radius], title: str) -> Table:
    """A row per image: its radii, and why they are apart; their medians in the caption."""
    from rich.table import Table

    table = Table("image", "class", "proved", "falsified", "seconds", "why apart", title=title, title_justify="left")
    for column in table.columns[2:5]:
        column.justify = "right"
    for one in radii:
        near = "" if isinf(one.falsified) else f"{one.falsified:.4f}"
        label = "" if one.label is None else str(one.label)
        table.add_row(str(one.index), label, f"{one.proved:.4f}", near, f"{one.seconds:.2f}", one.reason)
    proved, falsified = (median(getattr(one, name) for one in radii) for name in ("proved", "falsified"))
    table.caption = f"median: proved {proved:.4f}, falsified {falsified:.4f}"
    return table


def names_table(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Names, each with a line that says what it is; brackets in it are no markup."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def listings() -> dict[str, Callable[[], list[tuple[str, str]]]]:
    """What can be listed -> its names, each with a line that says what it is; made when asked for."""
    return {
        "domains": lambda: [*_registered("domains"), *((alias, f"= {text}") for alias, text in ALIASES.items())],
        "networks": lambda: _registered("networks"),
        "trainers": lambda: _registered("trainers"),
        "data": lambda: [(name, "{train} + {test} images".format(**source.counts)) for name, source in SOURCES.items()],
    }


def _registered(group: Group) -> list[tuple[str, str]]:
    return [(name, _one_line(find(group, name))) for name in names(group)]


def _one_line(found: object) -> str:
    """What a registered object is: its own summary or text, or the first line of its docstring."""
    summary = getattr(found, "summary", None)
    if isinstance(summary, str):
        return summary
    described = not isinstance(found, type) and "__str__" in vars(type(found))
    return str(found) if described else (inspect.getdoc(found) or "").partition("\n")[0]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
