"""Several processes train as one: the same weights as a single process, for the same batches."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from absdomain.registry import names
from absdomain.trainers import Recipe, read, read_metrics
from tests.trainers.processes import certified, registered, run, together

FEW: dict[str, Any] = {
    "data": "digits",
    "network": "mlp-2x100",
    "dtype": "float64",
    "images": 103,  # the last batch has 3 images: shares of 1 and 2
    "batch": 50,
    "epochs": 2,
    "validation": 41,
    "warmup": 0.4,  # the first step is natural
    "ramp": 1.0,
    "eps": 0.03,
    "seed": 3,
}


def few(trainer: str, **given: Any) -> Recipe:
    return read(trainer).recipe(**FEW | {"trainer": trainer} | given)


QUICK = {"natural": few("natural", l1=1e-4), "ibp": few("ibp"), "crown-ibp": few("crown-ibp", beta_end=0.5)}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("two")
    certified(where / "single.jsonl")
    header, *lines = (where / "single.jsonl").read_text().splitlines(keepends=True)
    (where / "verdicts.jsonl").write_text("".join([header, *lines[:9]]))  # as two processes left it that were killed:
    (where / "verdicts.jsonl.part1").write_text("".join([header, *lines[14:20], lines[20][:10]]))
    outcome = together(where, QUICK)
    assert json.loads(outcome.pop("verdicts")) == [json.loads(line) for line in lines]
    assert set(outcome.values()) == {""}
    return where


def same(ours: Path, single: Path, *, rtol: float = 1e-9) -> None:
    """The same models, and the same rows of metrics but for the seconds."""
    models = sorted(path.name for path in single.glob("*.safetensors") if not path.name.startswith("checkpoint"))
    assert "model.safetensors" in models
    for name in models:
        expected, found = load_file(single / name), load_file(ours / name)
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=rtol, atol=1e-10, msg=partial("{}: {}".format, key))
    for got, wanted in zip(rows(ours), rows(single), strict=True):
        assert got == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def rows(folder: Path) -> list[dict[str, float]]:
    """What the epochs' rows say, but for their seconds."""
    found = [row | row["more"] for row in read_metrics(folder)]
    assert found
    return [{k: v for k, v in row.items() if k not in ("seconds", "more") and v is not None} for row in found]


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_two_processes_reach_the_weights_of_one(quick: Path, tmp_path: Path, name: str) -> None:
    run(QUICK[name], tmp_path)
    same(quick / name, tmp_path)


def test_two_processes_give_the_verdicts_of_one(quick: Path) -> None:
    """They went on with what others had left: 9 verdicts, and 6 of a part whose last line is torn."""
    expected, found = ((quick / name).read_text().splitlines() for name in ("single.jsonl", "verdicts.jsonl"))
    assert found[0] == expected[0]
    assert sorted(found) == sorted(expected)
    assert found[1:16] == expected[1:10] + expected[15:21]
    assert {json.loads(line)["status"] for line in found[1:]} == {"verified", "falsified", "unknown"}
    assert not list(quick.glob("*.part*"))


@pytest.fixture
def _registered() -> Iterator[None]:
    with registered():
        yield


OTHERS = {
    "natural on batch norm": few("natural", network="bn"),
    "crown-ibp on batch norm": few("crown-ibp", network="bn", beta_end=0.5),
    "advibp on batch norm": few("advibp(natural=0.2, fosc=1e-3)", network="bn"),
    "augmented": few("natural", flip=True, crop=1, gradient_norm=0.5, optimiser="sgd", lr=0.01),
    "certified": few("certified(loss=hinge, elision=False)", domain="deeppoly"),
    "pure-ibp": few("pure-ibp"),
    "fgsm": few("fgsm", images=101),  # the last batch has one image, so that one of two processes has none
    "pgd": few("pgd", kappa_end=0.5),
    "trades": few("trades"),
    "singleprop": few("singleprop"),
    "wong-kolter": few("wong-kolter", domain="dual(projections=5)"),
    "robustra": few("robustra", epochs=4),
    "robustra of last weights": few("robustra(reference=last, rate=0.3)", epochs=4),
    "cosine": few("cosine"),
    "diffai": few("diffai"),
    "shi": few("shi", network="lopsided"),
    "sabr": few("sabr"),
    "cc-ibp": few("cc-ibp"),
    "mtl-ibp": few("mtl-ibp"),
    "exp-ibp": few("exp-ibp", images=101),
    "advibp": few("advibp(natural=0.2, fosc=1e-3)", images=101),
    "advibp of the first layer": few("advibp(moments=first, always_square=True)", warmup=0.0),
    "advibp with fixed weights": few("advibp(weights=fixed)", warmup=0.0),
    "harmed": few("natural"),
}


def test_every_method_is_among_them() -> None:
    tried = {recipe.trainer.partition("(")[0] for recipe in (QUICK | OTHERS).values()}
    assert tried == set(names("trainers"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("two")
    given = OTHERS | {"harmed": replace(OTHERS["harmed"], trainer="harmed")}
    outcome = together(where, given)
    assert {stopped for name, stopped in outcome.items() if name != "verdicts"} == {""}
    return where


@pytest.mark.slow
@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("name", OTHERS)
def test_every_method_reaches_the_weights_of_one_process(others: Path, tmp_path: Path, name: str) -> None:
    given = replace(OTHERS[name], trainer="harmed") if name == "harmed" else OTHERS[name]
    run(given, tmp_path)
    same(others / name, tmp_path)
    assert sum(row["skipped"] for row in rows(tmp_path)) == (name == "harmed")


@pytest.mark.slow
def test_a_training_goes_on_with_another_number_of_processes(tmp_path: Path) -> None:
    recipe, whole = OTHERS["pgd"], tmp_path / "whole"
    run(recipe, whole)
    alone, two, both = ({name: recipe} for name in ("begun alone", "begun by two", "stopped, and by two again"))
    assert run(recipe, tmp_path / "begun alone", stop=4) == "at step 4"
    outcome = together(tmp_path, two | both, stop=4)
    assert (outcome["begun by two"], outcome[next(iter(both))]) == ("at step 4", "at step 4")
    assert "begun alone" not in outcome
    run(recipe, tmp_path / "begun by two")
    together(tmp_path, alone | both | {"by two": recipe})
    for name in (*alone, *two, *both):
        same(tmp_path / name, whole)
    again, never = (tmp_path / name / "model.safetensors" for name in (next(iter(both)), "by two"))
    assert again.read_bytes() == never.read_bytes()


@pytest.mark.slow
def test_what_stops_one_process_stops_all(tmp_path: Path) -> None:
    """Each process raised what the first one found: `together` compares their outcomes."""
    run(OTHERS["fgsm"], tmp_path / "taken")
    recipes = {"taken": OTHERS["pgd"], "harmed": replace(OTHERS["natural on batch norm"], trainer="harmed", patience=0)}
    outcome = together(tmp_path, recipes)
    assert "holds a run with trainer 'fgsm', now 'pgd'" in outcome["taken"]
    assert "the loss is nan at epoch 1, batch 2" in outcome["harmed"]
    assert not (tmp_path / "harmed/model.safetensors").exists()
