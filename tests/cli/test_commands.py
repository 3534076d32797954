"""Commands that look at several runs: compare, matrix, inspect, and the second network of a pair."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from absdomain import to_graph
from absdomain.certification import Status, Verdict
from absdomain.cli.compare import counted, transferred
from absdomain.cli.inspect import filters, weighed
from absdomain.cli.matrix import _used, drawn
from absdomain.data import load
from absdomain.report.study import Check
from absdomain.trainers.methods.natural import natural
from absdomain.trainers.run.session import split
from tests.cli.test_cli import call

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


@pytest.mark.slow
def test_both_networks_of_a_pair_are_certified(pair: Path) -> None:
    ask = ["certify", pair, "--json", *QUICK, "--subset", "30", "--curve", "0", "--domain", "dual"]
    first, second = (json.loads(call(*ask, "--model", model).stdout) for model in ("model", "partner"))
    assert (first["network"], second["network"]) == ("mlp-2x100", "mlp-2x100, partner")
    assert first["folder"] != second["folder"]
    assert first["domains"] != second["domains"]
    assert "holds no other.safetensors" in call(*ask, "--model", "other", code=1).stderr


# --- radius


def test_radii_of_test_images(ibp: Path) -> None:
    ask = ["radius", ibp, "--subset", "3", "--largest", "0.2", "--tolerance", "0.05", "--timeout", "5"]
    found = json.loads(call(*ask, "--json").stdout)
    assert [one["index"] for one in found["images"]] == [0, 1, 2]
    for one in found["images"]:
        assert one["proved"] <= (one["falsified"] or 0.2)
        assert one["reason"] or one["falsified"] is None or one["falsified"] - one["proved"] <= 0.05
    told = call(*ask).stdout
    assert "median: proved" in told
    assert "falsified" in told
    assert "needs 0 < tolerance" in call("radius", ibp, "--tolerance", "0", code=1).stderr


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


@pytest.mark.slow
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
    falling.double()  # as trained with --dtype float64
    assert transferred(falling, falling, check, images, labels) == 100
    assert transferred(falling, rising, check, images, labels) == 0
    assert transferred(rising, falling, check, images, labels) == pytest.approx(100 / 3)


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
        assert row["clip"] is True
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


def test_a_part_of_a_split_is_drawn_by_the_seed() -> None:
    test = load("digits", "test")
    assert all(torch.equal(a, b) for a, b in zip(drawn(test, 9, 1), drawn(test, 9, 1), strict=True))
    assert not torch.equal(drawn(test, 9, 1)[0], drawn(test, 9, 2)[0])
    assert len(drawn(test, 10**6, 0)[1]) == len(test)


def test_the_matrix_draws_of_what_was_trained_on() -> None:
    """At the seed of the training, too, whose own permutation begins with what is held out."""
    full = load("digits", "train")
    full = replace(full, labels=torch.arange(len(full)))  # each image by its row
    recipe = natural.recipe(data="digits", seed=0, validation=300, images=200)
    trained, held_out = (set(part.labels.tolist()) for part in split(recipe, full))
    assert (len(trained), len(held_out), len(trained & held_out)) == (200, 300, 0)
    found = set(drawn(_used(recipe, full), 100, 0)[1].tolist())
    assert len(found) == 100
    assert found <= trained
    others = set(drawn(_used(replace(recipe, images=None), full), 100, 0)[1].tolist())
    assert not others & held_out
    test = load("digits", "test")
    assert _used(recipe, test) is test


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


@pytest.mark.parametrize("command", ["sweep", "compare", "matrix", "inspect", "toy"])
def test_each_command_has_help(command: str) -> None:
    assert f"absdomain {command} " in call(command, "--help").stdout
