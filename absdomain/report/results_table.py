"""Tables of results in Markdown, made of what runs and certificates have written and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from absdomain.report.certificates import Certificate, grouped, labels, published

if TYPE_CHECKING:
    from absdomain.trainers import Recipe

HEAD = ("method", "network", "eps", "schedule", "images", "seeds", "clean", "attacked")
TAIL = ("verified", "published: clean, verified", "minutes")


def table(found: Sequence[Certificate]) -> str:
    """One row for each recipe and question: errors in %, mean ± deviation over seeds, what papers have, minutes.

    Beside the errors of each domain alone, where all were asked of every image, "verified" is that by any of them.
    """
    groups = grouped(found)
    domains = list(dict.fromkeys(name for group in groups for name in group[0].results["domains"]))
    columns = (*HEAD, *(f"by `{name}`" for name in domains), *TAIL)
    rows = [_row(group, label, domains) for group, label in zip(groups, labels(groups), strict=True)]
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n" + _notes(groups)


def crossed(found: Sequence[Certificate]) -> str:
    """Methods by the domains on which they trained: clean and verified error in each cell, mean ± deviation over seeds.

    ValueError where two groups share a cell: their recipes differ otherwise, or what was asked of them.
    """
    cells: dict[tuple[str, str], Sequence[Certificate]] = {}
    for group in grouped(found):
        cell = group[0].recipe.trainer, group[0].recipe.domain
        if cell in cells:
            runs = f"{group[0].run} and {cells[cell][0].run}"
            raise ValueError(f"{runs} are both {' on '.join(cell)}; give runs of one recipe and one question each")
        cells[cell] = group
    methods, domains = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    lines = [("method", *(f"`{domain}`" for domain in domains)), ("---",) * (len(domains) + 1)]
    lines += [(f"`{method}`", *(_pair(cells.get((method, domain), ())) for domain in domains)) for method in methods]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\nClean and verified error in %.\n"


def _pair(group: Sequence[Certificate]) -> str:
    """Clean and verified error, "clean, verified"; empty without a run."""
    return ", ".join(
        _spread([one.results[name] for one in group]) for name in ("clean_error", "verified_error") if group
    )


def _row(group: Sequence[Certificate], label: str, domains: Sequence[str]) -> tuple[str, ...]:
    first = group[0]
    recipe, results = first.recipe, first.results
    trained = f"{recipe.eps:.4g}" if recipe.eps != results["eps"] else ""
    told = published(first)
    return (
        f"`{label}` on `{recipe.domain}`" if recipe.domain else f"`{label}`",
        recipe.network,
        f"{results['eps']:.4g}"
        + (f" (trained at {trained})" if trained else "")
        + ("" if results["clip"] else ", no clip"),
        _schedule(recipe),
        _images(recipe, results["samples"]),
        str(len({one.recipe.seed for one in group})),
        _spread([one.results["clean_error"] for one in group]),
        _spread([one.results["pgd_error"] for one in group if one.results["pgd_error"] is not None]),
        *(_spread([one.results["domains"][n] for one in group if n in one.results["domains"]]) for n in domains),
        _spread([one.results["verified_error"] for one in group]),
        "; ".join(f"{_figure(row.clean)}, {', '.join(map(_figure, row.verified))}" for row in told),
        _spread([one.seconds / 60 for one in group], digits=1),
    )


def _schedule(recipe: Recipe) -> str:
    from absdomain.trainers.times import short

    phases = f"{short(recipe.warmup)} + {short(recipe.ramp)}"
    return f"{recipe.epochs} epochs, {phases}, batch {recipe.batch}, {recipe.optimiser} {recipe.lr:g}"


def _images(recipe: Recipe, tested: int) -> str:
    from absdomain.data import counts

    trained = recipe.images or counts(recipe.data)["train"] - recipe.validation
    kept = ", best kept" if recipe.keep == "best" else ""
    return f"{trained:,} / {tested:,}{kept}"


def _spread(values: Sequence[float], digits: int = 2) -> str:
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if values else ""
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _notes(groups: Sequence[Sequence[Certificate]]) -> str:
    attacks = sorted({str(one.results.get("attack")) for group in groups for one in group})
    sources = dict.fromkeys(f"{row.paper}, {row.place}" for group in groups for row in published(group[0]))
    told = f" Published: {'; '.join(sources)}." if sources else ""
    return (
        "Errors in %, mean ± deviation over seeds. Schedule: warm-up + ramp. Images: trained on / tested on. Minutes: "
        f"of training, on a busy machine. Attacked by {' or '.join(attacks)}.{told}\n"
    )


def insert(path: Path, name: str, content: str) -> None:
    """Put a table between the lines `<!-- table NAME -->` and `<!-- end NAME -->` of a file, in place of what is there.

    ValueError where the file lacks the lines.
    """
    from absdomain.runtime.writing import write_atomically

    text = path.read_text()
    begin, end = f"<!-- table {name} -->\n", f"<!-- end {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(
            f"{path}: has no lines {begin.strip()!r} and {end!r}, once and in this order; write them first"
        )
    new = re.sub(f"(?s){re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{content}\n{end}", text)
    write_atomically(path, new.encode())
