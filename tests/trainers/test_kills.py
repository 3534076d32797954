"""A run that is killed again and again, at random moments and while it writes checkpoints, ends as if it never was."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from absdomain.trainers import read_metrics

RANDOM_KILLS, KILLS_WHILE_WRITING = 12, 6
PROGRAM = """
import sys
from absdomain.trainers import train
from absdomain.trainers.crown_ibp import crown_ibp

recipe = crown_ibp.recipe(data="digits", network="crown-ibp-A", batch=64, epochs=EPOCHS, flip=True)
for metrics in train(recipe, sys.argv[1], checkpoint_seconds=float(sys.argv[2])):
    pass
"""
EPOCHS = 60  # long enough for all the kills on a quick machine


def start(folder: Path, seconds: float) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", PROGRAM.replace("EPOCHS", str(EPOCHS)), str(folder), str(seconds)]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)


def finish(folder: Path) -> None:
    assert start(folder, 0.2).wait(timeout=300) == 0


def poll(process: "subprocess.Popen[bytes]", seen: Callable[[], object]) -> bool:
    """Wait until something is seen; False if the process ends before."""
    while process.poll() is None:
        if seen():
            return True
        time.sleep(0.0005)  # leave it the processor
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
    return [*folder.glob(".checkpoint-*.tmp"), *folder.glob(".state.json.tmp")]


def moments() -> Iterator[float]:
    """Seconds after a checkpoint, a second at most: several epochs' worth."""
    generator = random.Random(0)
    while True:
        yield generator.random() ** 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_that_is_killed_often_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(whole)
    delays, kinds, mid_epoch = moments(), ["random"] * RANDOM_KILLS + ["writing"] * KILLS_WHILE_WRITING, 0
    random.Random(1).shuffle(kinds)
    while kinds:
        before, process = state(killed), start(killed, 0.0 if kinds[-1] == "writing" else 0.05)
        assert poll(process, partial(advanced, killed, before)), "the run ended before all the kills"
        if kinds[-1] == "random":
            time.sleep(next(delays))
        else:
            assert poll(process, partial(temporaries, killed))
        assert kill(process), "the run ended before all the kills"
        mid_epoch += '"batch": 0' not in (killed / "state.json").read_text()
        if kinds[-1] == "random" or temporaries(killed):  # what is still there was being written
            kinds.pop()
    finish(killed)
    print(f"{RANDOM_KILLS} kills at random moments, {KILLS_WHILE_WRITING} while writing, {mid_epoch} in mid-epoch")
    assert mid_epoch >= 5
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    rows, expected = ([row | {"seconds": 0} for row in read_metrics(run)] for run in (killed, whole))
    assert rows == expected
    assert len(list(killed.glob("checkpoint-*"))) == 1
    assert not temporaries(killed)
