"""How much memory this process has held."""

from __future__ import annotations

import resource
import sys


def peak() -> float:
    """GiB, at most, until now."""
    unit = 1 if sys.platform == "darwin" else 1 << 10  # ru_maxrss is in kilobytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
