"""Of a grid of learning rates the one with the least error on held-out images is taken."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from absdomain.report.grid import best_of
from absdomain.trainers import RecipeError, load_run, read_metrics
from tests.trainers.test_kept import SHORT


def test_the_best_rate_of_a_grid_is_taken(tmp_path: Path) -> None:
    recipe = replace(SHORT, epochs=2, keep="last")
    rates = (1e-6, 0.02)
    chosen = best_of(recipe, rates, tmp_path / "grid", None, "cpu")
    assert chosen == tmp_path / "grid/lr0.02"
    rows = json.loads((tmp_path / "grid/rates.json").read_text())
    assert [row["lr"] for row in rows] == [0.02, 1e-6]
    assert rows[0]["verified_error"] == read_metrics(chosen)[-1]["verified_error"] < rows[1]["verified_error"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "grid").rglob("model.safetensors")}
    assert best_of(recipe, rates, tmp_path / "grid", None, "cpu") == chosen
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert load_run(chosen)[1].lr == 0.02
    with pytest.raises(RecipeError, match="validation: 0 cannot be used; the learning rate is chosen on held-out"):
        best_of(replace(recipe, validation=0), rates, tmp_path / "none", None, "cpu")
