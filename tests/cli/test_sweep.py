"""`absdomain sweep`: its trainings, what it certifies of them, its table, and what a step costs."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from absdomain.certification.journal import JournalError
from absdomain.cli import sweep as module
from absdomain.cli.sweep import SWEEP, Job, _all, _costs, _results, _Training, jobs
from absdomain.data import Images, load
from absdomain.report import sweep_table
from absdomain.report.cost import cost
from absdomain.report.sweep_table import Result
from absdomain.trainers.methods.natural import natural
from tests.cli.test_cli import call
from tests.mappers import Backwards

QUICK = ["--steps", "3", "--restarts", "1"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_jobs_share_out_the_budget_and_go_seed_by_seed() -> None:
    found = list(jobs(["digits-demo"], 2, [1.0, 0.05, 1e-9], Path("out")))
    assert [(job.recipe.seed, job.recipe.epochs) for job in found] == [(s, e) for s in (0, 1) for e in (80, 4, 2)]
    assert found[1].recipe.ramp == pytest.approx(found[0].recipe.ramp / 20)
    assert len({job.folder for job in found}) == 6
    assert {job.recipe.images for job in found} == {None}
    assert next(jobs(["digits-demo"], 1, [1.0], Path("out"), images=500)).recipe.images == 500


def test_a_sweep_trains_and_certifies_nothing_twice() -> None:
    twice = list(jobs(["digits-demo", "digits-demo"], 1, [0.05, 0.0501, 0.05], Path("out")))  # both are 4 epochs
    assert [job.folder for job in twice] == [Path("out/digits-demo-epochs4-seed0")]


@pytest.mark.parametrize("budget", [0.0, -0.1, math.nan, math.inf])
def test_a_sweep_refuses_a_budget_that_is_no_share(budget: float) -> None:
    text = call("sweep", "digits-demo", "--budget", budget, code=2).stderr
    assert f"{budget} is not a share of the epochs" in text
    assert not Path("runs").exists()


@pytest.mark.parametrize(("given", "text"), [
    (["--domain", "singleprop-zero"], "certify refuses symbolic_gap"),
    (["--domain", "foo"], "no domain is called 'foo'"),
    (["--eps", "-0.1"], "greater than or equal to 0"),
    (["nosuch"], "no preset is registered as 'nosuch'"),
])  # fmt: skip
def test_a_sweep_refuses_before_it_trains(given: list[str], text: str) -> None:
    ended = call("sweep", "digits-demo", "--budget", "0.02", *given, code=2 if "--eps" in given else 1)
    assert text in " ".join(ended.stderr.split())
    assert not Path("runs").exists()


def test_jobs_that_are_done_elsewhere_in_any_order_come_in_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def results(job: Job, *given: Any) -> Iterator[Result]:
        yield Result(job.preset, "w", job.recipe.epochs, job.recipe.seed, 0.1, eps=given[0][0], clip=True, images=None)

    monkeypatch.setattr(module, "_results", results)
    asked, mapper = list(jobs(["digits-demo"], 3, [0.05], Path("out"))), Backwards()
    found = _all(asked, _Training([0.2], {}, None, "cpu"), mapper)
    assert [one.seed for one in found] == [0, 1, 2] and {one.eps for one in found} == {0.2}
    assert mapper.names == [f"digits-demo-epochs4-seed{seed}" for seed in (2, 1, 0)]


def test_what_a_sweep_measured_is_read_back_or_refused(tmp_path: Path) -> None:
    output = SWEEP.claim(tmp_path)
    (tmp_path / "costs.json").write_text("{")
    with pytest.raises(ValueError, match=r"costs\.json: not what a sweep wrote .*delete it to measure again"):
        _costs(["digits-demo"], None, output)


@pytest.mark.slow
def test_a_sweep_reads_no_results_of_other_weights(tmp_path: Path) -> None:
    recipe = natural.recipe(data="toy", eps_eval=0.01, epochs=2)
    job, asked = Job("p", recipe, tmp_path / "j"), {"steps": 1, "restarts": 1, "curve": 0, "cascade": True}
    asked |= {"clip": None, "domains": ["box"]}

    def results() -> list[Result]:
        return list(_results(job, [0.01, 0.02, 0.01], asked, None, "cpu"))

    first = results()
    assert [(row.eps, row.clip) for row in first] == [(0.01, False), (0.02, False)]  # the toy's recipe does not clip
    assert results() == first
    weights = load_file(job.folder / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, job.folder / "model.safetensors")
    with pytest.raises(JournalError, match="model"):
        results()


def test_the_cost_is_of_one_thread() -> None:
    seen: list[int] = []

    class Watched(Images):
        def __getitem__(self, rows: Any) -> tuple[Tensor, Tensor]:
            seen.append(torch.get_num_threads())
            return super().__getitem__(rows)

    toy = load("toy", "train")
    torch.set_num_threads(2)
    cost(natural.recipe(data="toy"), Watched(**vars(toy)), seconds=0.0)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.slow
def test_a_sweep_is_resumed_and_tabulated(tmp_path: Path) -> None:
    ask = ["sweep", "digits-demo", "--budget", "0.02", "--budget", "0.05", "--subset", "10", *QUICK]
    ask += ["--eps", "0.02", "--eps", "0.05", "--out", tmp_path / "s"]
    call(*ask)
    found = json.loads((tmp_path / "s/results.json").read_text())
    assert [(row["epochs"], row["seed"], row["eps"]) for row in found] == [
        (epochs, 0, eps) for epochs in (2, 4) for eps in (0.02, 0.05)
    ]
    assert all(row["clean"] <= row["pgd"] <= row["verified"] for row in found)
    names = {path.name for path in (tmp_path / "s").iterdir() if path.is_file()}
    assert names == {
        ".absdomain", "results.json", "table.md", "costs.json", "eps.png", "length.png", "cost.png",
    }  # fmt: skip
    costs = json.loads((tmp_path / "s/costs.json").read_text())["digits-demo"]
    assert costs["time_ratio"] > 1  # a natural step is part of none of its bounds
    models = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*.safetensors")}
    text = call(*ask).stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*.safetensors")} == models
    assert json.loads((tmp_path / "s/results.json").read_text()) == found
    assert "verified: best" in text


def test_the_table_has_best_median_worst_mean_and_deviation(tmp_path: Path) -> None:
    def result(seed: int, verified: float | None, diverged: str | None = None, eps: float = 0.1) -> Result:
        return Result("p", "ibp", 10, seed, eps, 0.1, True, None, 1.0, 2.0, verified, 3.0, diverged)

    rows = [result(0, 10.0), result(1, 40.0), result(2, 16.0), result(3, None, "loss nan")]
    sweep_table.write(SWEEP.claim(tmp_path), rows, {"p": {"time_ratio": 2.5, "memory_ratio": 1.25}})
    line = (tmp_path / "table.md").read_text().splitlines()[2]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "p", "10", "0.1", "yes", "4 (1 diverged)", "1.00 ± 0.00", "2.00 ± 0.00", "10.00", "16.00", "40.00",
        "22.00 ± 15.87", "-", "-", "-", "3.00 ± 0.00", "2.50", "1.25",
    ]  # fmt: skip
    assert "Published" not in (tmp_path / "table.md").read_text()
    assert "seed 3: loss nan" in (tmp_path / "table.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {".absdomain", "table.md", "seeds.png", "cost.png"}


def test_published_errors_stand_beside_ours(tmp_path: Path) -> None:
    """Of the preset as it is, at the certified radius; of its own network where the paper has that."""
    known = {
        ("mnist-0.4-ibp-gowal-large", 0.4): (
            "1.66; -; -",
            "10.34; -; -",
            "14.88; 15.01; 16.33",
        ),  # by MIP, IBP, 10 runs
        ("mnist-0.4-ibp-gowal-large", 0.3): ("1.66; -", "6.12; -", "8.05; 8.21"),
        ("mnist-0.4-ibp-gowal-large", 0.35): ("-", "-", "-"),
        ("cifar10-8-255-advibp-dm-small", 8 / 255): ("57.88", "66.52", "70.31"),
        ("mnist-0.3-crown-ibp-B", 0.3): ("3.20", "-", "10.60"),  # of B itself, not of models A to J
        ("mnist-0.1-crown-ibp-P", 0.1): ("1.05", "-", "5.63"),  # without the L1 penalty of the other row
        ("digits-demo", 0.1): ("-", "-", "-"),
    }
    rows = [Result(name, "ibp", 10, 0, eps, eps, True, None, 1.0, 2.0, 3.0, 4.0) for name, eps in known]
    sweep_table.write(SWEEP.claim(tmp_path), rows, {})
    head, _, *lines = (tmp_path / "table.md").read_text().splitlines()
    place = [cell.strip() for cell in head.strip("|").split("|")].index("published: clean")
    for cells, line in zip(known.values(), lines, strict=False):
        assert tuple(cell.strip() for cell in line.strip("|").split("|"))[place : place + 3] == cells
    sources = [line for line in lines if line.startswith("- ")]
    assert "- mnist-0.3-crown-ibp-B, eps 0.3: Zhang et al. 2020, table 5, crown-ibp-B; mean of 5 runs" in sources
    assert len(sources) == 8


def test_the_best_training_radius_is_taken_at_each_radius() -> None:
    rows = [
        Result(preset, "ibp", 10, 0, train, eps, True, None, 0.0, 0.0, error)
        for preset, train, errors in (("a", 0.1, (5.0, 50.0)), ("b", 0.2, (9.0, 20.0)))
        for eps, error in zip((0.1, 0.2), errors, strict=True)
    ]
    rows.append(Result("d", "ibp on mnist", 10, 0, 0.3, 0.1, True, None, 0.0, 0.0, 1.0))  # nor is another data set's
    rows.append(Result("c", "pgd", 10, 0, 0.1, 0.1, True, None, 0.0, 0.0, 1.0))
    groups = sweep_table.grouped(rows)
    assert sweep_table.best_over_training(groups) == {"ibp, 10 epochs": {0.1: 5.0, 0.2: 20.0}}
    assert sweep_table.by_radius(groups)["a, 10 epochs"] == {0.1: [5.0], 0.2: [50.0]}
