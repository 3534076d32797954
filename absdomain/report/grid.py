"""A grid of learning rates: one training for each, and the one whose held-out images have the least error is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absdomain.report.runs import made_of_runs, train_in
from absdomain.runtime.folders import Kind

if TYPE_CHECKING:
    from absdomain.trainers import Recipe

TABLE = "rates.json"
GRID = Kind("grid of learning rates", earlier=lambda folder: made_of_runs(folder, TABLE))


def best_of(recipe: Recipe, rates: Sequence[float], folder: Path, data_dir: Path | None, device: str) -> Path:
    """The folder of the best training, `folder/lrRATE`; `folder/rates.json` has the errors of all, best first.

    Errors are those on held-out images after the last epoch, or after the epoch that is kept: verified, or clean where
    the method bounds nothing. A training that diverges has none. The same call again resumes.
    """
    from absdomain.trainers import Diverged

    if recipe.validation == 0:
        raise recipe.refuse("validation", "the learning rate is chosen on held-out images; hold some out")
    output = GRID.claim(folder, TABLE)
    rows: list[dict[str, Any]] = []
    for rate in rates:
        own = folder / f"lr{rate:g}"
        try:
            train_in(replace(recipe, lr=rate), own, data_dir, device)
            rows.append({"lr": rate, "folder": own.name, **seen(own)})
        except Diverged as reason:
            rows.append({"lr": rate, "folder": own.name, "diverged": str(reason)})
    known = [row for row in rows if "diverged" not in row]
    if not known:
        raise Diverged(f"{folder}: the training diverged at every rate, {', '.join(f'{rate:g}' for rate in rates)}")
    rows.sort(key=lambda row: row.get("verified_error", row.get("clean_error", 2.0)))
    output.write_json(TABLE, rows)
    return folder / str(rows[0]["folder"])


def seen(folder: Path) -> dict[str, float]:
    """The held-out errors of a finished run at the epoch whose weights it has kept."""
    from absdomain.trainers import read_metrics

    rows = read_metrics(folder)
    row = rows[int(rows[-1]["more"].get("kept", rows[-1]["epoch"])) - 1]
    return {name: row[name] for name in ("verified_error", "clean_error") if row[name] is not None}
