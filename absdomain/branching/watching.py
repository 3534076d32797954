"""A line on stderr that says how a search goes."""

from __future__ import annotations

import time
from math import isfinite

from absdomain.branching.outcome import Watch
from absdomain.runtime.progress import Ticker

_SHORT = 0.1  # seconds, after which a rate says something


def watching(ticker: Ticker) -> Watch:
    """Shows how the search goes; of several, one after another, how this one does."""
    start, first, last = time.monotonic(), 0, 0

    def watch(bounded: int, open_: int, bound: float) -> None:
        nonlocal start, first, last
        if bounded < last:  # another search
            start, first = time.monotonic(), bounded
        last = bounded
        seconds = time.monotonic() - start
        rate = f", {(bounded - first) / seconds:.0f} bounds/s" if seconds > _SHORT else ""
        worst = f", worst bound {bound:.4g}" if isfinite(bound) else ""
        ticker(lambda: f"{bounded} bounded, {open_} open{worst}{rate}")

    return watch
