"""A unit of work on a dask worker: in the same way as in the process that asks, and told of there."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

import torch

from absdomain.runtime.progress import forwarded
from absdomain.runtime.units import Tell

R = TypeVar("R")
LOOK = 0.5  # seconds between two looks for what units tell, and for new workers


@dataclass(frozen=True)
class Setting:
    """What bits depend on besides the unit, the same wherever it is worked on."""

    threads: int
    tf32: tuple[bool, bool]
    versions: tuple[str, str]

    @staticmethod
    def here() -> Setting:
        """That of this process."""
        tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        return Setting(torch.get_num_threads(), tf32, (version("absdomain"), torch.__version__))

    @contextmanager
    def used(self) -> Iterator[None]:
        """This process computes in this way. RuntimeError for another version of absdomain or torch."""
        own = Setting.here()
        if own.versions != self.versions:
            told = [" and ".join(map(" ".join, zip(("absdomain", "torch"), v, strict=True)))
                    for v in (own.versions, self.versions)]  # fmt: skip
            raise RuntimeError(f"cluster: a worker has {told[0]}, but it is asked from {told[1]}; install the same")
        self._set()
        try:
            yield
        finally:
            own._set()

    def _set(self) -> None:
        torch.set_num_threads(self.threads)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self.tf32


_ONE = threading.Lock()  # a unit sets what holds for the whole process, so that there is one at a time


def unit(work: Callable[[Any, Tell], R], given: Any, setting: Setting, topic: str, place: int) -> R:
    """work(given, tell), on a worker."""
    # What a unit starts, ends with this process (`runtime.limited`), so that it may start processes.
    multiprocessing.current_process().daemon = False
    tell = _Telling(topic, place, _key())
    with _ONE, setting.used(), forwarded(partial(tell, 0.0)):
        return work(given, tell)


def dask_setup(worker: object) -> None:
    """dask calls it in a new worker of ours: who interrupts a command does not interrupt the workers, which it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Abandoned(BaseException):
    """Nobody asks for the unit any more, on which a worker is at work."""


class _Telling:
    """Sends to the process that asks how a unit goes, now and then; ends the unit where that process is gone."""

    def __init__(self, topic: str, place: int, key: Any) -> None:
        self.topic, self.place, self.key, self.next = topic, place, key, 0.0

    def __call__(self, done: float, text: str) -> None:
        from distributed import get_worker

        now = time.monotonic()
        if now < self.next:
            return
        self.next, worker = now + LOOK, get_worker()
        task = worker.state.tasks.get(self.key)
        if task is None or task.state == "cancelled":
            raise Abandoned
        worker.log_event(self.topic, (self.place, float(done), text))


def _key() -> Any:
    """What dask calls the unit that is worked on here."""
    from distributed import get_worker

    return get_worker().get_current_task()
