"""A run that is killed again and again, at random moments and while it writes checkpoints, ends as if it never was."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from absdomain.registry import names
from absdomain.trainers import Recipe, read, read_metrics, train
from absdomain.trainers.methods.crown_ibp import crown_ibp

RANDOM_KILLS, KILLS_WHILE_WRITING = 12, 6
PROGRAM = """
import sys
from absdomain.trainers import Recipe, train

for metrics in train(Recipe.from_json(sys.argv[1]), sys.argv[2], checkpoint_seconds=float(sys.argv[3])):
    pass
"""
EPOCHS = 60  # long enough for all the kills on a quick machine
LONG = crown_ibp.recipe(data="digits", network="crown-ibp-A", batch=64, epochs=EPOCHS, flip=True)


def start(recipe: Recipe, folder: Path, seconds: float) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", PROGRAM, json.dumps(recipe.to_json()), str(folder), str(seconds)]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)


def finish(recipe: Recipe, folder: Path) -> None:
    assert start(recipe, folder, 0.2).wait(timeout=300) == 0


def poll(ended: Callable[[], object], seen: Callable[[], object], pause: float = 0.0005) -> bool:
    """Wait until something is seen; False if the process ends before: `ended` gives None until then."""
    while ended() is None:
        if seen():
            return True
        time.sleep(pause)  # leave it the processor
    return False


def kill(process: "subprocess.Popen[bytes]") -> bool:
    """SIGKILL; whether that is what ended it."""
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def state(folder: Path) -> tuple[int, int]:
    """What changes with every checkpoint."""
    path = folder / "state.json"
    return (path.stat().st_mtime_ns, path.stat().st_ino) if path.exists() else (0, 0)


def advanced(folder: Path, before: tuple[int, int]) -> bool:
    return state(folder) != before


def temporaries(folder: Path) -> list[Path]:
    return [*folder.glob(".checkpoint-*.tmp"), *folder.glob(".state.json.*.tmp")]


def moments() -> Iterator[float]:
    """Seconds after a checkpoint, a second at most: several epochs' worth."""
    generator = random.Random(0)
    while True:
        yield generator.random() ** 2


def tensors(folder: Path) -> dict[str, bytes]:
    """The weights of every model of a run, and of its last checkpoint what the optimiser and the objective keep."""
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def timeless(folder: Path) -> list[dict[str, Any]]:
    return [row | {"seconds": 0} for row in read_metrics(folder)]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_that_is_killed_often_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(LONG, whole)
    delays, kinds, mid_epoch = moments(), ["random"] * RANDOM_KILLS + ["writing"] * KILLS_WHILE_WRITING, 0
    random.Random(1).shuffle(kinds)
    while kinds:
        before, process = state(killed), start(LONG, killed, 0.0 if kinds[-1] == "writing" else 0.05)
        assert poll(process.poll, partial(advanced, killed, before)), "the run ended before all the kills"
        if kinds[-1] == "random":
            time.sleep(next(delays))
        else:
            assert poll(process.poll, partial(temporaries, killed))
        assert kill(process), "the run ended before all the kills"
        mid_epoch += '"batch": 0' not in (killed / "state.json").read_text()
        if kinds[-1] == "random" or temporaries(killed):  # what is still there was being written
            kinds.pop()
    finish(LONG, killed)
    print(f"{RANDOM_KILLS} kills at random moments, {KILLS_WHILE_WRITING} while writing, {mid_epoch} in mid-epoch")
    assert mid_epoch >= 5
    assert tensors(killed) == tensors(whole)
    assert timeless(killed) == timeless(whole)
    assert len(list(killed.glob("checkpoint-*"))) == 1
    assert not temporaries(killed)


# --- every method -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A method's recipe for the digits, short, with all its phases; dear methods take a part of the images."""

    trainer: str
    epochs: int = 8
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        given = {"network": "mlp-2x100", "batch": 64, "validation": 144, "epochs": self.epochs, "trainer": self.trainer}
        return read(self.trainer).recipe(data="digits", **given | self.given)


FEW: dict[str, Any] = {"images": 120, "batch": 12}
CASES = {  # those that are not left at the method's defaults, by id
    "natural": Case("natural", 24, {"optimiser": "sgd", "lr": 0.05, "flip": True, "crop": 1}),
    "ibp, adaptive": Case("ibp(weight=adaptive)"),
    "ibp, ablation": Case("ibp(loss=hinge, elision=False)"),
    "pgd": Case("pgd", 6),
    "trades": Case("trades", 5),
    "crown-ibp": Case("crown-ibp", 5),
    "singleprop": Case("singleprop", 14),
    "wong-kolter": Case("wong-kolter", 6, FEW),
    "wong-kolter, projected": Case("wong-kolter", 8, {"domain": "dual(projections=10)", **FEW}),
    "robustra": Case("robustra(looked_at=60)", 6, FEW),
    "robustra, last": Case("robustra(reference=last, looked_at=60)", 6, {"domain": "dual(projections=10)", **FEW}),
    "cosine": Case("cosine(attack=fgsm)"),
    "diffai": Case("diffai", 4, FEW),
    "advcrown-ibp": Case("advibp(moments=first)", 5, {"domain": "mix(deeppoly.guided(by=box), box)"}),
    "sabr": Case("sabr", 5),
    "cnn7": Case("shi", 2, {"network": "cnn7", **FEW}),  # batch norm
}
EVERY = {name: Case(name) for name in names("trainers")} | CASES
KILLS = 10
LEAST = 8  # of them in the middle of a training, should it run far quicker than when it was timed

FORKS = multiprocessing.get_context("forkserver")  # of a process that has imported all: most of a short life else
FORKS.set_forkserver_preload([__name__, "sklearn.datasets", "torch._dynamo", "safetensors.torch"])


def run(recipe: Recipe, folder: Path, seconds: float) -> None:
    """What PROGRAM does."""
    torch.set_num_threads(1)
    for _ in train(recipe, folder, checkpoint_seconds=seconds):
        pass


def begin(recipe: Recipe, folder: Path, seconds: float) -> BaseProcess:
    process: BaseProcess = FORKS.Process(target=run, args=(recipe, folder, seconds), daemon=True)
    process.start()
    return process


def done(folder: Path, batches: int) -> float:
    """The epochs, of so many batches each, that the last checkpoint has; 0 before the first."""
    path = folder / "state.json"
    position = json.loads(path.read_text()) if path.exists() else {"epoch": 0, "batch": 0}
    return float(position["epoch"] + position["batch"] / batches)


def moments_of(epochs: int, seed: str) -> Iterator[tuple[float, float]]:
    """Random moments of a training, in epochs, each with a share of the training to wait from there on."""
    generator = random.Random(seed)
    for moment in sorted(generator.uniform(0, 0.85 * epochs) for _ in range(KILLS)):
        yield moment, generator.uniform(0, 0.03)


@pytest.mark.slow
@pytest.mark.figures
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", EVERY)
def test_every_method_that_is_killed_often_ends_with_the_same_weights(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last process is a new interpreter, whose sets have an order of their own."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole, killed, recipe, begun = tmp_path / "whole", tmp_path / "killed", EVERY[name].recipe, time.monotonic()
    uninterrupted = begin(recipe, whole, 60.0)
    uninterrupted.join()
    assert uninterrupted.exitcode == 0
    last = read_metrics(whole)[-1]
    seconds, batches, reached = last["seconds"], last["step"] // recipe.epochs, []
    for moment, share in moments_of(recipe.epochs, name):
        process = begin(recipe, killed, seconds / 40)
        if poll(lambda: process.exitcode, lambda: done(killed, batches) >= moment, pause=0.005):  # noqa: B023
            time.sleep(share * seconds)
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            reached.append(done(killed, batches))
    finish(recipe, killed)
    middle, mid_epoch = sum(0 < epochs < recipe.epochs for epochs in reached), sum(epochs % 1 > 0 for epochs in reached)
    figures = f"{KILLS} kills, {middle} in mid-training, {mid_epoch} of them in mid-epoch"
    print(f"{name}: {seconds:.1f} s of training, {figures}; {time.monotonic() - begun:.0f} s in all")
    assert middle >= LEAST
    assert {path.split("-")[0] for path in tensors(whole)} >= {"model.safetensors", "checkpoint"}
    assert tensors(killed) == tensors(whole)
    assert timeless(killed) == timeless(whole)


def test_every_registered_method_is_among_those_that_are_killed() -> None:
    assert set(names("trainers")) <= {case.recipe.trainer.split("(")[0] for case in EVERY.values()}
