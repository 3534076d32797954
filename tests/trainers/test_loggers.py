"""Loggers are given each epoch's numbers, and tell their package of them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import absdomain
from absdomain.cli.main import app
from absdomain.errors import MissingExtra
from absdomain.trainers import Metrics, loggers

ROW = Metrics(
    epoch=2, step=8, loss=0.5, eps=0.1, kappa=1.0, beta=0.0, lr=0.01, clean_error=0.25, verified_error=None,
    seconds=3.0, more={"mean_width": 0.75},
)  # fmt: skip
NUMBERS = {
    "step": 8.0, "loss": 0.5, "eps": 0.1, "kappa": 1.0, "beta": 0.0, "lr": 0.01, "clean_error": 0.25, "seconds": 3.0,
    "eps_eval": 0.0, "skipped": 0.0, "mean_width": 0.75,
}  # fmt: skip
PLACES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb", "mlflow": "mlflow"}


class Recorder:
    """Notes what is called with what; a call of `init` gives the recorder itself, as a run."""

    run = None

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> Recorder:
            self.calls.append((name, *args, options) if options else (name, *args))
            return self

        return call


@pytest.fixture
def stand_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A module in the place of the package, whose functions a recorder notes."""
    recorder, module = Recorder(), ModuleType(PLACES[request.param])
    names = {"tensorboard": ["SummaryWriter"], "wandb": ["init"], "mlflow": ["set_experiment", "log_metrics"]}
    for name in names[request.param]:
        setattr(module, name, getattr(recorder, name))
    module.run = None  # type: ignore[attr-defined]  # of wandb: no run is under way
    monkeypatch.setitem(sys.modules, PLACES[request.param], module)
    return recorder


def test_a_row_s_numbers_are_named_and_unknown_ones_are_left_out() -> None:
    assert loggers.scalars(ROW) == NUMBERS


@pytest.mark.parametrize("stand_in", ["tensorboard"], indirect=True)
def test_tensorboard_is_told_each_number_at_its_epoch(stand_in: Recorder) -> None:
    loggers.read("tensorboard:logs")(ROW)
    told = [("add_scalar", name, value, 2) for name, value in NUMBERS.items()]
    assert stand_in.calls == [("SummaryWriter", "logs"), *told, ("flush",)]


@pytest.mark.parametrize("stand_in", ["wandb"], indirect=True)
def test_wandb_begins_a_run_and_is_told_the_numbers(stand_in: Recorder) -> None:
    loggers.wandb("digits", name="first")(ROW)
    assert stand_in.calls == [("init", {"project": "digits", "name": "first"}), ("log", NUMBERS, {"step": 2})]


@pytest.mark.parametrize("stand_in", ["wandb"], indirect=True)
def test_wandb_goes_on_with_a_run_that_is_under_way(stand_in: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Recorder()
    monkeypatch.setattr(sys.modules["wandb"], "run", own)
    loggers.wandb()(ROW)
    assert stand_in.calls == []
    assert own.calls == [("log", NUMBERS, {"step": 2})]


@pytest.mark.parametrize("stand_in", ["mlflow"], indirect=True)
def test_mlflow_is_told_the_numbers_in_the_experiment(stand_in: Recorder) -> None:
    loggers.read("mlflow:digits")(ROW)
    loggers.mlflow()(ROW)
    told = ("log_metrics", NUMBERS, {"step": 2})
    assert stand_in.calls == [("set_experiment", "digits"), told, told]


@pytest.mark.parametrize("name", PLACES)
def test_a_missing_package_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PLACES[name], None)  # an import of it raises ModuleNotFoundError
    with pytest.raises(MissingExtra, match=rf'pip install "absdomain\[{name}\]"'):
        loggers.read(f"{name}:place")


@pytest.mark.parametrize("text", ["", "tensorboard", "wandb:", "csv:logs"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="tensorboard:FOLDER, wandb:PROJECT or mlflow:EXPERIMENT"):
        loggers.read(text)


def test_tensorboard_itself_reads_what_a_training_has_logged(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install absdomain[tensorboard]")
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-not-found]
        EventAccumulator,
    )

    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.rand(40, 1, 2, 2)
    data = x, (x.sum((1, 2, 3)) > 2).long()
    found = absdomain.fit(model, data, "natural", epochs=2, callbacks=loggers.tensorboard(tmp_path))
    shown = EventAccumulator(str(tmp_path))
    shown.Reload()
    assert [(e.step, e.value) for e in shown.Scalars("loss")] == [
        (row.epoch, pytest.approx(row.loss)) for row in found.rows
    ]


TRAIN = ["train", "--data", "toy", "--network", "toy", "--trainer", "natural", "--epochs", "2", "--threads", "1"]


@pytest.mark.slow
def test_the_command_line_tells_a_logger_of_each_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[str, list[Metrics]] = {"here": []}
    monkeypatch.setitem(loggers.LOGGERS, "list", lambda place: rows[place].append)
    done = CliRunner().invoke(app, [*TRAIN, "--log", "list:here", "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.stderr
    assert [row.epoch for row in rows["here"]] == [1, 2]


@pytest.mark.parametrize(
    ("given", "words"),
    [(["--log", "csv"], "tensorboard:FOLDER"), (["--log", "csv:a", "--lr", "1", "--lr", "2"], "one --lr")],
)
def test_the_command_line_refuses_before_any_work(given: list[str], words: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*TRAIN, *given, "--out", str(tmp_path / "run")])
    assert done.exit_code != 0
    assert words in done.stderr
    assert not (tmp_path / "run").exists()
