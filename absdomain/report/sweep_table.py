"""What a sweep found: the table over seeds, beside what is published, and the plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Any

from absdomain.report import plots_sweep as plots
from absdomain.report.runs import recipe_of
from absdomain.runtime import pictures
from absdomain.runtime.folders import Output

if TYPE_CHECKING:
    from absdomain.trainers.presets.result import Result as Published

Group = tuple[str, int, float]  # preset, epochs, certified radius
HEAD = (
    "preset", "epochs", "eps", "clip", "networks", "clean", "PGD", "verified: best", "median", "worst", "mean",
    "published: clean", "PGD", "verified", "s/epoch", "step time", "step memory",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One network at one radius; errors in percent. A training that diverged has none, and says why."""

    preset: str
    what: str  # method, domain, network and data
    epochs: int
    seed: int
    train_eps: float
    eps: float
    clip: bool  # whether a perturbed image stays in [0, 1]
    images: int | None  # trained on; None: all
    clean: float | None = None
    pgd: float | None = None
    verified: float | None = None
    epoch_seconds: float | None = None
    diverged: str | None = None
    model: str = "model"  # which of the training's networks


def write(output: Output, results: Sequence[Result], costs: Mapping[str, Mapping[str, Any]]) -> None:
    """table.md and the plots that the results allow."""
    groups = grouped(results)
    known = {group: published(group[0], group[2]) for group in groups}
    rows = [_row(group, members, known[group], costs.get(group[0])) for group, members in groups.items()]
    lines = [HEAD, tuple("---" for _ in HEAD), *rows]
    notes = (
        "Errors in %; mean and deviation over the networks of all seeds, both of a pair; "
        "a step's time and peak memory in those of a natural step.\n"
    )
    images = sorted({r.images for r in results if r.images is not None})
    if images:
        notes += f"Trained on {' or '.join(map(str, images))} images.\n"
    sources = [_source(result) for results in known.values() for result in results]
    if sources:
        notes += "\nPublished, in the order of the columns, all of whole schedules:\n\n" + "".join(
            dict.fromkeys(sources)
        )
    diverged = [f"- {r.preset}, {r.epochs} epochs, seed {r.seed}: {r.diverged}\n" for r in results if r.diverged]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    lost = "\nDiverged:\n\n" + "".join(dict.fromkeys(diverged)) if diverged else ""
    output.write("table.md", f"{table}\n{notes}{lost}".encode())
    _draw(output, groups, costs)


def grouped(results: Sequence[Result]) -> dict[Group, list[Result]]:
    """The results of each preset, schedule and radius, a network for each seed."""
    groups: dict[Group, list[Result]] = {}
    for result in results:
        groups.setdefault((result.preset, result.epochs, result.eps), []).append(result)
    return groups


def published(preset: str, eps: float) -> list[Published]:
    """What the papers publish of the preset as it is, at the radius: of its own network, or else of its family."""
    from absdomain.trainers.presets.published import RESULTS

    found = [result for result in RESULTS if result.preset == preset and isclose(result.radius, eps, rel_tol=1e-6)]
    if not found:
        return []
    recipe = recipe_of(preset, {})
    found = [result for result in found if result.recipe == recipe]
    return [result for result in found if result.network == recipe.network] or found


def _source(result: Published) -> str:
    """The line of a published result: the paper, the place in it, and the network."""
    remark = f"; {result.remark}" if result.remark else ""
    return f"- {result.preset}, eps {result.eps}: {result.paper}, {result.place}, {result.network}{remark}\n"


def _row(
    group: Group, members: Sequence[Result], known: Sequence[Published], cost: Mapping[str, Any] | None
) -> tuple[str, ...]:
    preset, epochs, eps = group
    verified, lost = _values(members, "verified"), sum(m.diverged is not None for m in members)
    edges = [f"{f(verified):.2f}" if verified else "-" for f in (min, median, max)]
    return (
        preset,
        str(epochs),
        f"{eps:.4g}",
        " / ".join(sorted({"yes" if m.clip else "no" for m in members})),
        f"{len(members)}" + (f" ({lost} diverged)" if lost else ""),
        _mean(_values(members, "clean")),
        _mean(_values(members, "pgd")),
        *edges,
        _mean(verified),
        *_cells(known),
        _mean(_values(members, "epoch_seconds")),
        f"{cost['time_ratio']:.2f}" if cost else "-",
        f"{cost['memory_ratio']:.2f}" if cost else "-",
    )


def _cells(known: Sequence[Published]) -> Iterator[str]:
    """Clean, PGD and verified error of each published result, several of them apart by semicolons."""
    for errors in ([(r.clean,) for r in known], [(r.pgd,) for r in known], [r.verified for r in known]):
        told = [" / ".join("-" if error is None else f"{error:.2f}" for error in group) or "-" for group in errors]
        yield "; ".join(told) if set(told) - {"-"} else "-"


def _values(members: Sequence[Result], name: str) -> list[float]:
    return [value for value in (getattr(member, name) for member in members) if value is not None]


def _mean(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else "-"
    return f"{mean(values):.2f} ± {stdev(values):.2f}"


def _draw(output: Output, groups: Mapping[Group, list[Result]], costs: Mapping[str, Mapping[str, Any]]) -> None:
    radii, lengths = by_radius(groups), by_length(groups)
    if any(len(values) > 1 for values in radii.values()):
        pictures.add(output, "eps.png", lambda: plots.radii(radii, best_over_training(groups)))
    if any(len(values) > 1 for values in lengths.values()):
        pictures.add(output, "length.png", lambda: plots.lengths(lengths))
    boxes = {f"{p}, {epochs} epochs, eps {eps:.3g}": _values(ms, "verified") for (p, epochs, eps), ms in groups.items()}
    boxes = {name: values for name, values in boxes.items() if len(values) > 1}
    if boxes:
        pictures.add(output, "seeds.png", lambda: plots.seeds(boxes))
    if costs:
        ratios = {preset: (found["time_ratio"], found["memory_ratio"]) for preset, found in costs.items()}
        pictures.add(output, "cost.png", lambda: plots.costs(ratios))


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
        values, what = _values(members, "verified"), f"{members[0].what}, {members[0].epochs} epochs"
        trained.setdefault(what, set()).add(members[0].train_eps)
        if values:
            known = best.setdefault(what, {})
            known[eps] = min(median(values), known.get(eps, 100.0))
    return {what: values for what, values in best.items() if len(trained[what]) > 1}
