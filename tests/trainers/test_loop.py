"""A run trains, keeps its folder, and goes on exactly where it stopped."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from absdomain.data import load
from absdomain.trainers import (
    CheckpointError,
    Diverged,
    Metrics,
    Recipe,
    RunError,
    StepMetrics,
    load_run,
    read,
    read_metrics,
    train,
)
from absdomain.trainers.methods.crown_ibp import crown_ibp
from absdomain.trainers.methods.natural import natural


def short(**given: Any) -> Recipe:
    """Two or three dozen steps of every phase: natural, mixed, interval bounds alone."""
    fields: dict[str, Any] = {"data": "digits", "network": "mlp-2x100", "batch": 256, "epochs": 5, "eps": 0.02}
    return crown_ibp.recipe(**fields | {"warmup": 1.0, "ramp": 2.5} | given)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Metrics], list[StepMetrics]]:
    """An uninterrupted run, its metrics and its steps."""
    folder = tmp_path_factory.mktemp("run")
    steps: list[StepMetrics] = []
    return folder, list(train(short(), folder, on_step=steps.append)), steps


def test_a_run_yields_its_epochs(finished: tuple[Path, list[Metrics], list[StepMetrics]]) -> None:
    folder, epochs, steps = finished
    assert [row.epoch for row in epochs] == [1, 2, 3, 4, 5]
    assert [row.step for row in epochs] == [6, 12, 18, 24, 30]
    assert epochs[0].eps == 0
    assert epochs[0].verified_error == epochs[0].clean_error
    assert (epochs[-1].eps, epochs[-1].beta) == (0.02, 0.0)
    assert all(row.clean_error <= row.verified_error for row in epochs if row.clean_error and row.verified_error)
    assert epochs[-1].loss < epochs[0].loss
    assert epochs[-1].clean_error is not None
    assert epochs[-1].clean_error < 0.3
    assert [row["epoch"] for row in read_metrics(folder)] == [1, 2, 3, 4, 5]
    assert [step.step for step in steps] == list(range(1, 31))
    assert steps[0].clean_error is not None
    assert steps[-1].verified_error is not None
    assert sum(step.loss for step in steps[:6]) / 6 == pytest.approx(epochs[0].loss)


def test_the_network_of_a_run_comes_back(finished: tuple[Path, list[Metrics], list[StepMetrics]]) -> None:
    folder, epochs, _ = finished
    network, recipe = load_run(folder)
    assert recipe == short()
    assert not network.training
    _, held_out = load("digits", "train").holdout(recipe.validation, recipe.seed)
    wrong = network(held_out.images).argmax(1) != held_out.labels
    assert wrong.double().mean().item() == pytest.approx(epochs[-1].clean_error)


def test_a_finished_run_has_nothing_to_do(finished: tuple[Path, list[Metrics], list[StepMetrics]]) -> None:
    before = weights(finished[0])
    assert list(train(short(), finished[0])) == []
    assert weights(finished[0]) == before


class Stop(Exception):
    """Thrown out of the callback in the middle of a run."""


def stopped_at(step: int, folder: Path, recipe: Recipe, **options: Any) -> None:
    def stop(metrics: StepMetrics) -> None:
        if metrics.step == step:
            raise Stop

    with pytest.raises(Stop):
        list(train(recipe, folder, on_step=stop, **options))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("every_step", [True, False], ids=["checkpoint each step", "checkpoint each epoch"])
def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    finished: tuple[Path, list[Metrics], list[StepMetrics]], tmp_path: Path, every_step: bool
) -> None:
    for step in (2, 9, 12, 13, 25):
        stopped_at(step, tmp_path, short(), checkpoint_seconds=0.0 if every_step else 1e9)
    torch.manual_seed(99)  # the state around a run does not matter
    list(train(short(), tmp_path))
    assert weights(tmp_path) == weights(finished[0])
    rows, expected = ([row | {"seconds": 0} for row in read_metrics(run)] for run in (tmp_path, finished[0]))
    assert rows == expected


RANDOM_PARTS = {
    "sgd": short(optimiser="sgd", lr=0.05),
    "no momentum": short(optimiser="sgd", lr=0.05, momentum=0.0),
    "augmented": short(flip=True, crop=1, l1=1e-5, validation=0),
    "float64 smooth": short(dtype="float64", smooth=True, kappa_start=1.0, kappa_end=0.5, normalise=True),
    "natural": natural.recipe(data="digits", network="mlp-2x100", epochs=3, batch=256),
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("recipe", RANDOM_PARTS.values(), ids=RANDOM_PARTS)
def test_every_kind_of_run_resumes(tmp_path: Path, recipe: Recipe) -> None:
    list(train(recipe, tmp_path / "whole"))
    stopped_at(9, tmp_path / "parts", recipe, checkpoint_seconds=0.0)
    list(train(recipe, tmp_path / "parts"))
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_seeds_differ(tmp_path: Path) -> None:
    for seed in (0, 1):
        list(train(short(epochs=1, ramp=0.0, seed=seed), tmp_path / str(seed)))
    assert weights(tmp_path / "0") != weights(tmp_path / "1")


def test_another_recipe_in_the_same_folder_is_refused(
    finished: tuple[Path, list[Metrics], list[StepMetrics]],
) -> None:
    with pytest.raises(RunError, match=r"holds a run with lr 0\.005, now 0\.1, seed 0, now 3; ask"):
        train(short(lr=0.1, seed=3), finished[0])


def test_a_run_keeps_its_thread_count(tmp_path: Path) -> None:
    stopped_at(7, tmp_path, short())
    config = json.loads((tmp_path / "config.json").read_text())
    threads = torch.get_num_threads()
    assert config["threads"] == threads
    (tmp_path / "config.json").write_text(json.dumps(config | {"threads": threads + 1}))
    try:
        next(train(short(), tmp_path))
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    first: Iterator[Metrics] = train(short(), tmp_path)
    next(first)
    with pytest.raises(RunError, match="another process trains here"):
        next(train(short(), tmp_path))
    first.close()  # type: ignore[attr-defined]
    next(train(short(), tmp_path))


def test_of_two_runs_that_begin_in_one_folder_the_first_gives_the_config(tmp_path: Path) -> None:
    first, second = train(short(), tmp_path), train(short(eps=0.2), tmp_path)
    next(first)
    with pytest.raises(RunError, match="another process trains here"):
        next(second)
    list(first)
    late = train(short(), tmp_path)
    assert load_run(tmp_path)[1] == short()
    assert list(late) == []


def test_what_cannot_start_leaves_no_config(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="nosuch"):
        list(train(short(network="nosuch"), tmp_path))
    assert len(list(train(short(epochs=1, ramp=0.0), tmp_path))) == 1


def test_weights_without_a_config_are_refused(tmp_path: Path) -> None:
    stopped_at(7, tmp_path, short())
    (tmp_path / "config.json").unlink()
    with pytest.raises(RunError, match=r"holds state\.json and no config\.json, so that nothing says what was trained"):
        train(short(eps=0.2), tmp_path)


def test_lost_metrics_end_a_run_before_it_goes_on(tmp_path: Path) -> None:
    stopped_at(9, tmp_path, short())
    rows = (tmp_path / "metrics.jsonl").read_bytes()
    assert rows
    (tmp_path / "metrics.jsonl").write_bytes(rows[:-20])
    with pytest.raises(RunError, match=rf"has {len(rows) - 20} bytes, but {len(rows)} were written; restore it"):
        next(train(short(), tmp_path))
    assert (tmp_path / "metrics.jsonl").read_bytes() == rows[:-20]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="not a folder, and none can be made"):
        next(train(short(), tmp_path / "file"))


def test_a_diverging_run_stops_and_keeps_its_last_finite_weights(tmp_path: Path) -> None:
    recipe = short(optimiser="sgd", lr=1e30)
    with pytest.raises(Diverged, match=r"the loss is (nan|inf) at epoch 1, batch \d .*smaller lr"):
        list(train(recipe, tmp_path))
    with pytest.raises(Diverged):
        list(train(recipe, tmp_path))
    assert not (tmp_path / "model.safetensors").exists()


def test_what_is_wrong_with_a_folder_is_said(
    finished: tuple[Path, list[Metrics], list[StepMetrics]], tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"holds no config\.json, so no run"):
        load_run(tmp_path)
    stopped_at(8, tmp_path / "partial", short())
    with pytest.raises(RunError, match=r"holds no model\.safetensors, its training has not ended"):
        load_run(tmp_path / "partial")
    shutil.copytree(finished[0], tmp_path / "copy")
    (tmp_path / "copy/model.safetensors").write_bytes(weights(finished[0])[:-10])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not this network's weights"):
        load_run(tmp_path / "copy")
    assert list(train(short(), tmp_path / "copy")) == []  # mends it from the checkpoint
    assert weights(tmp_path / "copy") == weights(finished[0])
    config = json.loads((tmp_path / "copy/config.json").read_text())
    for wrong in (
        {},
        config | {"threads": 0},
        config | {"threads": 100000},
        config | {"classes": "10"},
        config | {"shape": [1, "8", 8]},
    ):
        (tmp_path / "copy/config.json").write_text(json.dumps(wrong))
        with pytest.raises(RunError, match=r"config\.json: not the config of a run"):
            load_run(tmp_path / "copy")
    (tmp_path / "copy/metrics.jsonl").write_text('{"epoch": 1}\n{"epoch" 2}\n{"half')
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 2: not JSON .*; restore it, or train anew"):
        read_metrics(tmp_path / "copy")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("trainer", ["crown-ibp", "singleprop", "robustra"])
def test_test_images_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: str) -> None:
    from absdomain.data import images as data

    splits: list[str] = []
    digits = data.SOURCES["digits"]

    def watched(split: str, shelf: Any) -> Any:
        splits.append(split)
        return digits.read(split, shelf)

    monkeypatch.setitem(data.SOURCES, "digits", replace(digits, read=watched))
    recipe = read(trainer).recipe(data="digits", network="mlp-2x100", epochs=2, warmup=0.0, images=100)
    list(train(recipe, tmp_path))
    assert splits == ["train"]


def test_more_held_out_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"validation: 5000 cannot be used; there are 1437 training images"):
        train(short(validation=5000), tmp_path)


def test_a_checkpoint_of_another_device_is_refused(tmp_path: Path) -> None:
    from absdomain.trainers.run.session import start

    list(train(short(epochs=1, ramp=0.0), tmp_path))
    session = start(tmp_path, short(epochs=1, ramp=0.0), load("digits", "train"), torch.device("cpu"))
    session.restore()
    session.device = torch.device("cuda")  # there need not be one: what is missing is seen before it is used
    with pytest.raises(CheckpointError, match=r"made on another device than cuda.*--device cpu"):
        session.restore()
