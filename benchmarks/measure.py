"""Interleaved timing, and the peak of memory while a piece of work runs."""

from __future__ import annotations

import gc
import os
import re
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Work = Callable[[], object]


def interleaved(works: Sequence[Work], *, seconds: float, least: int = 5) -> list[float]:
    """The median time of each work in seconds: all in turn, again and again, so that a slow spell meets them alike."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    end = time.perf_counter() + seconds
    while len(times[0]) < least or time.perf_counter() < end:
        for work, seen in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            seen.append(time.perf_counter() - start)
    return [statistics.median(seen) for seen in times]


def peak_memory(work: Work) -> float | None:
    """MiB that the process holds at most while `work` runs, above what it holds before; None where it cannot be read.

    The peak is Linux's resident high-water mark, reset before the work.
    """
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    before = _kibibytes("VmRSS")
    work()
    return max(0.0, (_kibibytes("VmHWM") - before) / 1024)


def _kibibytes(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{os.getpid()}/status").read_text())
    assert found is not None
    return int(found.group(1))
