"""Memory that work would take: asked beforehand where it can be told, named where an allocation has failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import inf
from pathlib import Path

import torch

from absdomain.errors import TooLarge

_GIB = 2**30
_SMALL = 2**28  # bytes that are not looked into
_MEMINFO = Path("/proc/meminfo")
_SIZES = (  # how torch says what it could not allocate: on a CPU in bytes, on a GPU in units
    (re.compile(r"tried to allocate (\d+) bytes"), 1),
    (re.compile(r"[Tt]ried to allocate ([\d.]+) MiB"), 2**20),
    (re.compile(r"[Tt]ried to allocate ([\d.]+) GiB"), _GIB),
)
_REMEDY = (
    "take a domain that holds less (box, or crown-ibp, which substitutes for the outputs alone), a smaller batch, or "
    "float32"
)


def available(device: torch.device) -> float:
    """Bytes that the device could still give; inf where that is not told (a CPU elsewhere than on Linux)."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines())
        return float(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return inf


def needed(size: int, device: torch.device, what: str) -> None:
    """TooLarge where `what` takes `size` bytes at least and the device has fewer.

    Without the check a system that promises more memory than it has would end the process where the memory is used.
    """
    if torch.compiler.is_compiling() or size <= _SMALL:
        return
    room = available(device)
    if size > room:
        raise TooLarge(f"{what} takes {size / _GIB:.1f} GiB, and {room / _GIB:.1f} GiB are free; {_REMEDY}")


def named(place: Callable[[], str]) -> AbstractContextManager[None]:
    """Within it, memory that is missing is a TooLarge that begins with the place; in a compiled graph nothing is."""
    return nullcontext() if torch.compiler.is_compiling() else _named(place)


@contextmanager
def _named(place: Callable[[], str]) -> Iterator[None]:
    try:
        yield
    except TooLarge as error:
        raise TooLarge(f"{place()}: {error}") from None
    except RuntimeError as error:
        size = _missed(error)
        if size is None:
            raise
        raise TooLarge(f"{place()}: {size / _GIB:.1f} GiB more are needed, and are not there; {_REMEDY}") from error


def _missed(error: Exception) -> float | None:
    """The bytes that an allocator did not give; None: the error is another one."""
    found = ((pattern.search(str(error)), unit) for pattern, unit in _SIZES)
    return next((float(match.group(1)) * unit for match, unit in found if match is not None), None)
