"""Work in a child process, which is ended where it takes too long or too much memory.

A limit that work keeps by itself holds between its steps alone; this one holds within them.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_LOOK = 0.05  # seconds between two looks at a child
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux' prctl


class OutOfTime(RuntimeError):
    """The child had no result when its time was over."""


class OutOfMemory(RuntimeError):
    """The child held more memory than it may."""


class Died(RuntimeError):
    """The child ended without a result: it was killed, or it crashed."""


def limited(work: Callable[[], T], *, seconds: float = inf, memory: float = inf) -> T:
    """work() of a child process, which is a fork of this one where the system has that: nothing is imported again.

    `seconds` of wall-clock time; `memory` in GiB, of what is resident (read from /proc; elsewhere it is not limited).
    The work must not raise, and can be pickled where the system has no fork. It must run on one thread, if this process
    has computed on several: GNU's OpenMP waits in a fork for threads that are not there. Errors: OutOfTime,
    OutOfMemory, Died.
    """
    kind = "fork" if "fork" in multiprocessing.get_all_start_methods() and sys.platform == "linux" else "spawn"
    context: Any = multiprocessing.get_context(kind)
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(work, theirs, os.getpid()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads in this process: none of them holds a lock
        child.start()
    theirs.close()
    try:
        found: T = _awaited(ours, child.pid, time.monotonic() + seconds, memory)
        return found
    except (EOFError, OSError):  # nothing, or a part of it
        child.join()
        raise Died(f"its process ended without a result (exit code {child.exitcode})") from None
    finally:
        if child.is_alive() and not ours.closed:
            child.kill()
        child.join()
        ours.close()


def _awaited(ours: Connection, child: int | None, until: float, memory: float) -> Any:
    while not ours.poll(min(_LOOK, max(0.0, until - time.monotonic()))):
        if time.monotonic() >= until:
            raise OutOfTime
        held = _resident(child)
        if held > memory:
            raise OutOfMemory(f"it held {held:.2f} GiB")
    return ours.recv()


def _run(work: Callable[[], object], theirs: Connection, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, too, and ends this process
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)
    theirs.send(work())
    theirs.close()


def _resident(process: int | None) -> float:
    """GiB of memory that a process holds; 0 where that cannot be known."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30
