"""What a sweep found: the table over seeds, and the plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Any

from absdomain import _plots_sweep as plots

if TYPE_CHECKING:
    from absdomain.commands.sweep import Result

Group = tuple[str, int, float]  # preset, epochs, certified radius
HEAD = (
    "preset", "epochs", "eps", "seeds", "clean", "PGD", "verified: best", "median", "worst", "mean",
    "s/epoch", "step time", "step memory",
)  # fmt: skip


def write(out: Path, results: Sequence[Result], costs: Mapping[str, Mapping[str, Any]]) -> None:
    """table.md and the plots that the results allow."""
    groups = grouped(results)
    rows = [_row(group, members, costs.get(group[0])) for group, members in groups.items()]
    lines = [HEAD, tuple("---" for _ in HEAD), *rows]
    notes = "Errors in %; mean and deviation over seeds; a step's time and peak memory in those of a natural step.\n"
    diverged = [f"- {r.preset}, {r.epochs} epochs, seed {r.seed}: {r.diverged}\n" for r in results if r.diverged]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (out / "table.md").write_text(f"{table}\n{notes}" + "".join(dict.fromkeys(diverged)))
    _draw(out, groups, costs)


def grouped(results: Sequence[Result]) -> dict[Group, list[Result]]:
    """The results of each preset, schedule and radius, a network for each seed."""
    groups: dict[Group, list[Result]] = {}
    for result in results:
        groups.setdefault((result.preset, result.epochs, result.eps), []).append(result)
    return groups


def _row(group: Group, members: Sequence[Result], cost: Mapping[str, Any] | None) -> tuple[str, ...]:
    preset, epochs, eps = group
    verified, lost = _values(members, "verified"), sum(m.diverged is not None for m in members)
    edges = [f"{f(verified):.2f}" if verified else "-" for f in (min, median, max)]
    return (
        preset,
        str(epochs),
        f"{eps:.4g}",
        f"{len(members)}" + (f" ({lost} diverged)" if lost else ""),
        _mean(_values(members, "clean")),
        _mean(_values(members, "pgd")),
        *edges,
        _mean(verified),
        _mean(_values(members, "epoch_seconds")),
        f"{cost['time_ratio']:.2f}" if cost else "-",
        f"{cost['memory_ratio']:.2f}" if cost else "-",
    )


def _values(members: Sequence[Result], name: str) -> list[float]:
    return [value for value in (getattr(member, name) for member in members) if value is not None]


def _mean(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else "-"
    return f"{mean(values):.2f} ± {stdev(values):.2f}"


def _draw(out: Path, groups: Mapping[Group, list[Result]], costs: Mapping[str, Mapping[str, Any]]) -> None:
    radii, lengths = by_radius(groups), by_length(groups)
    if any(len(values) > 1 for values in radii.values()):
        plots.radii(out / "eps.png", radii, best_over_training(groups))
    if any(len(values) > 1 for values in lengths.values()):
        plots.lengths(out / "length.png", lengths)
    boxes = {f"{p}, {epochs} epochs, eps {eps:.3g}": _values(ms, "verified") for (p, epochs, eps), ms in groups.items()}
    boxes = {name: values for name, values in boxes.items() if len(values) > 1}
    if boxes:
        plots.seeds(out / "seeds.png", boxes)
    if costs:
        ratios = {preset: (found["time_ratio"], found["memory_ratio"]) for preset, found in costs.items()}
        plots.costs(out / "cost.png", ratios)


def by_radius(groups: Mapping[Group, list[Result]]) -> dict[str, dict[float, list[float]]]:
    """{ preset and epochs -> { certified radius -> verified errors } }."""
    found: dict[str, dict[float, list[float]]] = {}
    for (preset, epochs, eps), members in sorted(groups.items()):
        if values := _values(members, "verified"):
            found.setdefault(f"{preset}, {epochs} epochs", {})[eps] = values
    return found


def by_length(groups: Mapping[Group, list[Result]]) -> dict[str, dict[float, list[float]]]:
    """{ preset and certified radius -> { epochs -> verified errors } }."""
    found: dict[str, dict[float, list[float]]] = {}
    for (preset, epochs, eps), members in sorted(groups.items()):
        if values := _values(members, "verified"):
            found.setdefault(f"{preset}, eps {eps:.3g}", {})[epochs] = values
    return found


def best_over_training(groups: Mapping[Group, list[Result]]) -> dict[str, dict[float, float]]:
    """{ method -> { certified radius -> its least median verified error } }, of methods with several training radii."""
    trained: dict[str, set[float]] = {}
    best: dict[str, dict[float, float]] = {}
    for (_, _, eps), members in sorted(groups.items(), key=lambda item: item[0][2]):
        values, trainer = _values(members, "verified"), members[0].trainer
        trained.setdefault(trainer, set()).add(members[0].train_eps)
        if values:
            known = best.setdefault(trainer, {})
            known[eps] = min(median(values), known.get(eps, 100.0))
    return {trainer: values for trainer, values in best.items() if len(trained[trainer]) > 1}
