"""The benchmarks measure every method that is registered, against steps of the same run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from absdomain.registry import names
from benchmarks.claims import CLAIMS
from benchmarks.methods import BASES, drawn, measured, recipe_for
from tests.written import Written


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_claims_are_of_methods_that_exist() -> None:
    assert set(CLAIMS) <= set(names("trainers"))


@pytest.mark.slow
def test_a_step_of_every_method_is_measured() -> None:
    recipes = {name: recipe_for(name, "mlp-2x100", 2) for name in names("trainers")}
    rows = {row["name"]: row for row in measured(recipes, drawn(2), 0.0)}
    assert set(rows) == set(names("trainers"))
    assert all(row["ms"] > 0 and row["mib"] > 0 and set(row["times"]) == set(BASES) for row in rows.values())
    assert all(rows[base]["times"][base] == rows[base]["memories"][base] == 1 for base in BASES)
    for cheap, dear in (("natural", "pure-ibp"), ("pure-ibp", "crown-ibp"), ("fgsm", "pgd"), ("pgd", "trades")):
        assert rows[cheap]["ms"] < rows[dear]["ms"], f"{dear} does all that {cheap} does"
    assert rows["diffai"]["mib"] > 10 * rows["pure-ibp"]["mib"], "a zonotope holds hundreds of boxes"


def test_the_table_of_some_methods(tmp_path: Path) -> None:
    from benchmarks.__main__ import app
    from benchmarks.output import MALLOC

    asked = ["methods", "--network", "mlp-2x100", "--batch", "2", "--seconds", "0", "--trainer", "singleprop"]
    done = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "rows.json")], env=MALLOC)
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["name"] for row in rows] == [*BASES, "singleprop"]
    assert "2 x natural" in done.output
    assert "Boopathy et al. 2021" in done.output


@pytest.mark.slow
@pytest.mark.slow
def test_the_start_of_the_program_is_measured(tmp_path: Path) -> None:
    from benchmarks.__main__ import app
    from benchmarks.output import MALLOC

    done = CliRunner().invoke(app, ["startup", "--repeats", "1", "--out", str(tmp_path / "rows.json")], env=MALLOC)
    assert done.exit_code == 0, done.output
    rows = {row["what"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    assert rows["import torch"]["beyond"] == 0
    assert rows["absdomain verify"]["seconds"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", ["agreement", "speed", "training"])
def test_the_parts_for_a_gpu_run_at_a_small_size_anywhere(tmp_path: Path, part: str) -> None:
    from benchmarks.__main__ import app
    from benchmarks.gpu import COMPILED, DOMAINS, TIMED, TRAINERS
    from benchmarks.output import MALLOC

    asked = ["gpu", part, "--out", str(tmp_path / "rows.json"), "--device", "cpu", "--small"]
    done = CliRunner().invoke(app, asked, env=MALLOC)
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    if part == "agreement":
        assert [row["domain"] for row in rows] == list(DOMAINS)
        assert all(row[kind][law] for row in rows for kind in ("float64", "float32") for law in ("agrees", "contains"))
    if part == "speed":
        assert len(rows) == 2 * (len(TIMED) + len(COMPILED))
        assert all(row["ms"] > 0 for row in rows)
    if part == "training":
        assert [(row["trainer"], row["epoch"]) for row in rows] == [(name, n) for name in TRAINERS for n in (1, 2)]


def test_a_part_for_a_gpu_ends_in_time(tmp_path: Path) -> None:
    from benchmarks.__main__ import app
    from benchmarks.output import MALLOC

    asked = ["gpu", "training", "--out", str(tmp_path / "rows.json"), "--device", "cpu", "--small", "--seconds", "0"]
    done = CliRunner().invoke(app, asked, env=MALLOC)
    assert done.exit_code == 0, done.output
    assert len(json.loads((tmp_path / "rows.json").read_text())["rows"]) == 1
    done = CliRunner().invoke(app, ["gpu", "everything", "--out", str(tmp_path / "none.json")], env=MALLOC)
    assert done.exit_code == 2
    assert "agreement" in done.output


def test_what_becomes_of_a_module_of_the_zoo() -> None:
    from benchmarks.models import Model
    from benchmarks.zoo import blocked, markdown, tried

    x = torch.rand(2, 4)
    rows = [
        tried(Model("layers", "relu", lambda: (nn.Sequential(nn.Linear(4, 3), nn.ReLU()), x)), 60),
        tried(Model("layers", "batch", lambda: (nn.BatchNorm1d(4, track_running_stats=False), x)), 60),
        tried(Model("layers", "none", lambda: {}["what is not there"]), 60),
        tried(Model("layers", "float", lambda: (Written(lambda s, x: x.float().exp().to(x.dtype)), x)), 60),
    ]
    assert [row["outcome"] for row in rows] == ["lowered", "refused", "failed", "lowered"]
    assert [row["dtype"] for row in rows] == ["float64", "float64", "float64", "float32"]
    assert rows[0]["finite"]
    assert "| layers | 4 | 2 | 1 | 1 | 0 |" in markdown(rows)
    assert sum(blocked(rows).values()) == 2


def test_the_page_of_models_is_as_its_script_writes_it() -> None:
    """Rows are read off the page, and written again."""
    from benchmarks.zoo import markdown

    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text()
    (made_with,) = re.findall(r" with (torch [^`]*?)\. Weights", page)
    rows = []
    for section in page.split("\n## ")[1:]:
        family, (lowered,) = section.partition("\n")[0], re.findall(r"^Lowered: (.*)\.$", section, re.MULTILINE)
        rows += [{"family": family, "name": n, "outcome": "lowered"} for n in re.findall(r"`([^`]+)`", lowered)]
        for name, told in re.findall(r"^\| `([^`]+)` \| (.*) \|$", section, re.MULTILINE):
            outcome = "failed" if told.startswith("failed: ") else "refused"
            rows.append({"family": family, "name": name, "outcome": outcome, "message": told.removeprefix("failed: ")})
    assert page == markdown(rows, made_with)
    assert {("torchvision", "resnet18"), ("torchvision", "vit_b_16"), ("transformers", "BertModel")} <= {
        (row["family"], row["name"]) for row in rows if row["outcome"] == "lowered"
    }
