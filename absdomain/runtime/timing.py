"""Interleaved timing, and the peak of memory while a piece of work runs."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence

from torch.profiler import ProfilerActivity, profile

Work = Callable[[], object]


def interleaved(works: Sequence[Work], *, seconds: float, least: int = 5) -> list[float]:
    """The median time of each work in seconds: all in turn, again and again, so that a slow moment slows all alike.

    Processor time, as wall time would count other programs against the long works most.
    """
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    end = time.perf_counter() + seconds
    while len(times[0]) < least or time.perf_counter() < end:
        for work, seen in zip(works, times, strict=True):
            start = time.process_time()
            work()
            seen.append(time.process_time() - start)
    return [statistics.median(seen) for seen in times]


def once(work: Work) -> float:
    """The time of one call in seconds, for work too slow to be repeated."""
    start = time.process_time()
    work()
    return time.process_time() - start


def peak_memory(work: Work) -> float:
    """MiB of tensors that `work` holds at most, above what is there before it.

    Summed from what each operation allocates and frees, so that it does not depend on what malloc keeps.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    changes = sorted((event.time_range.end, event.self_cpu_memory_usage) for event in seen.events() or [])
    return max(itertools.accumulate((change for _, change in changes), initial=0)) / 2**20
