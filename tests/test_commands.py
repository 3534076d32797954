"""Commands that look at several runs: sweep, compare, matrix, inspect, and the second network of a pair."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from absdomain import to_graph
from absdomain._study import Check
from absdomain.commands import sweep_table
from absdomain.commands.compare import counted, transferred
from absdomain.commands.inspect import filters, weighed
from absdomain.commands.sweep import Result, jobs
from absdomain.data import load
from absdomain.verdict import Status, Verdict
from tests.test_cli import call

TRAIN = ["--data", "digits", "--network", "mlp-2x100", "--epochs", "2", "--eps", "0.02", "--batch", "256"]
QUICK = ["--steps", "3", "--restarts", "1"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def ibp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ibp"
    call("train", *TRAIN, "--trainer", "ibp", "--lr", "0.01", "--out", folder)
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "pair"
    call("train", *TRAIN, "--trainer", "robustra(looked_at=20)", "--lr", "0.01", "--out", folder)
    return folder


def test_both_networks_of_a_pair_are_certified(pair: Path) -> None:
    ask = ["certify", pair, "--json", *QUICK, "--subset", "30", "--curve", "0", "--domain", "dual"]
    first, second = (json.loads(call(*ask, "--model", model).stdout) for model in ("model", "partner"))
    assert (first["network"], second["network"]) == ("mlp-2x100", "mlp-2x100, partner")
    assert first["folder"] != second["folder"]
    assert first["domains"] != second["domains"]
    assert "holds no other.safetensors" in call(*ask, "--model", "other", code=1).stderr


# --- compare


def verdict(index: int, status: Status, *, correct: bool = True) -> Verdict:
    return Verdict(index, 0, status, None, 1.0, correct=correct)


def test_the_shares_of_a_comparison() -> None:
    proved, open_ = Status.VERIFIED, Status.UNKNOWN
    first = [verdict(i, s) for i, s in enumerate([proved, proved, proved, open_, open_])]
    second = [verdict(i, s) for i, s in enumerate([proved, open_, open_, proved, open_])]
    assert counted(first, second) == {
        "images": 5, "first": 60.0, "second": 40.0, "both": 20.0, "either": 80.0, "only first": 40.0,
        "only second": 20.0, "neither": 20.0,
    }  # fmt: skip
    assert counted([], [])["either"] == 0


def test_compare_is_of_the_same_images_and_says_that_it_is_no_certificate(ibp: Path, pair: Path) -> None:
    ask = ["compare", ibp, pair, "--model2", "partner", "--subset", "40", *QUICK]
    found = json.loads(call(*ask, "--json").stdout)
    assert "No ensemble certificate" in found["note"]
    every, correct = found["all"], found["correct by both"]
    assert every["images"] == 40 >= correct["images"]
    assert every["first"] + every["only second"] == pytest.approx(every["either"])
    assert correct["either"] >= every["either"]  # of fewer images, none of them wrong by both
    ours = json.loads(call("certify", ibp, "--json", *QUICK, "--subset", "40", "--curve", "0", "--cascade").stdout)
    assert every["first"] == pytest.approx(100 - ours["verified_error"])
    table = call(*ask).stdout
    assert "only second" in table
    assert "No ensemble certificate" in table


def test_the_errors_of_transferred_attacks(ibp: Path, pair: Path) -> None:
    ask = ["compare", ibp, pair, "--subset", "60", "--eps", "0.1", "--steps", "10", "--restarts", "1", "--json"]
    errors = json.loads(call(*ask).stdout)["errors"]
    for name, other in (("first", "second"), ("second", "first")):
        assert errors[name]["clean"] < errors[name]["pgd"]
        assert errors[name]["clean"] < errors[name]["transfer"] <= errors[name]["pgd"]
        assert errors[name] != errors[other]
    assert json.loads(call(*ask).stdout)["errors"] == errors
    plain = json.loads(call(*ask, "--no-transfer").stdout)["errors"]
    assert plain == {name: {"clean": row["clean"], "pgd": row["pgd"]} for name, row in errors.items()}
    twice = json.loads(call("compare", ibp, ibp, *ask[3:]).stdout)["errors"]["first"]
    assert twice["pgd"] == errors["first"]["pgd"] == pytest.approx(twice["transfer"], abs=5)  # other random starts
    table = call(*ask[:-1]).stdout
    assert "PGD on the other" in table


def test_points_of_one_network_are_put_to_the_other() -> None:
    def steps(sign: float) -> nn.Module:
        layer = nn.Linear(1, 2)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[0.0], [sign]]))
            layer.bias.copy_(torch.tensor([0.5, 0.0]) * sign)
        return layer

    rising, falling = steps(1.0), steps(-1.0)  # class 1 above and below 0.5
    images, labels = torch.tensor([[0.4], [0.55], [0.9]]), torch.tensor([0, 1, 1])
    check = Check(eps=0.2, clip=False, steps=5, restarts=1)
    assert transferred(rising, rising, check, images, labels) == pytest.approx(100 * 2 / 3)
    # what is worst for the falling one is best for the rising one, and the other way round
    assert transferred(falling, rising, check, images, labels) == 0
    assert transferred(rising, falling, check, images, labels) == pytest.approx(100 / 3)
    assert transferred(falling, falling, check, images, labels) == 100


# --- matrix


@pytest.mark.slow
def test_the_matrix_has_both_splits_and_is_drawn_by_its_seed(ibp: Path, pair: Path) -> None:
    ask = ["matrix", ibp, pair, "--subset", "4", *QUICK, "--domain", "box", "--domain", "fast-lin", "--domain", "lp"]
    table = call(*ask, "--seed", "1").stdout
    rows = json.loads(Path("matrix.json").read_text())
    assert [(row["trained"], row["split"], row["images"]) for row in rows] == [
        (trainer, split, 4) for trainer in ("ibp", "robustra(looked_at=20)") for split in ("test", "train")
    ]
    for row in rows:
        assert list(row["domains"]) == ["box", "fast-lin", "lp"]
        assert row["clean"] <= row["pgd"] <= min(row["domains"].values())
        assert row["domains"]["lp"] <= row["domains"]["fast-lin"]
    assert "test images" in table
    assert "train images" in table
    verdicts = {
        path: path.read_bytes() for path in ibp.rglob("verdicts.jsonl") if path.parent.name[:4] in ("test", "trai")
    }
    assert len(verdicts) == 2
    call(*ask, "--seed", "1")
    assert json.loads(Path("matrix.json").read_text()) == rows
    assert all(path.read_bytes() == content for path, content in verdicts.items())


# --- inspect


def test_norms_sparsity_and_filters_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[[[1.0, -2.0], [0.0, 0.0]]], [[[0.5, 0.5], [0.001, -4.0]]]]))
        network[1].running_var.fill_(4.0 - 1e-5)  # type: ignore[operator,union-attr]
        network[4].weight.copy_(torch.stack([torch.arange(8.0) - 3, torch.zeros(8)]))
    graph = to_graph(network.double().eval(), torch.zeros(1, 1, 3, 3, dtype=torch.float64))
    conv, norm, dense = weighed(graph, 0.01)
    assert (conv.weights, conv.negligible, dense.negligible) == (8, 3 / 8, 9 / 16)
    assert (conv.norm, norm.norm, dense.norm) == (pytest.approx(5.001), pytest.approx(0.5), pytest.approx(16.0))
    assert torch.equal(filters(graph), network[0].weight.detach())


def test_inspect_writes_the_pictures_and_the_numbers(ibp: Path) -> None:
    text = call("inspect", ibp).stdout
    assert "induced norm" in text
    layers = json.loads((ibp / "inspected" / "layers.json").read_text())
    assert [layer["weights"] for layer in layers] == [6400, 10000, 1000]
    assert (ibp / "inspected" / "filters.png").stat().st_size > 1000


# --- sweep


def test_jobs_share_out_the_budget_and_go_seed_by_seed() -> None:
    found = list(jobs(["digits-demo"], 2, [1.0, 0.05, 0.0], Path("out")))
    assert [(job.recipe.seed, job.recipe.epochs) for job in found] == [(s, e) for s in (0, 1) for e in (80, 4, 2)]
    assert found[1].recipe.ramp == pytest.approx(found[0].recipe.ramp / 20)
    assert len({job.folder for job in found}) == 6


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
        "results.json", "table.md", "costs.json", "eps.png", "length.png", "cost.png",
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
        return Result("p", "ibp", 10, seed, eps, 0.1, 1.0, 2.0, verified, 3.0, diverged)

    rows = [result(0, 10.0), result(1, 40.0), result(2, 16.0), result(3, None, "loss nan")]
    sweep_table.write(tmp_path, rows, {"p": {"time_ratio": 2.5, "memory_ratio": 1.25}})
    line = (tmp_path / "table.md").read_text().splitlines()[2]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "p", "10", "0.1", "4 (1 diverged)", "1.00 ± 0.00", "2.00 ± 0.00", "10.00", "16.00", "40.00", "22.00 ± 15.87",
        "-", "-", "-", "3.00 ± 0.00", "2.50", "1.25",
    ]  # fmt: skip
    assert "Published" not in (tmp_path / "table.md").read_text()
    assert "seed 3: loss nan" in (tmp_path / "table.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"table.md", "seeds.png", "cost.png"}


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
    rows = [Result(name, "ibp", 10, 0, eps, eps, 1.0, 2.0, 3.0, 4.0) for name, eps in known]
    sweep_table.write(tmp_path, rows, {})
    head, _, *lines = (tmp_path / "table.md").read_text().splitlines()
    place = [cell.strip() for cell in head.strip("|").split("|")].index("published: clean")
    for cells, line in zip(known.values(), lines, strict=False):
        assert tuple(cell.strip() for cell in line.strip("|").split("|"))[place : place + 3] == cells
    sources = [line for line in lines if line.startswith("- ")]
    assert "- mnist-0.3-crown-ibp-B, eps 0.3: Zhang et al. 2020, table 5, crown-ibp-B; mean of 5 runs" in sources
    assert len(sources) == 8


def test_the_best_training_radius_is_taken_at_each_radius() -> None:
    rows = [
        Result(preset, "ibp", 10, 0, train, eps, 0.0, 0.0, error)
        for preset, train, errors in (("a", 0.1, (5.0, 50.0)), ("b", 0.2, (9.0, 20.0)))
        for eps, error in zip((0.1, 0.2), errors, strict=True)
    ]
    rows.append(Result("c", "pgd", 10, 0, 0.1, 0.1, 0.0, 0.0, 1.0))
    groups = sweep_table.grouped(rows)
    assert sweep_table.best_over_training(groups) == {"ibp": {0.1: 5.0, 0.2: 20.0}}
    assert sweep_table.by_radius(groups)["a, 10 epochs"] == {0.1: [5.0], 0.2: [50.0]}


def test_a_part_of_a_split_is_drawn_by_the_seed() -> None:
    from absdomain.commands.matrix import drawn

    test = load("digits", "test")
    assert all(torch.equal(a, b) for a, b in zip(drawn(test, 9, 1), drawn(test, 9, 1), strict=True))
    assert not torch.equal(drawn(test, 9, 1)[0], drawn(test, 9, 2)[0])
    assert len(drawn(test, 10**6, 0)[1]) == len(test)


@pytest.mark.parametrize("command", ["sweep", "compare", "matrix", "inspect", "toy"])
def test_each_command_has_help(command: str) -> None:
    assert f"absdomain {command} " in call(command, "--help").stdout
