"""A scheduler and workers as people start them, in processes of their own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def wait_for(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


@contextmanager
def outside(folder: Path, workers: int) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """(address, process) of a scheduler as people start it, with workers."""
    file = folder / "scheduler.json"
    start = [sys.executable, "-m"]
    given = ["--scheduler-file", str(file), "--no-dashboard"]
    scheduler = subprocess.Popen(
        [*start, "distributed.cli.dask_scheduler", *given, "--host", "127.0.0.1", "--port", "0"],
        stderr=subprocess.DEVNULL,
    )
    worker = subprocess.Popen(
        [*start, "distributed.cli.dask_worker", *given, "--nworkers", str(workers), "--nthreads", "1"],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: file.exists() and bool(file.read_text()))
        yield json.loads(file.read_text())["address"], scheduler
    finally:
        worker.kill()
        scheduler.kill()
        worker.wait()
        scheduler.wait()
