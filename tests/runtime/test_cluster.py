"""Units on workers: the results of this process, whoever dies on the way. Slow tests have real processes."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from absdomain.runtime import cluster, worker
from absdomain.runtime.cluster import Over, opened
from absdomain.runtime.progress import progress, say
from absdomain.runtime.units import HERE, Tell, UnitFailed
from tests.clusters import outside, wait_for

pytest.importorskip("distributed", reason="the extra dask is not installed")


@pytest.fixture(scope="module")
def threads() -> Iterator[Any]:
    """A client of two workers that are threads of this process."""
    from distributed import Client, LocalCluster

    given = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**given) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """A client of two workers that are processes of their own."""
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        yield client


NEWS = ((0.5, "half"), (0.0, "inside: 2/4  steps"))


def squares(unit: int, tell: Tell) -> int:
    return unit * unit


def test_every_unit_is_worked_on_once_and_watched(threads: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "LOOK", 0.05)
    monkeypatch.setattr(worker, "LOOK", 0.05)
    told = list[tuple[int, float, str]]()

    def work(unit: int, tell: Tell) -> tuple[int, int]:
        tell(0.5, "half")
        say("not shown on stderr, and too soon to be sent")
        time.sleep(0.1)
        with progress("inside", 4) as show:
            show(2, "steps")
            time.sleep(0.2)
        return unit * unit, torch.get_num_threads()

    with opened(threads) as mapper:
        found = dict(mapper.map(work, [5, 6], "ab", lambda *row: told.append(row)))
    assert found == {place: (unit * unit, torch.get_num_threads()) for place, unit in enumerate([5, 6])}
    assert {(place, done, text) for place in (0, 1) for done, text in NEWS} <= set(told)


def test_a_worker_computes_with_the_threads_of_who_asks(threads: Any) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with opened(threads) as mapper:
            ((_, found),) = mapper.map(lambda unit, tell: torch.get_num_threads(), [0], ["a"])
        assert found == before + 1
    finally:
        torch.set_num_threads(before)


def test_what_the_work_raises_is_raised_and_the_rest_given_up(threads: Any, tmp_path: Path) -> None:
    def work(unit: int, tell: Tell) -> int:
        (tmp_path / str(unit)).touch()
        if unit == 1:
            raise ZeroDivisionError("by unit 1")
        time.sleep(0.05)
        return unit

    with opened(threads) as mapper, pytest.raises(ZeroDivisionError, match="by unit 1"):
        list(mapper.map(work, range(20), [str(unit) for unit in range(20)]))
    assert len(list(tmp_path.iterdir())) < 10


def test_a_unit_that_nobody_asks_for_any_more_ends(
    threads: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LOOK", 0.0)

    def work(unit: int, tell: Tell) -> None:
        (tmp_path / "begun").touch()
        try:
            for _ in range(3000):
                tell(0.0, "busy")
                time.sleep(0.01)
        finally:
            (tmp_path / "ended").touch()

    future = threads.submit(worker.unit, work, 1, worker.Setting.here(), "topic", 0)
    wait_for((tmp_path / "begun").exists)
    time.sleep(0.1)
    assert not (tmp_path / "ended").exists()
    future.cancel()
    wait_for((tmp_path / "ended").exists, 10)


def test_what_is_no_cluster_is_told_before_any_work() -> None:
    with opened(None) as mapper:
        assert mapper is HERE
    with pytest.raises(TypeError, match=r"certify, cluster: a Client or Cluster is needed, got a list; give .tcp://"):
        opened([], "certify")
    with pytest.raises(ValueError, match="0 workers would do nothing"):
        opened(0)
    with opened(2) as mapper:  # nothing is started before it is needed
        assert isinstance(mapper, Over) and list(mapper.map(squares, [], [])) == []
        with opened(mapper) as same:
            assert same is mapper


def test_work_that_does_not_pickle_names_the_remedy(threads: Any) -> None:
    lock = threading.Lock()
    with opened(threads) as mapper, pytest.raises(TypeError, match=r"cannot be sent to workers.*remove_parametri"):
        list(mapper.map(lambda unit, tell: lock, [0], ["a"]))


def test_another_version_on_a_worker_is_refused(threads: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = threading.main_thread()
    monkeypatch.setattr(worker, "version", lambda name: "0.1" if threading.current_thread() is asks else "0.2")
    with opened(threads) as mapper, pytest.raises(RuntimeError, match=r"has absdomain 0\.2 and .* from absdomain 0\.1"):
        list(mapper.map(squares, [1], ["a"]))


# --- real processes ---------------------------------------------------------------------------------------------------


def logging(folder: Path, seconds: float) -> Callable[[int, Tell], int]:
    """Work that takes time, and notes who began it."""

    def work(unit: int, tell: Tell) -> int:
        with open(folder / "begun", "a") as file:
            file.write(f"{unit} {os.getpid()}\n")
        time.sleep(seconds)
        return unit * unit

    return work


def begun(folder: Path) -> list[tuple[int, int]]:
    """(unit, process), as they were begun."""
    file = folder / "begun"
    rows = file.read_text().splitlines() if file.exists() else []
    return [(int(unit), int(process)) for unit, process in map(str.split, rows)]


@pytest.mark.slow
def test_the_unit_of_a_killed_worker_is_worked_on_again_and_no_other(processes: Any, tmp_path: Path) -> None:
    names = [f"unit {unit}" for unit in range(8)]
    with opened(processes) as mapper, closing(mapper.map(logging(tmp_path, 0.5), range(8), names)) as results:
        found = dict([next(results)])
        _, victim = begun(tmp_path)[-1]
        os.kill(victim, signal.SIGKILL)
        found |= dict(results)
    assert found == {unit: unit * unit for unit in range(8)}
    runs = [unit for unit, _ in begun(tmp_path)]
    again = {unit for unit in runs if runs.count(unit) > 1}
    assert set(runs) == set(range(8)) and all(runs.count(unit) == 2 for unit in again)
    assert again <= {unit for unit, process in begun(tmp_path) if process == victim}  # what it was at, or had not sent


@pytest.mark.slow
def test_a_unit_that_kills_its_workers_is_named(tmp_path: Path) -> None:
    def work(unit: int, tell: Tell) -> int:
        if unit == 3:
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.4)
        return unit

    with opened(2) as mapper, pytest.raises(UnitFailed, match=r"^number 3: 4 workers died .*smaller batches"):
        list(mapper.map(work, range(6), [f"number {unit}" for unit in range(6)]))


@pytest.mark.slow
def test_a_scheduler_that_is_gone_is_told(tmp_path: Path) -> None:
    with outside(tmp_path, workers=1) as (address, scheduler), opened(address) as mapper:
        found = mapper.map(logging(tmp_path, 2.0), range(4), [f"number {unit}" for unit in range(4)])
        assert next(found) == (0, 0)
        scheduler.kill()
        with pytest.raises(UnitFailed, match=r"^number 1: the scheduler is gone, or has given up; start again"):
            list(found)
